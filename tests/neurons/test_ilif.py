"""The integer neuron: its unrolling to binary spikes, and the published properties."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.neurons import (
    ILIFParams,
    detach,
    ilif_fire,
    ilif_init,
    ilif_step,
    ilif_unroll_spikes,
    subtract,
)
from snnjax.surrogates import multi_level
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")


@pytest.mark.parametrize("levels", [1, 2, 4, 7])
def test_unrolled_spikes_are_those_of_a_leak_free_neuron(levels):
    """An IF neuron from clip(h, 0, D) + 0.5, written here as a NumPy loop, on 10 000 inputs."""
    h = np.random.default_rng(0).normal(1.0, 3.0, 10_000).astype(np.float32)
    h[:4] = [0.5, 1.5, 2.5, -0.5]
    s = multi_level(jnp.asarray(h), levels)
    spikes = ilif_unroll_spikes(s, levels)
    v = np.clip(h, 0, levels) + np.float32(0.5)
    for d in range(levels):
        fired = v >= 1
        v = v - fired
        np.testing.assert_array_equal(spikes[d], fired)
    np.testing.assert_array_equal(spikes.sum(0), s)
    np.testing.assert_array_equal(ilif_fire(jnp.asarray(h), levels), spikes)


def test_a_linear_map_of_the_integers_is_the_sum_over_binary_steps():
    s = multi_level(jax.random.normal(jax.random.key(0), (64, 32)) * 2)
    spikes = ilif_unroll_spikes(s)
    real = jax.random.normal(jax.random.key(1), (32, 16))
    rounded = jnp.round(real * 8)
    np.testing.assert_array_equal((spikes @ rounded).sum(0), s @ rounded)
    np.testing.assert_allclose((spikes @ real).sum(0), s @ real, rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 7), min_size=6, max_size=6),
    st.sampled_from([jnp.float32, jnp.bfloat16, jnp.int32]),
)
def test_unrolled_spikes_are_binary_and_fall_over_the_steps(values, dtype):
    spikes = ilif_unroll_spikes(jnp.array(values, dtype), 7)
    assert (spikes.shape, spikes.dtype) == ((7, 6), dtype)
    assert set(np.unique(np.asarray(spikes, np.float32))) <= {0, 1}
    assert spikes.astype(jnp.int32).sum(0).tolist() == values
    assert (jnp.diff(spikes.astype(jnp.int32), axis=0) <= 0).all()


@pytest.mark.parametrize("bad", [5.0, -1.0, 0.5, float("nan")])
def test_what_cannot_be_unrolled(bad):
    with pytest.raises(ValueError, match=r"`s` must hold integers in 0..4"):
        ilif_unroll_spikes(jnp.array([1.0, bad]))


def test_the_first_step_from_rest_is_the_stateless_neuron():
    x = jnp.array([-0.5, 0.0, 0.49, 0.5, 1.49, 1.5, 2.5, 3.5, 4.2])
    for beta in (0.0, 0.25, 1.0):
        _, s = ilif_step(ILIFParams(beta), ilif_init(x.shape), x)
        assert s.tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 4]


def test_without_leak_and_clipping_no_input_is_lost():
    """beta = 1 and h in [0, D]: the sums of input and output differ by at most a half."""
    x = jnp.asarray(np.random.default_rng(0).uniform(0.5, 3.0, (200, 32)), jnp.float32)
    state, s = unroll(partial(ilif_step, ILIFParams(1.0)), ilif_init((32,)), x)
    assert s.max() <= 4
    assert jnp.abs(s.sum(0) - x.sum(0)).max() <= 0.5 + 1e-3
    np.testing.assert_allclose(state.v, (x - s).sum(0), atol=1e-3)


def test_detached_reset_stops_the_gradient_through_the_integer():
    """h2 = beta (h1 - s1) + x2, so dh2/dx1 = beta (1 - g) = 0 with the reset, beta without it."""

    def second(reset, x):
        step = partial(ilif_step, ILIFParams(0.25), reset=reset)
        return unroll(step, ilif_init(()), x)[1][1]

    x = jnp.array([1.2, 1.3])
    np.testing.assert_allclose(jax.grad(partial(second, subtract))(x), [0.0, 1.0])
    np.testing.assert_allclose(jax.grad(partial(second, detach(subtract)))(x), [0.25, 1.0])


def test_the_gradient_passes_straight_through_the_slices():
    """Where each slice meets the weight of the integers, the gradient is that of the integers."""
    s, w = jnp.array([0.0, 1.0, 4.0]), jnp.array([2.0, -1.0, 0.5])
    sliced = jax.grad(lambda s: (ilif_unroll_spikes(s, 4) * w).sum())
    np.testing.assert_allclose(jax.jit(sliced)(s), jax.grad(lambda s: (s * w).sum())(s))
    _, tangent = jax.jvp(lambda s: ilif_unroll_spikes(s, 4).sum(0), (s,), (w,))
    np.testing.assert_allclose(tangent, w)
