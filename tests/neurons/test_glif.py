"""GLIF with its gates at 0 and 1, where it is a simpler neuron."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    GLIFParams,
    IFParams,
    LIFParams,
    glif_init,
    glif_step,
    if_init,
    if_step,
    lif_init,
    lif_step,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = jnp.asarray(np.random.default_rng(0).normal(0.4, 1.0, (200, 5)), jnp.float32)
DECAY, THRESHOLD, CONDUCT = 0.75, 0.8, 0.5


def gated(alpha, beta, gamma, leak=0.1) -> GLIFParams:
    return GLIFParams(alpha, beta, gamma, DECAY, leak, CONDUCT, THRESHOLD, THRESHOLD)


def run(params, x):
    return unroll(partial(glif_step, params), glif_init((5,)), x, record=("v",))[1]


def lif(x, reset):
    step = partial(lif_step, LIFParams(DECAY, THRESHOLD), reset=reset)
    return unroll(step, lif_init((5,)), x)[1]


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_exponential_leak_and_reset_to_zero_are_lif(beta):
    z, _ = run(gated(1.0, beta, 1.0), X)
    want = lif(X * (CONDUCT if beta else 1.0), zero)
    assert want.sum() > 20
    np.testing.assert_array_equal(z, want)


def test_without_leak_and_with_subtraction_it_is_integrate_and_fire():
    z, _ = run(gated(0.0, 0.0, 0.0, leak=0.0), X)
    want = unroll(partial(if_step, IFParams(THRESHOLD)), if_init((5,)), X)[1]
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)


def test_with_leak_the_subtraction_comes_undecayed_and_late():
    z, _ = run(gated(1.0, 0.0, 0.0), X)
    u, s, spikes = np.zeros(5), np.zeros(5), []
    for x in np.asarray(X, np.float64):
        u = DECAY * u + x - THRESHOLD * s
        s = (u >= THRESHOLD).astype(float)
        spikes.append(s)
    np.testing.assert_array_equal(z, spikes)
    assert 0.02 < np.mean(np.asarray(z) != lif(X, subtract)) < 0.2


def test_the_linear_leak_is_not_clipped():
    _, records = run(gated(0.0, 0.0, 1.0, leak=0.25), jnp.zeros((6, 5)))
    np.testing.assert_array_equal(records["v"][:, 0], -0.25 * np.arange(1, 7))


def test_a_gain_for_each_step():
    params = gated(0.6, 1.0, 0.3)
    gains = jnp.asarray(np.random.default_rng(1).uniform(0.2, 1.0, (200, 5)), jnp.float32)

    def step(state, x):
        return glif_step(params._replace(conduct=x[0]), state, x[1])

    z = unroll(step, glif_init((5,)), (gains, X))[1]
    assert z.sum() > 20
    np.testing.assert_array_equal(z, run(params._replace(conduct=1.0), gains * X)[0])
