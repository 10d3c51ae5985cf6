"""Synapses with short-term plasticity."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np

from snnjax.neurons import TsodyksMarkramParams, tsodyks_markram_init, tsodyks_markram_step
from tests.neurons.cases.case import Case
from tests.reference import short_term as reference

USE = [0.45, 0.15, 0.6]
FACTORS = {"facilitation": [0.7, 0.95, 0.5], "recovery": [0.95, 0.6, 0.9], "decay": [0.8, 0.7, 0.5]}


class Spikes(Case):
    """A case that is driven by spikes."""

    def input(self, seed: int) -> np.ndarray:
        return (super().input(seed) > 0.5).astype(np.float32)


CASES = {
    "tsodyks markram": Spikes(
        partial(tsodyks_markram_init, use=jnp.array(USE)),
        tsodyks_markram_step,
        TsodyksMarkramParams(jnp.array(USE), *(jnp.array(value) for value in FACTORS.values())),
        partial(reference.tsodyks_markram_loop, use=USE, **FACTORS),
        tsodyks_markram_step,
        wide=True,
    )
}
