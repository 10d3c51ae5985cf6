"""Random feedback and the rate regulariser as learning signals."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import detach, lif_init, subtract
from snnjax.plasticity import (
    EPropParams,
    RateParams,
    eprop_init,
    eprop_step,
    feedback_dense,
    rate_init,
    rate_step,
)
from snnjax.unroll import online_gradient
from tests.plasticity.layers import cosine, lif, problem

pytestmark = pytest.mark.usefixtures("strict_promotion")

RNG = np.random.default_rng(0)
X, W, B, Y = (
    jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((3, 5), (5, 2), (5, 2), (3, 2))
)


def test_learning_signal_is_the_error_through_the_feedback():
    def loss(x, w, b):
        return 0.5 * jnp.sum((feedback_dense(x, w, b) - Y) ** 2)

    dx, dw, db = jax.grad(loss, argnums=(0, 1, 2))(X, W, B)
    error = X @ W - Y
    np.testing.assert_allclose(dx, error @ B.T, rtol=1e-5)
    np.testing.assert_allclose(dw, X.T @ error, rtol=1e-5)
    assert not db.any()
    symmetric = jax.grad(loss)(X, W, W)
    np.testing.assert_allclose(
        symmetric, jax.grad(lambda x: 0.5 * jnp.sum((x @ W - Y) ** 2))(X), rtol=1e-5
    )


def test_random_feedback_changes_the_hidden_gradient_alone():
    (weight,), (spikes, targets) = problem(6, 5)
    state = eprop_init(lif_init((3, 5)), (3, 5), 6)
    params = {"in": weight, "out": W}

    def step(feedback, params, state, x):
        layer = EPropParams(params["in"], None, 0.9)
        state, _ = eprop_step(lif(detach(subtract)), layer, state, x[0])
        y = feedback_dense(state.filtered, params["out"], feedback)
        return state, 0.5 * jnp.sum((y - x[1]) ** 2)

    xs = spikes, targets[..., :2]
    symmetric, random = (
        jax.jit(partial(online_gradient, partial(step, b)))(params, state, xs)[1] for b in (W, B)
    )
    np.testing.assert_allclose(random["out"], symmetric["out"], rtol=1e-5)
    assert cosine(random["in"], symmetric["in"]) < 0.9


def test_rates_of_a_layer_come_to_their_target():
    (weight,), (spikes, _) = problem(8, 6, steps=200, batch=4)
    goal = RateParams(0.2, 0.01, 0.99)

    def step(weight, state, x):
        layer, rate = state
        layer, z = eprop_step(lif(detach(subtract)), EPropParams(weight), layer, x)
        rate, loss = rate_step(goal, rate, z)
        return (layer, rate), (loss, z)

    @jax.jit
    def train(weight):
        def update(carry, _):
            weight, rate = carry
            start = eprop_init(lif_init((4, 6)), (4, 6), 8), rate
            (_, rate), grads, (_, z) = online_gradient(step, weight, start, spikes, has_aux=True)
            return (weight - 0.05 * grads, rate), z.mean((0, 1))

        return jax.lax.scan(update, (weight, rate_init((4, 6))), length=150)[1]

    rates = train(weight)
    assert float(jnp.abs(rates[0] - 0.2).max()) > 0.1
    np.testing.assert_allclose(rates[-1], 0.2, atol=0.06)


def test_rate_signal():
    """L = c (f' - f*), nothing through f'."""
    params, z = RateParams(0.1, jnp.array([2.0, 3.0]), 0.75), jnp.array([1.0, 0.0])
    state = rate_init((2,))._replace(rate=jnp.array([0.4, 0.0]))
    signal = jax.grad(lambda z: rate_step(params, state, z)[1])(z)
    np.testing.assert_allclose(signal, [2.0 * (0.55 - 0.1), 3.0 * (0.0 - 0.1)], rtol=1e-5)
