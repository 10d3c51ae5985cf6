"""Reward-modulated STDP: rewards of samples, delays, and a two-armed bandit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.plasticity import (
    MSTDPETParams,
    STDPParams,
    apply,
    convolution,
    mstdp_step,
    mstdpet_init,
    mstdpet_params,
    mstdpet_step,
    potentiate,
    stdp_init,
    stdp_params,
    stdp_step,
)
from tests.reference.plasticity import layer_stdp_loop

pytestmark = pytest.mark.usefixtures("strict_promotion")

RNG = np.random.default_rng(0)
T, B, M, N = 30, 3, 4, 2
PRE, POST = (jnp.asarray(RNG.random((T, B, n)) < 0.3, jnp.float32) for n in (M, N))
REWARD = jnp.asarray(RNG.normal(size=(T, B)), jnp.float32)
WEIGHT = jnp.zeros((M, N))
STDP = stdp_params(plus=0.03, minus=0.02, tau_pre=15.0, tau_post=25.0)


def per_sample():
    return layer_stdp_loop(np.asarray(PRE), np.asarray(POST), 0.03, 0.02, 15.0, 25.0)


def scan(step, state, *xs):
    return jax.jit(lambda *xs: jax.lax.scan(step, state, xs)[1])(*xs)


def test_mstdp_weighs_each_sample_by_its_reward():
    def step(state, x):
        return mstdp_step(STDP, state, x[0], x[1], WEIGHT, x[2])

    got = scan(step, stdp_init((B, M), (B, N)), PRE, POST, REWARD)
    want = (np.asarray(REWARD)[..., None, None] * per_sample()).sum(1)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_mstdp_with_a_reward_of_one_is_stdp():
    state = stdp_init((B, M), (B, N))
    _, got = mstdp_step(STDP, state, PRE[0], POST[0], WEIGHT, 1.0)
    _, want = stdp_step(STDP, state, PRE[0], POST[0], WEIGHT)
    np.testing.assert_allclose(got, want, atol=1e-7)


def test_mstdpet_equals_the_loop():
    tau_e, eligibility, want = 10.0, np.zeros((B, M, N)), []
    for t, change in enumerate(per_sample()):
        eligibility = eligibility * np.exp(-1 / tau_e) + change / tau_e
        want.append((np.asarray(REWARD[t])[:, None, None] * eligibility).sum(0))
    decay = float(np.exp(-1 / tau_e))

    def step(state, x):
        params = MSTDPETParams(STDP, decay, 1 / tau_e)
        return mstdpet_step(params, state, x[0], x[1], WEIGHT, x[2])

    got = scan(step, mstdpet_init((B, M), (B, N), (M, N), (B,)), PRE, POST, REWARD)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_without_reward_nothing_changes():
    def step(state, x):
        return mstdpet_step(mstdpet_params(), state, *x, WEIGHT, 0.0)

    assert not scan(step, mstdpet_init((B, M), (B, N), (M, N), (B,)), PRE, POST).any()


def test_a_reward_one_time_constant_late_counts_1_over_e():
    tau_e = 12
    params = mstdpet_params(tau_e=float(tau_e), plus=1.0, minus=0.0)
    pulse = jnp.zeros((tau_e + 1, 1)).at[0].set(1.0)

    def step(state, x):
        return mstdpet_step(params, state, *x, *x, jnp.zeros((1, 1)), 1.0)

    change = scan(step, mstdpet_init((1,), (1,), (1, 1)), pulse)[:, 0, 0]
    assert float(change[tau_e] / change[0]) == pytest.approx(np.exp(-1), rel=1e-5)


def test_a_convolution_keeps_its_samples_apart():
    pre, post = (jnp.asarray(RNG.random((2, 4, 4, c)) < 0.4, jnp.float32) for c in (1, 2))
    weight, reward = jnp.zeros((3, 3, 1, 2)), jnp.array([2.0, -1.0])
    params = MSTDPETParams(STDPParams(1.0, 0.0, 0.5, 0.5), 0.0, 1.0)
    state = mstdpet_init(pre.shape, post.shape, weight.shape, (2,))
    state, change = mstdpet_step(params, state, pre, post, weight, reward, product=convolution())
    one = [
        stdp_step(
            params.stdp,
            stdp_init(pre.shape[1:], post.shape[1:]),
            pre[b],
            post[b],
            weight,
            product=convolution(),
        )[1]
        for b in range(2)
    ]
    np.testing.assert_allclose(change, 2.0 * one[0] - one[1], atol=1e-5)
    assert float(jnp.abs(one[0] - one[1]).max()) > 0


def test_rewards_of_another_batch_are_refused():
    state = mstdpet_init((B, M), (B, N), (M, N), (B,))
    with pytest.raises(ValueError, match="one for each sample"):
        mstdpet_step(mstdpet_params(), state, PRE[0], POST[0], WEIGHT, jnp.ones(B + 1))
    with pytest.raises(ValueError, match="must start with the batch axes"):
        mstdpet_init((B, M), (N,), (M, N), (B,))


def test_two_armed_bandit():
    """Two output neurons, fired at random by their weights; the reward comes 5 steps later."""
    pay = jnp.array([0.8, 0.2])
    params = mstdpet_params(tau_e=5.0, plus=1.0, minus=0.0)

    def trial(carry, key):
        weight, baseline = carry
        choose, luck = jax.random.split(key)
        arm = jax.random.categorical(choose, 4.0 * weight[0])
        won = jax.random.bernoulli(luck, pay[arm]).astype(jnp.float32)
        pre = jnp.zeros((6, 1)).at[0].set(1.0)
        post = jnp.zeros((6, 2)).at[0, arm].set(1.0)
        reward = jnp.zeros(6).at[5].set(won - baseline)

        def step(state, x):
            return mstdpet_step(params, state, x[0], x[1], weight, x[2], coincidence=potentiate)

        state = mstdpet_init((1,), (2,), (1, 2))
        change = jax.lax.scan(step, state, (pre, post, reward))[1].sum(0)
        return (apply(weight, change, 0.0, 1.0), 0.9 * baseline + 0.1 * won), arm

    keys = jax.random.split(jax.random.key(0), 400)
    start = (jnp.full((1, 2), 0.5), jnp.array(0.5))
    _, arms = jax.jit(lambda keys: jax.lax.scan(trial, start, keys))(keys)
    assert float((arms[-200:] == 0).mean()) > 0.9
