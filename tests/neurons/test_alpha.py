"""The alpha neuron against the closed form of its response, and what a reset leaves."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    AlphaParams,
    AlphaState,
    alpha_gain,
    alpha_init,
    alpha_step,
    none,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
A, B = np.array([0.9, 0.95, 0.7]), np.array([0.8, 0.5, 0.69])
GAIN = np.log(B) / (np.log(B) - np.log(A))
PARAMS = AlphaParams(A, B, GAIN, 1.0)


def test_impulse_response_rises_and_falls():
    t = np.arange(30)[:, None]
    x = jnp.zeros((30, 3)).at[0].set(1.0)
    step = partial(alpha_step, PARAMS, reset=none)
    _, (_, records) = unroll(step, alpha_init((3,)), x, record=("exc", "inh"))
    potential = GAIN * np.asarray(records["exc"] + records["inh"])
    assert not potential[0].any()
    np.testing.assert_allclose(potential, GAIN * (A**t - B**t), atol=1e-5)
    peak = np.log(np.log(B) / np.log(A)) / (np.log(A) - np.log(B))
    assert (abs(potential.argmax(0) - peak) < 1).all()


@pytest.mark.parametrize("reset", [zero, subtract, none])
def test_the_potential_is_reset_as_that_of_other_neurons(reset):
    state = AlphaState(jnp.array([5.0, 1.0, 40.0]), jnp.array([-1.0, -0.9, -35.0]))
    charged = GAIN * np.asarray(A * state.exc + B * state.inh)
    after, z = alpha_step(PARAMS, state, jnp.array([2.0, 1.0, 3.0]), reset=reset)
    np.testing.assert_array_equal(z, charged >= 1.0)
    assert z.any()
    assert not z.all()
    want = reset(jnp.asarray(charged, jnp.float32), z, jnp.array(1.0))
    np.testing.assert_allclose(GAIN * (after.exc + after.inh), want, rtol=1e-5, atol=1e-5)
    fast = reset(B * state.inh - jnp.array([2.0, 1.0, 3.0]), z, jnp.array(0.0))
    np.testing.assert_allclose(after.inh, fast, rtol=1e-6)  # unmoved by `subtract`


def test_gain():
    np.testing.assert_allclose(alpha_gain(A, B), GAIN, rtol=1e-4)
    for exc, inh in ((0.5, 0.5), (0.5, 0.6), (1.0, 0.5), (0.5, 0.0), (math.nan, 0.5)):
        with pytest.raises(ValueError, match=r"0 < decay_inh < decay_exc < 1; got decay_inh="):
            alpha_gain(exc, inh)
    slope = jax.jit(jax.grad(alpha_gain))(0.9, 0.8)  # traced: not checked
    high, low = (math.log(0.8) / math.log(0.8 / a) for a in (0.9 + 1e-6, 0.9 - 1e-6))
    assert float(slope) == pytest.approx((high - low) / 2e-6, rel=1e-3)
