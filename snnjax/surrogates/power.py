"""Surrogates with power-law tails: soft sign, SuperSpike and its sparse form, circular, q-exp."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, soft, with_primitive
from snnjax.surrogates.smooth import fast_sigmoid


def _soft_sign_primitive(x: Array, slope: Array | float = 2.0) -> Array:
    """P(x) = (a x / (1 + a |x|) + 1) / 2."""
    return soft(fast_sigmoid)(x, slope)


@with_primitive(_soft_sign_primitive)
def soft_sign(
    x: ArrayLike, slope: ArrayLike = 2.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the soft-sign surrogate, area 1 and peak a/2: a wide `fast_sigmoid`.

        g(x) = 1 / (2 a (1/a + |x|)^2) = a / (2 (1 + a |x|)^2),   P(x) = (a x / (1 + a |x|) + 1) / 2

    Args:
      x: membrane minus threshold, any shape.
      slope: a, above 0; traced. Only this default differs from `fast_sigmoid`.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    >>> import jax
    >>> [float(jax.grad(soft_sign)(x)) for x in (0.0, 0.5)]
    [1.0, 0.25]
    """
    return fast_sigmoid(x, slope, gain=gain, strict=strict)


def _super_spike_primitive(x: Array, slope: Array | float = 1.0) -> Array:
    """P(x) = (b x / (1 + b |x|) + 1) / 2."""
    return soft(fast_sigmoid)(x, slope)


@with_primitive(_super_spike_primitive)
def super_spike(
    x: ArrayLike, slope: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the SuperSpike surrogate in its area-1 form, peak b/2.

        g(x) = b / (2 (1 + b |x|)^2),   P(x) = (b x / (1 + b |x|) + 1) / 2

    The same g as `fast_sigmoid`. Published forms differ from it, and from each other, by a gain:
    the paper's 1 / (1 + b |x|)^2 is `gain=2/b`; the form a / (1 + |x|)^2, whose only parameter is
    a height instead of a slope, is `slope=1, gain=2*a`.

    Args:
      x: membrane minus threshold, any shape.
      slope: b, above 0; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Zenke and Ganguli, "SuperSpike", Neural Computation 2018.

    >>> import jax
    >>> [float(jax.grad(super_spike)(x, gain=2.0)) for x in (0.0, 1.0)]
    [1.0, 0.25]
    """
    return fast_sigmoid(x, slope, gain=gain, strict=strict)


def _sparse_slope(x: Array, slope: Array, cutoff: Array) -> Array:
    top, beyond = 1.0 + slope * cutoff, jnp.maximum(x, cutoff)
    g = slope * top / (1.0 + slope * beyond) ** 2
    return jnp.where(x > cutoff, g, jnp.zeros((), x.dtype))


def _sparse_primitive(x: Array, slope: Array | float = 25.0, cutoff: Array | float = 1.0) -> Array:
    """P(x) = 1 - (1 + k B) / (1 + k x) above B, else 0."""
    beyond = jnp.where(x > cutoff, x, cutoff)
    return 1.0 - (1.0 + slope * cutoff) / (1.0 + slope * beyond)


@with_primitive(_sparse_primitive)
def sparse_fast_sigmoid(
    x: ArrayLike,
    slope: ArrayLike = 25.0,
    cutoff: ArrayLike = 1.0,
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with the part of the fast-sigmoid surrogate above a cutoff, area 1.

        g(x) = k (1 + k B) / (1 + k x)^2 for x > B, else 0;   P(x) = 1 - (1 + k B) / (1 + k x)

    Silent neurons get no gradient, nor do those less than B above their threshold: g(0) = 0, and
    many networks stop learning with the default. (The paper keeps |x| < B instead, for speed.)

    Args:
      x: membrane minus threshold, any shape.
      slope: k, above 0; traced.
      cutoff: B, at least 0; traced. g is highest just above it, k / (1 + k B).
      gain: factor on g, traced; 1 / (k (1 + k B)) gives 1 / (1 + k x)^2.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Perez-Nieves and Goodman, "Sparse spiking gradient descent", NeurIPS 2021.

    >>> import jax
    >>> [float(jax.grad(sparse_fast_sigmoid)(x, 1.0, 1.0)) for x in (0.0, 1.0, 3.0)]
    [0.0, 0.0, 0.125]
    """
    return heaviside(x, _sparse_slope, gain=gain, strict=strict, slope=slope, cutoff=cutoff)


def _circular_slope(x: Array, width: Array) -> Array:
    return 0.5 / (width * (1.0 + (x / width) ** 2) ** 1.5)


def _circular_primitive(x: Array, width: Array | float = 1.0) -> Array:
    """P(x) = x / (2 sqrt(x^2 + a^2)) + 1/2."""
    u = x / width
    return 0.5 * u / jnp.sqrt(1.0 + u**2) + 0.5


@with_primitive(_circular_primitive)
def circular(
    x: ArrayLike, width: ArrayLike = 1.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the circular surrogate, area 1 and peak 1/(2a).

        g(x) = a^2 / (2 (x^2 + a^2)^(3/2)),   P(x) = x / (2 sqrt(x^2 + a^2)) + 1/2

    Args:
      x: membrane minus threshold, any shape.
      width: a, above 0; traced.
      gain: factor on g, traced; 2a gives the form of peak 1.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    >>> import jax, math
    >>> [float(jax.grad(circular)(x, 0.5)) for x in (0.0, math.sqrt(0.75))]
    [1.0, 0.125]
    """
    return heaviside(x, _circular_slope, gain=gain, strict=strict, width=width)


def _q_slope(x: Array, power: Array) -> Array:
    return (1.0 + 2.0 / (power - 1.0) * jnp.abs(x)) ** (-power)


def _q_primitive(x: Array, power: Array | float = 2.0) -> Array:
    """P(x) = 1 - h for x >= 0 and h below, with h = (1 + 2 |x| / (a - 1))^(1 - a) / 2."""
    # not jnp.abs: its derivative at 0 is a matter of convention
    distance = jnp.where(x < 0, -x, x)
    half = 0.5 * (1.0 + 2.0 / (power - 1.0) * distance) ** (1.0 - power)
    return jnp.where(x < 0, half, 1.0 - half)


@with_primitive(_q_primitive)
def q_pseudo_spike(
    x: ArrayLike, power: ArrayLike = 2.0, *, gain: ArrayLike = 1.0, strict: bool = False
) -> Array:
    """Spike with the q-pseudo-spike surrogate, area 1 and peak 1: `power` only sets its tails.

        g(x) = (1 + 2 |x| / (a - 1))^(-a)
        P(x) = 1 - h for x >= 0, h for x < 0,   h = (1 + 2 |x| / (a - 1))^(1 - a) / 2

    At a = 2 it is `fast_sigmoid` of slope 2; for a to infinity `piecewise_exponential` of slope 2.

    Args:
      x: membrane minus threshold, any shape.
      power: a, above 1; traced.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`.

    Herranz-Celotti and Rouat, "Stabilizing spiking neuron training", 2022.

    >>> import jax
    >>> [float(jax.grad(q_pseudo_spike)(x, 3.0)) for x in (0.0, 1.0)]
    [1.0, 0.125]
    """
    return heaviside(x, _q_slope, gain=gain, strict=strict, power=power)
