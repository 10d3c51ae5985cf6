"""Surrogates with exponential tails: piecewise exponential, and off-centre spike-rate escape."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


def _exponential_slope(x: Array, slope: Array) -> Array:
    return 0.5 * slope * jnp.exp(-slope * jnp.abs(x))


def _exponential_primitive(x: Array, slope: Array | float = 1.0) -> Array:
    """P(x) = exp(a x) / 2 below 0, 1 - exp(-a x) / 2 from 0 on."""
    # each exponential is evaluated on its own side only; at 0 the derivative is the right-hand one
    below, above = jnp.where(x < 0, x, 0.0), jnp.where(x < 0, 0.0, x)
    return jnp.where(x < 0, 0.5 * jnp.exp(slope * below), 1.0 - 0.5 * jnp.exp(-slope * above))


@with_primitive(_exponential_primitive)
def piecewise_exponential(
    x: ArrayLike, slope: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the piecewise-exponential (Laplace) surrogate, area 1 and peak a/2.

        g(x) = (a/2) exp(-a |x|),   P(x) = exp(a x) / 2 for x < 0, else 1 - exp(-a x) / 2

    Args:
      x: membrane minus threshold, any shape.
      slope: a, above 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Shrestha and Orchard, "SLAYER: Spike layer error reassignment in time", NeurIPS 2018.

    >>> import jax
    >>> float(jax.grad(piecewise_exponential)(0.0, 2.0))
    1.0
    """
    return heaviside(x, _exponential_slope, gain=gain, strict=strict, slope=slope)


def _escape_slope(x: Array, slope: Array, center: Array) -> Array:
    return _exponential_slope(x - center, slope)


def _escape_primitive(x: Array, slope: Array | float = 1.0, center: Array | float = 1.0) -> Array:
    """P(x) = exp(b (x - c)) / 2 below c, 1 - exp(-b (x - c)) / 2 from c on."""
    return _exponential_primitive(x - center, slope)


@with_primitive(_escape_primitive)
def spike_rate_escape(
    x: ArrayLike,
    slope: ArrayLike = 1.0,
    center: ArrayLike = 1.0,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the spike-rate-escape surrogate, area 1, with its peak b/2 off the threshold.

        g(x) = (b/2) exp(-b |x - c|),   P(x) = P_exp(x - c), P_exp of `piecewise_exponential`

    The peak lies at x = c, by default a full unit above the threshold, where the neuron already
    fires; g(0) is then 0.37 of the peak. `center=0` is `piecewise_exponential`.

    Args:
      x: membrane minus threshold, any shape.
      slope: b, above 0; traced.
      center: c, where g peaks; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Gerstner and Kistler, "Spiking Neuron Models", Cambridge University Press 2002.

    >>> import jax
    >>> [round(float(jax.grad(spike_rate_escape)(x)), 3) for x in (0.0, 1.0)]
    [0.184, 0.5]
    """
    return heaviside(x, _escape_slope, gain=gain, strict=strict, slope=slope, center=center)
