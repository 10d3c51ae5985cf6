"""Surrogates with a logarithmic primitive: tails of 1/|x|, and so an infinite area."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _sign_log_slope(x: Array, slope: Array) -> Array:
    return slope / (1.0 + slope * jnp.abs(x))


def _sign_log_primitive(x: Array, slope: Array | float = 1.0) -> Array:
    """P(x) = sign(x) log(1 + a |x|)."""
    below, above = jnp.where(x < 0, x, 0.0), jnp.where(x < 0, 0.0, x)
    return jnp.where(x < 0, -jnp.log1p(-slope * below), jnp.log1p(slope * above))


@with_primitive(_sign_log_primitive)
def nonzero_sign_log(
    x: ArrayLike, slope: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the nonzero-sign-log surrogate, peak a and infinite area.

        g(x) = 1 / (1/a + |x|),   P(x) = sign(x) log(1 + a |x|)

    Args:
      x: membrane minus threshold, any shape.
      slope: a, above 0; traced.
      gain: factor on g, traced; 1/a gives 1 / (1 + a |x|).
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    >>> [float(jax.grad(nonzero_sign_log)(x, 2.0)) for x in (0.0, 1.5)]
    [2.0, 0.5]
    """
    return heaviside(x, _sign_log_slope, gain=gain, strict=strict, slope=slope)


def _s2nn_slope(x: Array, slope: Array, height: Array) -> Array:
    below = slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)
    return jnp.where(x < 0, below, height / (1.0 + jnp.maximum(x, 0.0)))


def _s2nn_primitive(x: Array, slope: Array | float = 4.0, height: Array | float = 1.0) -> Array:
    """P(x) = sigma(a x) below 0, b log(1 + x) + 1/2 from 0 on."""
    above = jnp.where(x < 0, 0.0, x)
    return jnp.where(x < 0, jax.nn.sigmoid(slope * x), height * jnp.log1p(above) + 0.5)


@with_primitive(_s2nn_primitive)
def s2nn(
    x: ArrayLike,
    slope: ArrayLike = 4.0,
    height: ArrayLike = 1.0,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the S2NN surrogate: from a sigmoid below the threshold, from a logarithm above.

        g(x) = a sigma(a x) sigma(-a x) for x < 0, else b / (x + 1);   area infinite
        P(x) = sigma(a x) for x < 0, else b log(x + 1) + 1/2

    Args:
      x: membrane minus threshold, any shape.
      slope: a, above 0; traced. g jumps at 0 unless a = 4 b.
      height: b, which is g(0); traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    Suetake et al., "S2NN: Time step reduction of spiking surrogate gradients for training energy
    efficient single-step neural networks", Neural Networks 2023.

    >>> [float(jax.grad(s2nn)(x)) for x in (0.0, 1.0)]
    [1.0, 0.5]
    """
    return heaviside(x, _s2nn_slope, gain=gain, strict=strict, slope=slope, height=height)


def _numerical_slope(x: Array, height: Array) -> Array:
    return height / jnp.maximum(1.0, height * jnp.abs(x))


def _numerical_primitive(x: Array, height: Array | float = 0.3) -> Array:
    """P(x) = 1/2 + u for |u| <= 1 with u = a x, else 1/2 + sign(u) (1 + log |u|)."""
    u = height * x
    far = 1.0 + jnp.log(jnp.maximum(jnp.abs(u), 1.0))
    return 0.5 + jnp.where(u < -1.0, -far, jnp.where(u > 1.0, far, u))


@with_primitive(_numerical_primitive)
def fake_numerical(
    x: ArrayLike, height: ArrayLike = 0.3, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the clipped difference quotient of the sign as surrogate; area infinite.

        g(x) = min(1 / |x|, a),   P(x) = 1/2 + a x for a |x| <= 1, else 1/2 + sign(x) (1 + log a|x|)

    Args:
      x: membrane minus threshold, any shape.
      height: a, the peak, above 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    >>> [float(jax.grad(fake_numerical)(x, 0.5)) for x in (0.0, -2.0, 4.0)]
    [0.5, 0.5, 0.25]
    """
    return heaviside(x, _numerical_slope, gain=gain, strict=strict, height=height)


def _log_tailed_slope(x: Array, leak: Array) -> Array:
    return jnp.where(x > 0, 1.0 / jnp.maximum(x, 1.0), leak)


def _log_tailed_primitive(x: Array, leak: Array | float = 0.0) -> Array:
    """P(x) = a x up to 0, x up to 1, 1 + log x beyond."""
    tail = 1.0 + jnp.log(jnp.where(x > 1.0, x, 1.0))
    return jnp.where(x <= 0, leak * x, jnp.where(x <= 1.0, x, tail))


@with_primitive(_log_tailed_primitive)
def log_tailed_relu(
    x: ArrayLike, leak: ArrayLike = 0.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the log-tailed-ReLU surrogate: nothing below the threshold, area infinite above.

        g(x) = a for x <= 0, 1 for 0 < x <= 1, 1 / x for x > 1
        P(x) = a x,          x,                1 + log x

    Exactly at x = 0 the neuron fires and g is a, by default 0: networks that start there do not
    learn.

    Args:
      x: membrane minus threshold, any shape.
      leak: a, at least 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    Cai et al., "Deep learning with low precision by half-wave Gaussian quantization", CVPR 2017.

    >>> [float(jax.grad(log_tailed_relu)(x)) for x in (0.0, 0.5, 4.0)]
    [0.0, 1.0, 0.25]
    """
    return heaviside(x, _log_tailed_slope, gain=gain, strict=strict, leak=leak)
