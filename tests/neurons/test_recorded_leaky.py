"""Neurons against arrays recorded from snnTorch, norse and SpikingJelly (record_leaky.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CUBAParams,
    EIFParams,
    LIFParams,
    QIFParams,
    before_leak,
    cuba_init,
    cuba_step,
    detach,
    eif_init,
    eif_step,
    euler,
    lif_init,
    lif_step,
    next_step,
    qif_init,
    qif_step,
    reset_to,
    subtract,
    zero,
)
from snnjax.surrogates import like
from snnjax.unroll import unroll
from tests.reference import record_leaky as given

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "leaky.npz")
NAMES = sorted({name.split("/")[0] for name in RECORDED.files if "/" in name})

SNNTORCH = {"spike": like("snntorch.atan")}
LATER = {**SNNTORCH, "reset": detach(subtract), "timing": next_step}
LEAKY = LIFParams(given.BETA, given.THRESHOLD)
SYNAPTIC = CUBAParams(given.ALPHA, given.BETA, given.THRESHOLD)
LAPICQUE = LIFParams(euler(2.0 * 1.5), given.THRESHOLD)
NORSE = CUBAParams(
    *(1.0 - given.DT * rate for rate in given.RATES.values()), threshold=given.THRESHOLD
)
NORSE_GAIN = given.DT * given.RATES["tau_mem_inv"]
REST = {"v_rest": given.RESET}

CASES = {  # initial state, step, gain of the input
    "snntorch.Leaky_subtract": (lif_init, partial(lif_step, LEAKY, **LATER), 1.0),
    "snntorch.Leaky_zero": (
        lif_init,
        partial(lif_step, LEAKY, **SNNTORCH, reset=detach(zero), timing=before_leak),
        1.0,
    ),
    "snntorch.Synaptic_subtract": (cuba_init, partial(cuba_step, SYNAPTIC, **LATER), 1.0),
    "snntorch.Synaptic_zero": (
        cuba_init,
        partial(cuba_step, SYNAPTIC, **SNNTORCH, reset=detach(zero), timing=next_step),
        1.0,
    ),
    "snntorch.Lapicque_subtract": (lif_init, partial(lif_step, LAPICQUE, **LATER), 1.0 / 1.5),
    "snntorch.Lapicque_zero": (
        lif_init,
        partial(lif_step, LAPICQUE, **SNNTORCH, reset=detach(zero), timing=next_step),
        1.0 / 1.5,
    ),
    "norse.LIF": (
        partial(cuba_init, v_rest=given.REST),
        partial(
            cuba_step,
            NORSE,
            spike=like("norse.super@1.0.0", alpha=10.0),
            reset=reset_to(given.RESET),
            v_rest=given.REST,
        ),
        NORSE_GAIN,
    ),
    "spikingjelly.LIF_rest": (
        partial(lif_init, **REST),
        partial(
            lif_step,
            LIFParams(euler(3.0), given.THRESHOLD),
            reset=reset_to(given.RESET),
            **REST,
        ),
        1.0,
    ),
    "spikingjelly.QIF": (
        partial(qif_init, v0=-0.1),
        partial(qif_step, QIFParams(2.0, 0.0, 0.8, 1.0, 1.0, v_reset=-0.1)),
        1.0,
    ),
    "spikingjelly.EIF": (
        partial(eif_init, v0=-0.1),
        partial(eif_step, EIFParams(2.0, 0.0, 0.3, 0.7, 1.0, v_reset=-0.1)),
        1.0,
    ),
}


def test_all_cases_are_there():
    assert set(NAMES) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_recorded_run(name):
    init, step, gain = CASES[name]
    x = jnp.asarray(RECORDED["x"] * RECORDED[f"{name}/scale"])
    late = name == "norse.LIF"  # the current of the step before drives the membrane

    @partial(jax.value_and_grad, has_aux=True)
    def run(x):
        last, out = unroll(step, init(x.shape[1:]), gain * (x[:-1] if late else x))
        out = jnp.concatenate([jnp.zeros_like(x[:1]), out]) if late else out
        return (out * RECORDED["upstream"]).sum(), (out, last.v)

    (_, (out, v)), dx = jax.jit(run)(x)
    np.testing.assert_array_equal(out, RECORDED[f"{name}/out"])
    np.testing.assert_allclose(v, RECORDED[f"{name}/v"], atol=1e-5)
    np.testing.assert_allclose(dx, RECORDED[f"{name}/dx"], rtol=1e-3, atol=1e-5)
