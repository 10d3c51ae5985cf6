"""Triplet STDP against sums over spikes, and its dependence on the rate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.plasticity import (
    STDPParams,
    TripletParams,
    stdp_init,
    stdp_step,
    triplet_init,
    triplet_params,
    triplet_step,
)
from tests.reference.plasticity import triplet_loop

pytestmark = pytest.mark.usefixtures("strict_promotion")
CONSTANTS = {
    "plus2": 0.01, "minus2": 0.02, "plus3": 0.03, "minus3": 0.04,
    "tau_plus": 5.0, "tau_minus": 7.0, "tau_x": 20.0, "tau_y": 30.0,
}  # fmt: skip


def changes(pre, post, params):
    @jax.jit
    def run(pre, post):
        def step(state, x):
            return triplet_step(params, state, *x, jnp.zeros((pre.shape[-1], post.shape[-1])))

        return jax.lax.scan(step, triplet_init(pre.shape[1:], post.shape[1:]), (pre, post))[1]

    return run(pre, post)


def test_equals_the_sum_over_spikes():
    rng = np.random.default_rng(0)
    pre, post = (rng.random((40, 2, n)) < 0.3 for n in (3, 2))
    got = changes(
        jnp.asarray(pre, jnp.float32), jnp.asarray(post, jnp.float32), triplet_params(**CONSTANTS)
    )
    for m in range(3):
        for n in range(2):
            want = sum(triplet_loop(pre[:, b, m], post[:, b, n], **CONSTANTS) for b in range(2))
            np.testing.assert_allclose(got[:, m, n], want, atol=1e-5)


def test_without_slow_terms_it_is_pair_stdp():
    rng = np.random.default_rng(1)
    pre, post = (jnp.asarray(rng.random((1, 4)) < 0.5, jnp.float32) for _ in range(2))
    pair, weight = STDPParams(0.1, 0.2, 0.5, 0.6), jnp.zeros((4, 4))
    _, got = triplet_step(
        TripletParams(pair, 0.0, 0.0, 0.9, 0.9), triplet_init((1, 4), (1, 4)), pre, post, weight
    )
    _, want = stdp_step(pair, stdp_init((1, 4), (1, 4)), pre, post, weight)
    np.testing.assert_allclose(got, want, atol=1e-7)
    assert want.any()


def test_pairings_potentiate_at_high_rates_only():
    """60 pairings, post 10 ms after pre: nothing at 0.1 Hz, a rise at 40 Hz and more at 50 Hz."""

    def total(rate, pairings=60):
        period = round(1000 / rate)
        length = period * pairings
        pre = jnp.zeros((length, 1)).at[::period].set(1.0)
        return float(changes(pre, jnp.roll(pre, 10, 0), triplet_params()).sum())

    slow, medium, fast = total(1), total(20), total(50)
    assert abs(slow) < 0.02
    assert slow < medium < fast
    assert fast > 0.3
