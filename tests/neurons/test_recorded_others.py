"""Neurons against arrays recorded from norse, spyx and jaxpike (record_norse.py, record_jax.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    IZHIKEVICH_PRESETS,
    ALIFParams,
    IzhikevichState,
    LIParams,
    alif_init,
    alif_step,
    exact,
    hard,
    izhikevich_step,
    li_init,
    li_step,
    subtract,
    zero,
)
from snnjax.surrogates import like
from snnjax.unroll import unroll
from tests.reference import record_norse as norse

FOLDER = Path(__file__).parents[1] / "reference"
NORSE, JAX = np.load(FOLDER / "norse.npz"), np.load(FOLDER / "jax.npz")
RESETS = {"subtract": subtract, "zero": zero}
PRESETS = {"regular_spiking": "RS", "chattering": "CH"}


def check(form, recorded, **states):
    """`form(x)` gives outputs and last states: as recorded, and with the recorded gradient."""

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def run(x):
        out, last = form(x)
        return (out * recorded["upstream"]).sum(), (out, last)

    (_, (out, last)), dx = run(jnp.asarray(recorded["x"]))
    np.testing.assert_array_equal(out, recorded["out"])
    np.testing.assert_allclose(dx, recorded["dx"], rtol=1e-3, atol=1e-5)
    assert set(last) == set(states)
    for name, tolerance in states.items():
        np.testing.assert_allclose(last[name], recorded[name], atol=tolerance)


def case(arrays, name):
    return {k.split("/")[1]: arrays[k] for k in arrays.files if k.startswith(f"{name}/")}


@pytest.mark.parametrize("reset", RESETS)
def test_jaxpike_alif(reset):
    params = ALIFParams(exact(3.0), exact(20.0), beta=0.7, threshold=0.5)
    step = partial(
        alif_step, params, spike=like("jaxpike.ATan"), reset=RESETS[reset], scale_input=True
    )

    def form(x):
        last, out = unroll(step, alif_init(x.shape[1:]), x)
        return out, last._asdict()

    check(form, case(JAX, f"jaxpike.ALIF_{reset}"), v=1e-5, a=1e-5)


def test_spyx_alif_fires_one_step_later():
    """There a step fires, and resets, on the membrane that the step before has left."""
    decay, gamma = 0.8, 0.9
    spike = like("spyx.superspike", k=5.0)

    def later(v, z, theta):  # takes theta after the leak, not before it
        return subtract(v, z, theta / decay)

    step = partial(
        alif_step,
        ALIFParams(decay, gamma, beta=1.0 - gamma, threshold=1.1),
        spike=spike,
        reset=later,
        scale_input=False,
    )

    def form(x):
        last, out = unroll(step, alif_init(x.shape[1:]), x[:-1])
        out = jnp.concatenate([jnp.zeros_like(x[:1]), out])
        return out, {"v": decay * last.v + x[-1], "a": (1.0 - gamma) * last.a}

    check(form, case(JAX, "spyx.ALIF"), v=1e-5, a=1e-5)


def test_norse_lsnn():
    """A synaptic current of the step before drives the membrane; beta counts after one decay."""
    syn, decay, decay_b = (1.0 - norse.DT * rate for rate in norse.RATES.values())
    params = ALIFParams(decay, decay_b, norse.BETA * decay_b, norse.THRESHOLD)
    spike = like("norse.super@1.0.0", alpha=norse.ALPHA)
    step = partial(alif_step, params, spike=spike, reset=zero, scale_input=True)
    synapse = partial(li_step, LIParams(syn), scale_input=False)

    def form(x):
        _, current = unroll(synapse, li_init(x.shape[1:]), x)
        current = jnp.concatenate([jnp.zeros_like(x[:1]), current[:-1]])
        last, out = unroll(step, alif_init(x.shape[1:]), current)
        return out, {"v": last.v, "b": norse.THRESHOLD + norse.BETA * last.a}

    shared = {name: NORSE[name] for name in ("x", "upstream")}
    check(form, {**shared, **case(NORSE, "lsnn")}, v=1e-5, b=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_jaxpike_izhikevich(preset):
    """There v is clipped 10 mV above the peak that makes a spike, and so are its gradients."""
    params = IZHIKEVICH_PRESETS[PRESETS[preset]]._replace(peak=40.0)

    def spike(x):
        return like("jaxpike.ATan")((jnp.minimum(x, 0.0) + 10.0) / 5.0)

    def reset(v, z, c):
        return hard(jnp.minimum(v, 40.0), z, c)

    step = partial(izhikevich_step, params, spike=spike, reset=reset, dt=0.5)

    def form(x):
        v = jnp.full(x.shape[1:], params.c)
        last, out = unroll(step, IzhikevichState(v, params.b * v), x)
        return out, last._asdict()

    check(form, case(JAX, f"jaxpike.Izhikevich_{preset}"), v=2e-2, u=1e-3)
