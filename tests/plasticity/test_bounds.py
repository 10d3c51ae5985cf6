"""Weights stay in their bounds, whatever the spikes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.plasticity import (
    STDPParams,
    additive,
    apply,
    as_gradient,
    hard,
    soft,
    stdp_init,
    stdp_step,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")


def walk(bound, low, high, rate, steps=10_000):
    """Smallest and largest of weights under random spikes, applied with these limits."""

    def step(carry, key):
        weight, state, least, most = carry
        pre, post = (jax.random.bernoulli(k, 0.4, (4,)) for k in jax.random.split(key))
        state, change = stdp_step(
            STDPParams(rate, rate, 0.5, 0.5),
            state,
            pre.astype(jnp.float32),
            post.astype(jnp.float32),
            weight,
            bound=bound,
        )
        weight = apply(weight, change, low, high)
        return (weight, state, jnp.minimum(least, weight), jnp.maximum(most, weight)), None

    weight = jnp.full((4, 4), 0.5)
    start = weight, stdp_init((4,), (4,)), weight, weight
    keys = jax.random.split(jax.random.key(0), steps)
    (_, _, least, most), _ = jax.jit(lambda keys: jax.lax.scan(step, start, keys))(keys)
    return float(least.min()), float(most.max())


@pytest.mark.parametrize("mu", [1.0, 2.0])
def test_soft_bounds_hold_without_clipping(mu):
    least, most = walk(soft(0.0, 1.0, mu), -jnp.inf, jnp.inf, 0.5)
    assert 0.0 <= least < 0.3
    assert 0.7 < most <= 1.0


@pytest.mark.parametrize("bound", [soft(0.0, 1.0, 0.1), hard(0.0, 1.0), additive])
def test_clipping_holds_the_others(bound):
    assert walk(bound, 0.0, 1.0, 0.2) == (0.0, 1.0)


def test_hard_bounds_overshoot_by_one_step_at_most():
    least, most = walk(hard(0.0, 1.0), -jnp.inf, jnp.inf, 0.05)
    assert -0.11 < least < 0.0
    assert 1.0 < most < 1.11


def test_additive_weights_leave_without_bounds():
    least, most = walk(additive, -jnp.inf, jnp.inf, 0.2)
    assert least < -1.0 or most > 2.0


def test_soft_bounds_of_other_limits():
    up, down = soft(-1.0, 3.0, 0.5)(jnp.array([-2.0, -1.0, 0.0, 3.0, 4.0]))
    assert up.tolist() == pytest.approx([5**0.5, 2.0, 3**0.5, 0.0, 0.0])
    assert down.tolist() == pytest.approx([0.0, 0.0, 1.0, 2.0, 5**0.5])
    with pytest.raises(ValueError, match="`low` must be below `high`"):
        soft(1.0, 0.0)
    with pytest.raises(ValueError, match="`mu` must be above 0"):
        soft(mu=0.0)


def test_descent_of_rate_one_adds_the_change():
    weight, change = jnp.array([0.5]), jnp.array([0.25])
    assert (weight - as_gradient(change)).tolist() == apply(weight, change).tolist() == [0.75]


def test_limits_in_the_wrong_order_are_refused_and_lists_are_taken():
    w = np.array([0.5, 0.9])
    for low, high in ((1.0, 0.0), (np.array([0.0, 2.0]), 1.0), (np.nan, 1.0)):
        with pytest.raises(ValueError, match="`low` must not be above `high`"):
            apply(w, w, low, high)
    assert apply(w, w, 1.0, 1.0).tolist() == [1.0, 1.0]
    assert apply(w.tolist(), [0.25, -0.25]).tolist() == pytest.approx([0.75, 0.65])
