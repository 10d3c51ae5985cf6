"""Gaussian surrogates: a single one at any position, and a multi-Gaussian with negative tails."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _gaussian_slope(x: Array, mu: Array, sigma: Array) -> Array:
    return jnp.exp(-0.5 * ((x - mu) / sigma) ** 2) / (math.sqrt(2.0 * math.pi) * sigma)


def _gaussian_primitive(x: Array, mu: Array | float = 0.0, sigma: Array | float = 0.5) -> Array:
    """P(x) = (1 + erf((x - mu) / (sigma sqrt 2))) / 2."""
    return 0.5 * (1.0 + jax.scipy.special.erf((x - mu) / (math.sqrt(2.0) * sigma)))


@with_primitive(_gaussian_primitive)
def gaussian(
    x: ArrayLike,
    mu: ArrayLike = 0.0,
    sigma: ArrayLike = 0.5,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the density of N(mu, sigma) as surrogate, area 1 and peak 1 / (sigma sqrt(2 pi)).

        g(x) = N(x; mu, sigma),   P(x) = (1 + erf((x - mu) / (sigma sqrt 2))) / 2

    `erf` of slope a is the one with mu = 0 and sigma = 1 / (a sqrt 2). PDSG is the one with
    mu = sigma / 2 and sigma the running deviation of the membrane: pass both as arrays, under
    `jax.lax.stop_gradient` if anything is to be differentiated through `soft`.

    Args:
      x: membrane minus threshold, any shape.
      mu: where g peaks, broadcastable to the shape of `x`; traced.
      sigma: standard deviation, above 0, broadcastable as `mu` is; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Lun et al., "Towards effective and sparse adversarial attack on spiking neural networks via
    breaking invisible surrogate gradients", CVPR 2025.

    >>> [round(float(jax.grad(gaussian)(x, 0.5, 1.0)), 3) for x in (0.0, 0.5, 1.0)]
    [0.352, 0.399, 0.352]
    """
    return heaviside(x, _gaussian_slope, gain=gain, strict=strict, mu=mu, sigma=sigma)


def _multi_gaussian_slope(
    x: Array, sigma: Array, height: Array, scale: Array, shift: Array
) -> Array:
    side, wide = shift * sigma, scale * sigma
    core = _gaussian_slope(x, jnp.zeros_like(side), sigma)
    sides = _gaussian_slope(x, side, wide) + _gaussian_slope(x, -side, wide)
    return ((1.0 + height) * core - height * sides) / (1.0 - height)


def _multi_gaussian_primitive(
    x: Array,
    sigma: Array | float = 0.5,
    height: Array | float = 0.15,
    scale: Array | float = 6.0,
    shift: Array | float = 1.0,
) -> Array:
    """The primitive of g: the same sum with distribution functions instead of densities."""
    side, wide = shift * sigma, scale * sigma
    sides = _gaussian_primitive(x, side, wide) + _gaussian_primitive(x, -side, wide)
    return ((1.0 + height) * _gaussian_primitive(x, 0.0, sigma) - height * sides) / (1.0 - height)


@with_primitive(_multi_gaussian_primitive)
def multi_gaussian(
    x: ArrayLike,
    sigma: ArrayLike = 0.5,
    height: ArrayLike = 0.15,
    scale: ArrayLike = 6.0,
    shift: ArrayLike = 1.0,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the multi-Gaussian surrogate, area 1. Its tails are slightly NEGATIVE.

        g(x) = ((1 + h) N(x; 0, s) - h N(x; c s, k s) - h N(x; -c s, k s)) / (1 - h)

    P is the same sum of distribution functions; it leaves [0, 1]. The authors' code omits the
    division and halves the sum: `gain=0.5 * (1 - h)`, which is 0.425. With `shift=0` the two
    wide bells coincide, as in the double Gaussian of resonate-and-fire neurons.

    Args:
      x: membrane minus threshold, any shape.
      sigma: s, deviation of the bell in the middle, above 0; traced.
      height: h, weight of each wide bell, below 1; traced.
      scale: k, how much wider they are; traced.
      shift: c, where they lie, in units of s; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Yin, Corradi and Bohte, "Accurate and efficient time-domain classification with adaptive spiking
    recurrent neural networks", Nature Machine Intelligence 2021.

    >>> [round(float(jax.grad(multi_gaussian)(x, gain=0.425)), 3) for x in (0.0, 2.0)]
    [0.439, -0.016]
    """
    return heaviside(
        x, _multi_gaussian_slope, gain=gain, strict=strict,
        sigma=sigma, height=height, scale=scale, shift=shift,
    )  # fmt: skip
