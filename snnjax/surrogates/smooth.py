"""Surrogates that are positive everywhere: arctangent, sigmoid, fast sigmoid, error function."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _atan_slope(x: Array, slope: Array) -> Array:
    return 0.5 * slope / (1.0 + (0.5 * math.pi * slope * x) ** 2)


def _atan_primitive(x: Array, slope: Array | float = 2.0) -> Array:
    """P(x) = atan(pi a x / 2) / pi + 1/2."""
    return jnp.arctan(0.5 * math.pi * slope * x) / math.pi + 0.5


@with_primitive(_atan_primitive)
def atan(
    x: ArrayLike, slope: ArrayLike = 2.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the arctangent surrogate, area 1 and peak a/2.

        g(x) = (a/2) / (1 + (pi a x / 2)^2),   P(x) = atan(pi a x / 2) / pi + 1/2

    Args:
      x: membrane minus threshold, any shape.
      slope: a, traced; at the default of 2 the peak is 1.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Fang et al., "Incorporating Learnable Membrane Time Constant", ICCV 2021.

    >>> float(atan(0.0)), float(jax.grad(atan)(0.0))
    (1.0, 1.0)
    """
    return heaviside(x, _atan_slope, gain=gain, strict=strict, slope=slope)


def _sigmoid_slope(x: Array, slope: Array) -> Array:
    return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)


def _sigmoid_primitive(x: Array, slope: Array | float = 4.0) -> Array:
    """P(x) = sigma(a x)."""
    return jax.nn.sigmoid(slope * x)


@with_primitive(_sigmoid_primitive)
def sigmoid(
    x: ArrayLike, slope: ArrayLike = 4.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the logistic surrogate, area 1 and peak a/4.

        g(x) = a sigma(a x) sigma(-a x),   P(x) = sigma(a x)

    Args:
      x: membrane minus threshold, any shape.
      slope: a, traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    >>> float(jax.grad(sigmoid)(0.0)), float(jax.grad(sigmoid)(-1e4))
    (1.0, 0.0)
    """
    return heaviside(x, _sigmoid_slope, gain=gain, strict=strict, slope=slope)


def _fast_sigmoid_slope(x: Array, slope: Array) -> Array:
    return 0.5 * slope / (1.0 + slope * jnp.abs(x)) ** 2


def _fast_sigmoid_primitive(x: Array, slope: Array | float = 25.0) -> Array:
    """P(x) = (k x / (1 + k |x|) + 1) / 2."""
    return 0.5 * (slope * x / (1.0 + slope * jnp.abs(x)) + 1.0)


@with_primitive(_fast_sigmoid_primitive)
def fast_sigmoid(
    x: ArrayLike, slope: ArrayLike = 25.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the fast-sigmoid (soft-sign) surrogate, area 1 and peak k/2.

        g(x) = k / (2 (1 + k |x|)^2),   P(x) = (k x / (1 + k |x|) + 1) / 2

    The form without the factor k/2, which other libraries use, has area 2/k: `gain=2/k` gives it.

    Args:
      x: membrane minus threshold, any shape.
      slope: k, traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Zenke and Ganguli, "SuperSpike", Neural Computation 2018.

    >>> float(jax.grad(fast_sigmoid)(0.0)), float(jax.grad(fast_sigmoid)(0.04))
    (12.5, 3.125)
    """
    return heaviside(x, _fast_sigmoid_slope, gain=gain, strict=strict, slope=slope)


def _erf_slope(x: Array, slope: Array) -> Array:
    return slope / math.sqrt(math.pi) * jnp.exp(-((slope * x) ** 2))


def _erf_primitive(x: Array, slope: Array | float = 2.0) -> Array:
    """P(x) = (1 + erf(a x)) / 2."""
    return 0.5 * (1.0 + jax.scipy.special.erf(slope * x))


@with_primitive(_erf_primitive)
def erf(
    x: ArrayLike, slope: ArrayLike = 2.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the Gaussian (error-function) surrogate, area 1 and peak a / sqrt(pi).

        g(x) = a / sqrt(pi) exp(-a^2 x^2),   P(x) = (1 + erf(a x)) / 2

    It is the normal density of standard deviation 1 / (a sqrt 2).

    Args:
      x: membrane minus threshold, any shape.
      slope: a, traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    >>> round(float(jax.grad(erf)(0.0)), 3)
    1.128
    """
    return heaviside(x, _erf_slope, gain=gain, strict=strict, slope=slope)
