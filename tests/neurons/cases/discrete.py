"""Ternary, ternary bipolar, send-on-delta, few-spike."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np

from snnjax.neurons import (
    DeltaParams,
    FewSpikeParams,
    STBIFParams,
    TernaryParams,
    delta_init,
    delta_step,
    detach,
    few_spike_init,
    few_spike_step,
    stbif_init,
    stbif_step,
    subtract,
    ternary_init,
    ternary_step,
    zero,
)
from snnjax.surrogates import atan, soft
from tests.neurons.cases.case import Case
from tests.reference import discrete as reference

THRESHOLD = [1.0, 0.8, 1.1]
DECAY = [0.5, 0.75, 1.0]
SCALE = [0.5, 0.4, 0.7]
TABLES = [[1.6, 0.8, 0.4], [1.5, 0.7, 0.35], [1.4, 0.9, 0.5]]


class Changes(Case):
    """A case that is driven by the changes of its input, so that their sum stays bounded."""

    def input(self, seed: int) -> np.ndarray:
        x = super().input(seed)
        return np.diff(x, axis=0, prepend=np.zeros_like(x[:1]))


def ternary_case(name, reset, scale_input=False, *, smooth=True) -> Case:
    step = partial(ternary_step, reset=reset, scale_input=scale_input)
    decay = [0.5, 0.75, 0.9] if scale_input else DECAY
    params = TernaryParams(jnp.array(decay), jnp.array(THRESHOLD))
    loop = partial(
        reference.ternary_loop,
        decay=decay,
        threshold=THRESHOLD,
        reset=name,
        scale_input=scale_input,
    )
    scale = 6.0 if scale_input else 1.2
    softened = partial(step, spike=soft(atan))
    return Case(ternary_init, step, params, loop, softened, scale, smooth=smooth)


def stbif_case(low, high) -> Case:
    step = partial(stbif_step, low=low, high=high)
    loop = partial(reference.stbif_loop, scale=SCALE, low=low, high=high)
    params, softened = STBIFParams(jnp.array(SCALE)), partial(step, spike=soft(atan))
    return Changes(stbif_init, step, params, loop, softened, wide=True)


def delta_case() -> Case:
    loop = partial(reference.delta_loop, threshold=THRESHOLD)
    params, softened = DeltaParams(jnp.array(THRESHOLD)), partial(delta_step, spike=soft(atan))
    return Case(delta_init, delta_step, params, loop, softened, wide=True)


def few_spike_case() -> Case:
    threshold, h, d = TABLES
    loop = partial(reference.few_spike_loop, threshold=threshold, h=h, d=d)
    params = FewSpikeParams(*(jnp.array(table) for table in TABLES))
    softened = partial(few_spike_step, spike=soft(atan))
    return Case(few_spike_init, few_spike_step, params, loop, softened, wide=True)


CASES = {
    "ternary": ternary_case("subtract", subtract),
    "ternary zero": ternary_case("zero", zero),
    "ternary scaled": ternary_case("subtract", detach(subtract), True, smooth=False),
    "stbif": stbif_case(0, 4),
    "stbif signed": stbif_case(-2, 3),
    "delta": delta_case(),
    "few spike": few_spike_case(),
}
