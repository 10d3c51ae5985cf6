"""Send-on-delta: the reference follows the signal, and the receiver follows the reference."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import DeltaParams, delta_init, delta_step, sigma_init, sigma_step
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
THRESHOLD = 0.4


@jax.jit
def transmit(x):
    """Events, references and what the receiver makes of them."""

    def step(carry, value):
        sender, receiver = carry
        sender, event = delta_step(DeltaParams(THRESHOLD), sender, value)
        receiver, total = sigma_step(receiver, event)
        return (sender, receiver), (event, sender.ref, total)

    return unroll(step, (delta_init(x.shape[1:]), sigma_init(x.shape[1:])), x)[1]


def test_the_reference_stays_near_and_the_receiver_has_it_to_the_last_bit():
    """Over 3000 steps of random walks, so an error that grew would be seen."""
    steps = np.random.default_rng(0).normal(0, 0.2, (3000, 8))
    x = jnp.asarray(steps.cumsum(0), jnp.float32)
    events, ref, total = transmit(x)
    assert (jnp.abs(x - ref) < THRESHOLD).all()
    np.testing.assert_array_equal(total, ref)
    assert 0.05 < (events != 0).mean() < 0.5
    assert (jnp.abs(events)[events != 0] > THRESHOLD - 1e-3).all()


def test_noise_below_the_threshold_is_not_sent():
    x = 5 + jnp.asarray(np.random.default_rng(1).uniform(-0.19, 0.19, (200, 8)), jnp.float32)
    events, _, _ = transmit(x)
    assert (events[0] == x[0]).all()
    assert not events[1:].any()


def test_a_linear_map_may_stand_between_the_two():
    x = jnp.asarray(np.random.default_rng(2).normal(0, 1, (100, 8)), jnp.float32)
    events, ref, _ = transmit(x)
    weights = jnp.asarray(np.random.default_rng(3).normal(0, 1, (8, 5)), jnp.float32)
    totals = unroll(sigma_step, sigma_init((5,)), events @ weights)[1]
    np.testing.assert_allclose(totals, ref @ weights, atol=1e-4)


def test_the_gradient_passes_where_a_change_is_sent():
    """out = e H(|e| - threshold): H + e g sign(e) with respect to x, -e g to the threshold."""

    def out(x, threshold, step=delta_step):
        return step(DeltaParams(threshold), delta_init(()), x)[1]

    both = jax.grad(out, argnums=(0, 1))
    g = 1 / (1 + (np.pi * 0.5) ** 2)
    np.testing.assert_allclose(both(1.5, 1.0), [1 + 1.5 * g, -1.5 * g], rtol=1e-5)
    np.testing.assert_allclose(both(-0.5, 1.0), [0.5 * g, 0.5 * g], rtol=1e-5)
    silent = partial(out, step=partial(delta_step, spike=lambda e: jax.lax.stop_gradient(e)))
    assert float(jax.grad(silent)(1.5, 1.0)) == 0.5


def test_the_receiver_checks_its_input():
    with pytest.raises(TypeError, match="must be floating point; got int32"):
        sigma_step(sigma_init((2,)), jnp.ones(2, jnp.int32))
    with pytest.raises(ValueError, match="does not fit"):
        sigma_step(sigma_init((2,)), jnp.ones(3))
