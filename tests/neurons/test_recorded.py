"""Neurons against arrays recorded from SpikingJelly (tests/reference/record_spikingjelly.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    IFParams,
    ILIFParams,
    LIFParams,
    PLIFParams,
    detach,
    euler,
    if_init,
    if_step,
    ilif_init,
    ilif_step,
    lif_init,
    lif_step,
    plif_init,
    plif_step,
    plif_weight,
    subtract,
    zero,
)
from snnjax.unroll import unroll

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "spikingjelly.npz")
NAMES = sorted({name.split("/")[0] for name in RECORDED.files if "/" in name})


def model(name):
    """Parameters, initial state and step of a case, from its name."""
    reset = zero if "hard" in name else subtract
    reset = detach(reset) if "detach" in name else reset
    scaled = {"scale_input": "scaled" in name}
    if name.startswith("if"):
        return IFParams(1.0), if_init, partial(if_step, reset=reset)
    if name.startswith("ilif"):
        return ILIFParams(0.25), ilif_init, partial(ilif_step, reset=reset)
    if name.startswith("plif"):
        step = partial(plif_step, reset=reset, **scaled)
        return PLIFParams(plif_weight(3.0), 1.0), plif_init, step
    return LIFParams(euler(3.0), 1.0), lif_init, partial(lif_step, reset=reset, **scaled)


def test_all_cases_are_there():
    assert len(NAMES) == 14


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_recorded_run(name):
    params, init, step = model(name)
    x = jnp.asarray(RECORDED["x"] * RECORDED[f"{name}/scale"])

    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, x):
        _, (out, records) = unroll(partial(step, params), init(x.shape[1:]), x, record=("v",))
        return (out * RECORDED["upstream"]).sum(), (out, records["v"])

    (_, (out, v)), (dparams, dx) = jax.jit(run)(params, x)
    np.testing.assert_array_equal(out, RECORDED[f"{name}/out"])
    np.testing.assert_allclose(v, RECORDED[f"{name}/v"], atol=1e-5)
    np.testing.assert_allclose(dx, RECORDED[f"{name}/dx"], rtol=1e-4, atol=1e-5)
    if name.startswith("plif"):
        np.testing.assert_allclose(dparams.w, RECORDED[f"{name}/dw"], rtol=1e-4)
