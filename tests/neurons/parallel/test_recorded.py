"""Parallel spiking neurons against arrays recorded from SpikingJelly (record_psn.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    PSNParams,
    SlidingPSNParams,
    masked_psn,
    psn,
    sliding_psn,
    sliding_psn_init,
)
from tests.reference.record_psn import STRENGTHS, WINDOW, N

RECORDED = np.load(Path(__file__).parents[2] / "reference" / "psn.npz")


def sliding(params, x):
    return sliding_psn(params, sliding_psn_init((N,), WINDOW), x)[1]


FORMS = {
    "psn": (PSNParams, psn),
    "sliding": (SlidingPSNParams, sliding),
    **{
        name: (PSNParams, partial(masked_psn, window=WINDOW, strength=strength))
        for name, strength in STRENGTHS.items()
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_equals_the_recorded_run(name):
    kind, form = FORMS[name]
    recorded = {k.split("/")[1]: RECORDED[k] for k in RECORDED.files if k.startswith(f"{name}/")}
    params = kind(jnp.asarray(recorded["weight"]), jnp.asarray(recorded["bias"]))

    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, x):
        out = form(params, x)
        return (out * RECORDED["upstream"]).sum(), out

    (_, out), (dparams, dx) = jax.jit(run)(params, jnp.asarray(RECORDED["x"]))
    np.testing.assert_array_equal(out, recorded["out"])
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(dx, recorded["dx"])
    close(dparams.weight, recorded["dweight"])
    close(dparams.bias, recorded["dbias"])
