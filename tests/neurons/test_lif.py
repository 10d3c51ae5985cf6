"""LIF against manual backpropagation and against the analytic firing rate."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    LIFParams,
    detach,
    exact,
    lif_init,
    lif_step,
    subtract,
    zero,
)
from snnjax.surrogates import atan
from snnjax.unroll import unroll
from tests.reference.neurons import lif_bptt

pytestmark = pytest.mark.usefixtures("strict_promotion")


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("checkpoint", [True, False, 3])
def test_gradient_equals_manual_backpropagation(detached, checkpoint):
    generator = np.random.default_rng(0)
    x, upstream = generator.normal(0.4, 0.8, 10), generator.normal(size=10)
    reset = detach(subtract) if detached else subtract

    def loss(x, decay):
        step = partial(lif_step, LIFParams(decay, 1.0), spike=partial(atan, slope=3.0), reset=reset)
        _, spikes = unroll(step, lif_init(()), x, checkpoint=checkpoint)
        return (spikes * jnp.asarray(upstream, jnp.float32)).sum()

    dx, ddecay = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.asarray(x, jnp.float32), 0.8)
    want_dx, want_ddecay = lif_bptt(x, 0.8, 1.0, 3.0, upstream, detached)
    np.testing.assert_allclose(dx, want_dx, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ddecay, want_ddecay, rtol=1e-4)


def test_spike_count_on_a_constant_current():
    """Hard reset, scaled input: T / (tau ln(I / (I - threshold))) spikes within the duration T."""
    tau, duration, dt = 20.0, 1000.0, 0.01
    current = jnp.array([1.2, 1.5, 2.0, 4.0])
    params = LIFParams(exact(tau, dt), 1.0)

    @jax.jit
    def count():
        def step(carry, _):
            state, total = carry
            state, z = lif_step(params, state, current, reset=zero, scale_input=True)
            return (state, total + z), None

        start = (lif_init((4,)), jnp.zeros(4))
        (_, total), _ = jax.lax.scan(step, start, length=round(duration / dt))
        return total

    for drive, spikes in zip(current.tolist(), count().tolist(), strict=True):
        assert abs(spikes - duration / (tau * math.log(drive / (drive - 1)))) <= 1
