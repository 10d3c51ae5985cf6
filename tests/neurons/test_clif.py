"""What the complementary potential does to a LIF neuron."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CLIFParams,
    CLIFState,
    LIFParams,
    clif_init,
    clif_step,
    detach,
    lif_init,
    lif_step,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = jnp.asarray(np.random.default_rng(0).normal(0.4, 1.0, (200, 5)), jnp.float32)


def run(x, **options):
    step = partial(clif_step, CLIFParams(0.5, 1.0), **options)
    return unroll(step, clif_init((5,)), x, record=("v", "m"))[1]


def test_the_first_spike_is_that_of_lif_and_there_are_fewer():
    z, _ = run(X)
    want = unroll(partial(lif_step, LIFParams(0.5, 1.0)), lif_init((5,)), X)[1]
    np.testing.assert_array_equal(z.argmax(0), want.argmax(0))
    assert 50 < z.sum() < want.sum()


def test_with_a_zero_reset_it_is_lif():
    z, records = run(X, reset=zero)
    lif = partial(lif_step, LIFParams(0.5, 1.0), reset=zero)
    _, (want, membrane) = unroll(lif, lif_init((5,)), X, record=("v",))
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(records["v"], membrane["v"], atol=1e-5)


def test_resets_deepen_while_it_fires_and_recover_at_rest():
    steps = 12
    drive = jnp.concatenate([jnp.full((steps, 5), 4.0), jnp.zeros((40, 5))])
    z, records = run(drive)
    m = np.asarray(records["m"])[:, 0]
    assert z[:steps].all()
    assert (np.diff(m[:steps]) > 0).all()
    before = np.concatenate([[0.0], records["v"][: steps - 1, 0]])
    depth = 0.5 * before + 4.0 - np.asarray(records["v"][:steps, 0])
    np.testing.assert_allclose(depth, 1 + 1 / (1 + np.exp(-m[:steps])), rtol=1e-4)
    assert m[-1] < 1e-6 < m[steps - 1]


def test_a_detached_reset_keeps_the_gradient_through_the_complementary_potential():
    def after(m, reset):
        state = CLIFState(jnp.array(1.0), m)
        return clif_step(CLIFParams(0.5, 1.0), state, jnp.array(2.0), reset=reset)[0].v

    h, m = 2.5, 0.7
    weight = 1 / (1 + np.exp(-0.5 * h))
    depth = 1 / (1 + np.exp(-(m * weight + 1)))
    for reset in (subtract, detach(subtract)):
        slope = jax.grad(after)(jnp.array(m), reset)
        assert float(slope) == pytest.approx(-depth * (1 - depth) * weight, rel=1e-5)
