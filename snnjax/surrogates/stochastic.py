"""Stochastic spike functions with an explicit key: Bernoulli spikes, and a noisy gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import (
    Spike,
    check_floating,
    compute_dtype,
    heaviside,
    soft,
    with_primitive,
)
from snnjax.surrogates.smooth import sigmoid


@jax.custom_jvp
def _drawn(spikes: Array, expected: Array) -> Array:
    """`spikes`, differentiated as `expected`."""
    return spikes


@_drawn.defjvp
def _drawn_jvp(primals, tangents):
    return _drawn(*primals), tangents[1]


def _expected(x: Array, key: Any = None, base: Spike = sigmoid, **params: Array) -> Array:
    """P_base(x), the probability to fire."""
    return soft(base)(x, **params)


@with_primitive(_expected, uncast=("key", "base"))
def bernoulli(
    x: ArrayLike,
    *,
    key: Array,
    base: Spike = sigmoid,
    gain: ArrayLike = 1.0,
    **params: ArrayLike,
) -> Array:
    """Fire at random, with the primitive of a surrogate as probability (escape noise).

        P(s = 1) = P_base(x),   ds/dx = gain * g_base(x)

    At gain 1 this is the gradient of the expected spike, not a surrogate in the usual sense. So the
    parameters of the base get gradients as well. A probability below 0 never fires, one above 1
    always: with `straight_through` as base, P is x itself and x is the probability.

    Args:
      x: membrane minus threshold, any shape.
      key: a key of `jax.random.key`; a new one for each step, passed to a scan with its inputs, and
        split where the function is vmapped.
      base: a surrogate that has a primitive.
      gain: factor on the gradient only, traced.
      **params: parameters of the base, such as its slope; traced.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; NaN stays NaN.

    >>> keys = jax.random.split(jax.random.key(0), 1000)
    >>> rate = jax.vmap(lambda key: bernoulli(0.25, key=key))(keys).mean()
    >>> round(float(rate), 1), round(float(jax.nn.sigmoid(4.0 * 0.25)), 1)
    (0.7, 0.7)
    """
    x = check_floating(x, "x")
    expected = soft(base)(x.astype(compute_dtype(x.dtype)), **params)
    fires = (jax.random.uniform(key, x.shape, expected.dtype) < expected).astype(expected.dtype)
    spikes = jnp.where(jnp.isnan(expected), expected, fires)
    gain = jax.lax.stop_gradient(jnp.asarray(gain, expected.dtype))
    return _drawn(spikes, gain * expected).astype(x.dtype)


def _operator_slope(x: Array, noise: Array) -> Array:
    return jnp.where(x >= 0, 1.0, noise)


def _strict_operator_slope(x: Array, noise: Array) -> Array:
    return jnp.where(x > 0, 1.0, noise)


def stochastic_spike_operator(
    x: ArrayLike,
    *,
    key: Array,
    mean: ArrayLike = 0.0,
    variance: ArrayLike = 0.2,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with gradient 1 where it fires and a noisy, often NEGATIVE, gradient elsewhere.

        forward   H(x), nothing random
        g(x)      1 where the neuron fires, else (U + mean) * variance with U uniform on [-1/2, 1/2)

    `variance` is the established name; the standard deviation of the noise is variance / sqrt 12.

    Args:
      x: membrane minus threshold, any shape.
      key: a key of `jax.random.key`; the noise changes only with the key.
      mean: offset of the noise before it is scaled, traced.
      variance: scale of the noise, traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`. There is no soft form.

    >>> g = jax.grad(lambda x: stochastic_spike_operator(x, key=jax.random.key(0)))
    >>> float(g(0.5)), abs(float(g(-0.5))) <= 0.1
    (1.0, True)
    """
    x = check_floating(x, "x")
    dtype = compute_dtype(x.dtype)
    uniform = jax.random.uniform(key, x.shape, dtype, -0.5, 0.5)
    noise = (uniform + jnp.asarray(mean, dtype)) * jnp.asarray(variance, dtype)
    derivative = _strict_operator_slope if strict else _operator_slope
    return heaviside(x, derivative, gain=gain, strict=strict, noise=noise)
