"""Thresholds bring firing rates to their target; normalised weights have their sum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.plasticity import (
    HomeostasisParams,
    homeostasis_init,
    homeostasis_step,
    normalise_weights,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")


def test_rates_reach_the_target_from_both_sides():
    """Neurons of weak and strong drive alike; the offset is shared by the batch."""
    target, steps = 0.1, 8000
    drive = jnp.array([0.05, 0.3, 1.0])
    noise = jax.random.uniform(jax.random.key(0), (steps, 4, 3))

    def step(carry, noise):
        neuron, state = carry
        params = LIFParams(0.9, 1.0 + state.theta)
        neuron, z = lif_step(params, neuron, 2.0 * drive * noise)
        state, _ = homeostasis_step(HomeostasisParams(0.02, target), state, z)
        return (neuron, state), z

    start = lif_init((4, 3)), homeostasis_init((3,))
    (_, state), z = jax.jit(lambda noise: jax.lax.scan(step, start, noise))(noise)
    assert state.theta.shape == (3,)
    np.testing.assert_allclose(z[-4000:].mean((0, 1)), target, atol=0.01)
    rates = z[:50].mean((0, 1))
    assert float(rates[0]) < 0.05 < 0.2 < float(rates[2])


def test_offset_equals_the_loop():
    spikes = np.random.default_rng(0).random((20, 5, 3)) < 0.3
    state, theta = homeostasis_init((3,)), np.zeros(3)
    for z in spikes:
        state, got = homeostasis_step(
            HomeostasisParams(0.5, 0.2, 0.9), state, jnp.asarray(z, jnp.float32)
        )
        theta = 0.9 * theta + 0.5 * (z.mean(0) - 0.2)
        np.testing.assert_allclose(got, theta, atol=1e-6)


def test_spikes_of_another_shape():
    with pytest.raises(ValueError, match="last axes are not those of theta"):
        homeostasis_step(HomeostasisParams(0.1), homeostasis_init((3,)), jnp.ones((3, 4)))
    with pytest.raises(TypeError, match="must be floating"):
        homeostasis_step(HomeostasisParams(0.1), homeostasis_init((3,)), jnp.ones(3, jnp.int32))


def test_normalised_weights():
    weight = jax.random.normal(jax.random.key(1), (3, 3, 2, 4))
    weight = weight.at[..., 1].set(0.0)
    got = normalise_weights(weight, 2.0, axis=(0, 1, 2))
    np.testing.assert_allclose(jnp.abs(got).sum((0, 1, 2)), [2.0, 0.0, 2.0, 2.0], rtol=1e-5)
    assert (jnp.sign(got) == jnp.sign(weight)).all()
