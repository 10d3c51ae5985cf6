"""Surrogates that are constant on each side of an edge: leaky k-ReLU, piecewise leaky ReLU."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _leaky_slope(x: Array, leak: Array, slope: Array) -> Array:
    return jnp.where(x >= 0, slope, leak)


def _strict_leaky_slope(x: Array, leak: Array, slope: Array) -> Array:
    return jnp.where(x > 0, slope, leak)


def _leaky_primitive(x: Array, leak: Array | float = 0.0, slope: Array | float = 1.0) -> Array:
    """P(x) = k x from 0 on, leak x below."""
    return jnp.where(x >= 0, slope * x, leak * x)


@with_primitive(_leaky_primitive)
def leaky_k_relu(
    x: ArrayLike,
    leak: ArrayLike = 0.0,
    slope: ArrayLike = 1.0,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the derivative of a leaky ReLU of slope k: area infinite.

        g(x) = k where the neuron fires, leak where it is silent
        P(x) = k x for x >= 0, leak x for x < 0

    Args:
      x: membrane minus threshold, any shape.
      leak: g of a silent neuron; traced. At the default of 0 a silent neuron does not learn.
      slope: k, g of a firing one; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent, and has g = leak.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    >>> import jax
    >>> [float(jax.grad(leaky_k_relu)(x, 0.25)) for x in (-1.0, 0.0)]
    [0.25, 1.0]
    """
    derivative = _strict_leaky_slope if strict else _leaky_slope
    return heaviside(x, derivative, gain=gain, strict=strict, leak=leak, slope=slope)


def _piecewise_slope(x: Array, width: Array, leak: Array) -> Array:
    return jnp.where(jnp.abs(x) < width, 0.5 / width, leak)


def _piecewise_primitive(x: Array, width: Array | float = 1.0, leak: Array | float = 0.01) -> Array:
    """P(x) = x / (2 w) + 1/2 for |x| <= w, outside it a line of slope c from 0 or from 1."""
    inside = 0.5 * x / width + 0.5
    above, below = 1.0 + leak * (x - width), leak * (x + width)
    return jnp.where(x < -width, below, jnp.where(x > width, above, inside))


@with_primitive(_piecewise_primitive)
def piecewise_leaky_relu(
    x: ArrayLike,
    width: ArrayLike = 1.0,
    leak: ArrayLike = 0.01,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with a rectangle of area 1 that leaks: peak 1/(2w), area infinite unless c = 0.

        g(x) = 1/(2w) for |x| < w, else c
        P(x) = x/(2w) + 1/2 inside, c (x + w) below, 1 + c (x - w) above

    Args:
      x: membrane minus threshold, any shape.
      width: w, half of the window, above 0; traced. `rectangle` takes the full width.
      leak: c, at least 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    >>> import jax
    >>> [round(float(jax.grad(piecewise_leaky_relu)(x)), 2) for x in (-1.5, 0.0, 1.0)]
    [0.01, 0.5, 0.01]
    """
    return heaviside(x, _piecewise_slope, gain=gain, strict=strict, width=width, leak=leak)
