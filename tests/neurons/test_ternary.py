"""The ternary neuron: its symmetry, and what its resets keep."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    LIFParams,
    TernaryParams,
    TernaryState,
    lif_init,
    lif_step,
    none,
    subtract,
    ternary_init,
    ternary_step,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")


def run(params, x, **named):
    return unroll(partial(ternary_step, params, **named), ternary_init(x.shape[1:]), x)


def noise(*shape, mean=0.0):
    return jnp.asarray(np.random.default_rng(0).normal(mean, 1.2, shape), jnp.float32)


@pytest.mark.parametrize("reset", [subtract, zero, none])
def test_the_opposite_input_gives_the_opposite_output(reset):
    """Exactly, including on the thresholds: the first inputs are ties."""
    x = jnp.concatenate([jnp.array([[1.0, -1.0, 0.0, 2.0]]), noise(200, 4)])
    state, s = run(TernaryParams(0.75, 1.0), x, reset=reset)
    other, opposite = run(TernaryParams(0.75, 1.0), -x, reset=reset)
    assert s[0].tolist() == [1, -1, 0, 1]
    assert set(np.unique(s)) == {-1, 0, 1}
    np.testing.assert_array_equal(opposite, -s)
    np.testing.assert_array_equal(other.v, -state.v)


@pytest.mark.parametrize(
    ("reset", "want"),
    [(subtract, [0.5, -0.5, 0.5]), (zero, [0.0, 0.0, 0.5]), (none, [1.5, -1.5, 0.5])],
)
def test_resets_act_on_both_signs(reset, want):
    x, state = jnp.array([1.5, -1.5, 0.5]), TernaryState(jnp.zeros(3))
    after, s = ternary_step(TernaryParams(1.0, 1.0), state, x, reset=reset)
    assert (s.tolist(), after.v.tolist()) == ([1, -1, 0], want)


def test_without_leak_the_soft_reset_loses_nothing():
    x = noise(300, 8)
    state, s = run(TernaryParams(1.0, 0.7), x)
    np.testing.assert_allclose(0.7 * s.sum(0) + state.v, x.sum(0), atol=1e-3)


def test_on_positive_input_it_is_the_leaky_neuron():
    x = jnp.abs(noise(100, 4))
    state, s = run(TernaryParams(0.9, 1.0), x, scale_input=True)
    step = partial(lif_step, LIFParams(0.9, 1.0), scale_input=True)
    other, z = unroll(step, lif_init((4,)), x)
    np.testing.assert_array_equal(s, z)
    np.testing.assert_array_equal(state.v, other.v)
    assert s.any()
