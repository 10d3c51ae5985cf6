"""Dopamine-modulated STDP against a closed form, and the distal reward problem."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.plasticity import dopamine_init, dopamine_params, dopamine_step

pytestmark = pytest.mark.usefixtures("strict_promotion")


def changes(pre, post, reward, params):
    weight = jnp.zeros((pre.shape[-1], post.shape[-1]))

    @jax.jit
    def run(pre, post, reward):
        def step(state, x):
            return dopamine_step(params, state, x[0], x[1], weight, x[2])

        batch = pre.shape[1:-1]
        state = dopamine_init(pre.shape[1:], post.shape[1:], weight.shape, batch)
        return jax.lax.scan(step, state, (pre, post, reward))[1]

    return run(pre, post, reward)


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_a_pair_and_a_later_reward(dt):
    """dW = A+ exp(-gap/tau) k sum_t exp(-(t - t_post)/tau_c) exp(-(t - t_r)/tau_d) dt."""
    tau_c, tau_d, k, at, gap, steps = 100.0, 20.0, 0.5, 30, 3, 200
    params = dopamine_params(dt, tau_c=tau_c, tau_d=tau_d, release=k, plus=0.1, minus=0.2)
    pre = jnp.zeros((steps, 1)).at[0].set(1.0)
    post = jnp.zeros((steps, 1)).at[gap].set(1.0)
    got = changes(pre, post, jnp.zeros(steps).at[at].set(1.0), params)[:, 0, 0]
    time = np.arange(steps) * dt
    tag = 0.1 * np.exp(-gap * dt / 20.0) * np.exp(-(time - gap * dt) / tau_c)
    dopamine = np.where(time >= at * dt, k * np.exp(-(time - at * dt) / tau_d), 0.0)
    np.testing.assert_allclose(got, tag * dopamine * dt, rtol=1e-4, atol=1e-9)
    assert not got[:at].any()


def test_a_delayed_reward_finds_the_synapse_that_fired_in_order():
    """Of 20 synapses with random spikes one fires before the neuron; the reward is 0.5 s late."""
    rng = np.random.default_rng(0)
    steps = 20_000
    pre = rng.random((steps, 20)) < 0.001
    post = rng.random((steps, 1)) < 0.001
    reward = np.zeros(steps)
    for start in range(500, steps - 600, 1500):
        pre[start, 0] = post[start + 4, 0] = True
        reward[start + 504] = 1.0
    total = changes(
        *(jnp.asarray(x, jnp.float32) for x in (pre, post, reward)), dopamine_params()
    ).sum(0)[:, 0]
    assert int(total.argmax()) == 0
    assert float(total[0]) > 3 * float(jnp.abs(total[1:]).max())


def test_each_sample_has_its_own_dopamine():
    one = jnp.ones((4, 2, 1))
    reward = jnp.zeros((4, 2)).at[0, 1].set(1.0)
    params = dopamine_params()
    together = changes(one, one, reward, params)
    alone = changes(one[:, 1], one[:, 1], reward[:, 1], params)
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert together.any()
