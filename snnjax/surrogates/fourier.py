"""The surrogate from the first harmonics of a square wave, negative over half of its period."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import heaviside, with_primitive


@functools.cache
def _series_slope(harmonics: int) -> Callable[..., Array]:
    """The derivative of a number of harmonics; the same function object for the same number."""

    def derivative(x: Array, period: Array) -> Array:
        base = 2.0 * math.pi / period * x
        terms = jnp.stack([jnp.cos((2 * i + 1) * base) for i in range(harmonics)])
        return 4.0 / period * terms.sum(0)

    return derivative


def _series_primitive(x: Array, period: Array | float = 8.0, harmonics: int = 1) -> Array:
    """P(x) = 1/2 + (2 / pi) sum over odd m of sin(2 pi m x / T) / m."""
    base = 2.0 * math.pi / period * x
    terms = jnp.stack([jnp.sin((2 * i + 1) * base) / (2 * i + 1) for i in range(harmonics)])
    return 0.5 + 2.0 / math.pi * terms.sum(0)


@with_primitive(_series_primitive, uncast=("harmonics",))
def squarewave_fourier(
    x: ArrayLike,
    period: ArrayLike = 8.0,
    *,
    harmonics: int = 1,
    gain: ArrayLike = 1.0,
    strict: bool = False,
) -> Array:
    """Spike with harmonics of a square wave as primitive; g is NEGATIVE over half a period.

        g(x) = (4 / T) sum_m cos(2 pi m x / T),   P(x) = 1/2 + (2 / pi) sum_m sin(2 pi m x / T) / m

    over the odd m = 1, 3, ..., 2 harmonics - 1. The area over a period is 0; g is periodic, so
    membranes beyond a quarter of a period from the threshold get gradients of the wrong sign.

    Args:
      x: membrane minus threshold, any shape.
      period: T, above 0; traced.
      harmonics: number of odd m; static, at least 1. The peak g(0) is 4 harmonics / T.
      gain: factor on g, traced.
      strict: whether x = 0 stays silent.

    Returns:
      Spikes in {0, 1} with the shape and dtype of `x`; the soft form leaves [0, 1].

    >>> import jax
    >>> [round(float(jax.grad(squarewave_fourier)(x)), 3) for x in (0.0, 2.0, 4.0)]
    [0.5, -0.0, -0.5]
    """
    if isinstance(harmonics, bool) or not isinstance(harmonics, int) or harmonics < 1:
        raise ValueError(f"`harmonics` must be a Python int of at least 1; got {harmonics!r}.")
    return heaviside(x, _series_slope(harmonics), gain=gain, strict=strict, period=period)
