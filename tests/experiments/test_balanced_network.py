"""The balanced network against a dense loop, and in its regime."""

from __future__ import annotations

import jax
import numpy as np

from experiments import balanced_network as net
from snnjax.sparse import spike_times


def test_steps_equal_a_loop_over_the_matrix():
    """Thirty neurons close to threshold, in float64 on the loop's side."""
    n, steps = 30, 40
    connections = net.connect(jax.random.key(0), n)
    matrix = np.zeros((n, 2 * n))
    for i, (row, weights) in enumerate(zip(*map(np.asarray, connections), strict=True)):
        np.add.at(matrix[i], row, weights)
    assert (matrix[:24, n:] == 0).all()
    assert (matrix[24:, :n] == 0).all()
    state = net.start(jax.random.key(1), n)
    state = state._replace(g=state.g.at[:n].set(15.0))  # a push, so that many fire at once
    v, g, wait = np.asarray(state.v, float), np.asarray(state.g, float), np.zeros(n, int)
    step, fired = jax.jit(net.step), 0
    for _ in range(steps):
        state, words = step(connections, state)
        target = -49.0 + g[:n] + g[n:]
        v = np.where(wait > 0, -60.0, target + (v - target) * np.exp(-0.1 / 20))
        z = v >= -50.0
        g = g * np.repeat([np.exp(-0.1 / 5), np.exp(-0.1 / 10)], n) + z @ matrix
        v, wait = np.where(z, -60.0, v), np.where(z, 50, np.maximum(wait - 1, 0))
        np.testing.assert_array_equal(spike_times(words[None])[1], np.flatnonzero(z))
        fired += z.sum()
        np.testing.assert_allclose(state.v, v, atol=1e-3)
        np.testing.assert_allclose(state.g, g, rtol=1e-4, atol=1e-3)
    assert fired > 3


def test_irregularity_of_known_trains():
    """A clock has none, a Poisson process 1; a neuron of few intervals does not count."""
    clock = np.arange(0, 600, 100)
    rare = np.array([3, 50, 51])
    t, neuron = np.concatenate([clock, rare]), np.repeat([4, 1], [6, 3])
    assert net.irregularity(t, neuron) == 0
    poisson = np.cumsum(np.random.default_rng(0).exponential(100, 5000))
    assert abs(net.irregularity(poisson, np.zeros(5000, int)) - 1) < 0.05
    assert np.isnan(net.irregularity(rare, np.zeros(3, int)))


def test_the_regime_is_asynchronous_and_irregular():
    found = net.run(1000, 0.6)
    assert found["synapses"] == 80_000
    assert 1 < found["rate_hz"] < 40
    assert 0.4 < found["irregularity"] < 1.8
