"""Surrogates with bounded support: triangle, rectangle, piecewise quadratic; straight-through."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _triangle_slope(x: Array, width: Array) -> Array:
    return jnp.maximum(0.0, width - jnp.abs(x)) / width**2


def _triangle_primitive(x: Array, width: Array | float = 1.0) -> Array:
    """P(x) = 1/2 + u - |u| u / 2 with u = x / w clipped to [-1, 1]."""
    u = x / width
    inside = 0.5 + u - 0.5 * jnp.abs(u) * u
    return jnp.where(u <= -1.0, 0.0, jnp.where(u >= 1.0, 1.0, inside))


@with_primitive(_triangle_primitive)
def triangle(
    x: ArrayLike, width: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the triangular surrogate, area 1 and peak 1/w.

        g(x) = max(0, w - |x|) / w^2,   P(x) = 1/2 + u - |u| u / 2 with u = clip(x / w, -1, 1)

    Args:
      x: membrane minus threshold, any shape.
      width: w, half of the base, above 0; traced.
      gain: factor on g, traced; 0.3 gives the surrogate of DIET-SNN.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    NeurIPS 2018.

    >>> import jax
    >>> [float(jax.grad(triangle)(x, 2.0)) for x in (-2.0, 0.0, 1.0)]
    [0.0, 0.5, 0.25]
    """
    return heaviside(x, _triangle_slope, gain=gain, strict=strict, width=width)


def _rectangle_slope(x: Array, width: Array) -> Array:
    return jnp.where(jnp.abs(x) < 0.5 * width, 1.0 / width, jnp.zeros((), x.dtype))


def _rectangle_primitive(x: Array, width: Array | float = 1.0) -> Array:
    """P(x) = clip(x / w + 1/2, 0, 1)."""
    u = x / width + 0.5
    return jnp.where(u <= 0.0, 0.0, jnp.where(u >= 1.0, 1.0, u))


@with_primitive(_rectangle_primitive)
def rectangle(
    x: ArrayLike, width: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the rectangular surrogate, area 1 and height 1/w.

        g(x) = 1/w where |x| < w/2, else 0,   P(x) = clip(x / w + 1/2, 0, 1)

    Args:
      x: membrane minus threshold, any shape.
      width: w, the full base, above 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Wu et al., "Spatio-temporal backpropagation", Frontiers in Neuroscience 2018.

    >>> import jax
    >>> [float(jax.grad(rectangle)(x, 2.0)) for x in (-1.0, 0.0, 0.9)]
    [0.0, 0.5, 0.5]
    """
    return heaviside(x, _rectangle_slope, gain=gain, strict=strict, width=width)


def _quadratic_slope(x: Array, slope: Array) -> Array:
    return jnp.maximum(0.0, slope - slope**2 * jnp.abs(x))


def _quadratic_primitive(x: Array, slope: Array | float = 1.0) -> Array:
    """P(x) = -a^2 |x| x / 2 + a x + 1/2 for |x| <= 1/a, else 0 or 1."""
    u = slope * x
    inside = 0.5 + u - 0.5 * jnp.abs(u) * u
    return jnp.where(u <= -1.0, 0.0, jnp.where(u >= 1.0, 1.0, inside))


@with_primitive(_quadratic_primitive)
def piecewise_quadratic(
    x: ArrayLike, slope: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the piecewise-quadratic surrogate, area 1 and peak a.

        g(x) = max(0, a - a^2 |x|),   P(x) = -a^2 |x| x / 2 + a x + 1/2 for |x| <= 1/a

    Named after its primitive; g is `triangle` of width 1/a, parametrised by its height a.

    Args:
      x: membrane minus threshold, any shape.
      slope: a, traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    >>> import jax
    >>> [float(jax.grad(piecewise_quadratic)(x, 2.0)) for x in (-0.5, 0.0, 0.25)]
    [0.0, 2.0, 1.0]
    """
    return heaviside(x, _quadratic_slope, gain=gain, strict=strict, slope=slope)


def _identity_slope(x: Array) -> Array:
    return jnp.ones_like(x)


def _identity_primitive(x: Array) -> Array:
    """P(x) = x."""
    return x


@with_primitive(_identity_primitive)
def straight_through(x: ArrayLike, *, gain: ArrayLike = 1.0, strict: bool = False) -> Array:
    """Spike with the derivative of the identity: g(x) = 1, P(x) = x, area infinite.

    Args:
      x: membrane minus threshold, any shape.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form is `x`, which leaves [0, 1].

    Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013.

    >>> import jax
    >>> float(straight_through(-3.0)), float(jax.grad(straight_through)(-3.0))
    (0.0, 1.0)
    """
    return heaviside(x, _identity_slope, gain=gain, strict=strict)
