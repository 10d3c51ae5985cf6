"""Estimates of gradients from forward passes against gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import subtract
from snnjax.plasticity import forward_gradient, perturbation_gradient
from snnjax.unroll import unroll
from tests.plasticity.layers import bptt, cosine, network, plain, problem

pytestmark = pytest.mark.usefixtures("strict_promotion")


def test_forward_gradients_average_to_backpropagation():
    weights, xs = problem(4, 3, steps=15)
    step, state = network(plain, subtract, weights, 3)

    def loss(weights):
        return unroll(lambda s, x: step(weights, s, x), state, xs)[1].sum()

    value, got = jax.jit(lambda w: forward_gradient(loss, w, key=jax.random.key(0), samples=4000))(
        weights
    )
    want = bptt(step, weights, state, xs)
    assert float(value) == pytest.approx(float(loss(weights)), rel=1e-5)
    assert cosine(got, want) > 0.99
    scale = np.linalg.norm(got[0]) / np.linalg.norm(want[0])
    assert scale == pytest.approx(1.0, abs=0.1)


def test_each_direction_is_projected():
    """One sample: the estimate is parallel to its direction, its length the slope along it."""
    w = jnp.array([1.0, -2.0, 3.0])
    _, got = forward_gradient(lambda w: (w**2).sum(), w, key=jax.random.key(1))
    slope = got @ (2.0 * w)
    assert float(slope) >= 0.0
    assert float(jnp.abs(got).min()) > 0.0


def test_perturbations_see_the_true_steps():
    """A smoothed Heaviside step: d/dw E[H(w + size v)] is a Gaussian density at w."""
    size = 0.5
    _, got = perturbation_gradient(
        lambda w: (w > 0).astype(jnp.float32),
        jnp.array(0.3),
        key=jax.random.key(0),
        size=size,
        samples=20_000,
    )
    want = np.exp(-0.5 * (0.3 / size) ** 2) / (size * np.sqrt(2 * np.pi))
    assert float(got) == pytest.approx(want, rel=0.05)


def test_no_samples():
    with pytest.raises(ValueError, match="`samples` must be at least 1"):
        forward_gradient(lambda w: w, 1.0, key=jax.random.key(0), samples=0)
