from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.losses import rate_band, spike_count
from snnjax.nn import LIF


@pytest.fixture(scope="module")
def spikes():
    return (np.random.default_rng(0).random((20, 4, 6)) < np.linspace(0, 1, 6)).astype(np.float32)


def test_a_band_equals_the_loop_and_is_silent_inside(spikes):
    low, high = 0.15, 0.7
    rates = [np.mean([spikes[t, b, n] for t in range(20) for b in range(4)]) for n in range(6)]
    want = np.mean([max(low - r, 0) ** 2 + max(r - high, 0) ** 2 for r in rates])
    np.testing.assert_allclose(rate_band(spikes, low, high), want, rtol=1e-6)
    gradient = np.asarray(jax.grad(rate_band)(jnp.asarray(spikes), low, high))
    for n, rate in enumerate(rates):
        sign = -1 if rate < low else float(rate > high)
        assert (np.sign(gradient[..., n]) == sign).all(), n


def test_a_count_equals_the_loop(spikes):
    want = np.mean([abs(spikes[:, b, n]).sum() for b in range(4) for n in range(6)])
    np.testing.assert_allclose(spike_count(spikes), want, rtol=1e-6)
    assert spike_count(jnp.asarray(spikes, jnp.bfloat16)).dtype == jnp.float32


def test_descent_wakes_silent_neurons_and_calms_saturated_ones():
    layer = LIF(2, tau=5.0)
    x = jax.random.normal(jax.random.key(0), (100, 4, 2))

    @jax.jit
    @jax.value_and_grad
    def loss(bias):
        _, z = layer(layer.init_state((4,)), 0.3 * x + bias)
        return rate_band(z, 0.05, 0.2)

    bias = jnp.array([-0.2, 1.5])
    first, _ = loss(bias)
    for _ in range(60):
        value, gradient = loss(bias)
        bias = bias - 3.0 * gradient
    assert value < 0.05 * first
    assert bias[0] > -0.2
    assert bias[1] < 1.5


def test_an_impossible_band():
    with pytest.raises(ValueError, match=r"0 <= low <= high; got low=0\.5, high=0\.2"):
        rate_band(jnp.ones((2, 2, 2)), 0.5, 0.2)
