"""Interpolation kernels that spread a learnable delay over the steps of its buffer.

A kernel is a function `taps(delay, sigma, size) -> [size, *delay.shape]`: the fraction of an input
that arrives after 0 .. size - 1 steps. A larger delay means a later arrival. All sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.delays.check import (
    as_delay,
    check_delay,
    check_sigma,
    check_size,
    check_synapses,
)
from snnjax.surrogates.core import compute_dtype

Taps = Callable[[Array, ArrayLike, int], Array]

SIGMA_OFFSET = 0.27
"""Steps added to the width of a Gaussian, so that it never vanishes between two steps."""

EPSILON = 1e-7
"""Added to the sum that normalises the taps, as in DCLS."""


def gaussian_taps(delay: ArrayLike, sigma: ArrayLike, size: int) -> Array:
    """A Gaussian bump about the delay, normalised over the buffer.

        X_j = exp(-((j - d) / (|sigma| + 0.27))^2 / 2),    tap_j = X_j / (sum_j X_j + 1e-7)

    Smooth in the delay for every sigma; sigma = 0 is allowed, and leaves 0.998 of an integer
    delay on its step. Near an end the bump is renormalised, not truncated.

    Args:
      delay: d, in steps, 0 .. size - 1, any shape.
      sigma: a scalar, traced or not. size: K, steps of the buffer.

    Returns:
      Taps [K, *delay.shape] in the dtype of the delay.

    Hammouamri, Khalfaoui-Hassani and Masquelier, "Learning delays in spiking neural networks using
    dilated convolutions with learnable spacings", ICLR 2024.

    >>> [round(float(tap), 3) for tap in gaussian_taps(1.0, 0.23, 4)]
    [0.106, 0.787, 0.106, 0.0]
    """
    delay, steps, narrow = _grid(delay, sigma, size)
    width = jnp.abs(jnp.asarray(sigma, delay.dtype)) + jnp.asarray(SIGMA_OFFSET, delay.dtype)
    return _normalise(jnp.exp(-0.5 * jnp.square((steps - delay) / width))).astype(narrow)


def triangle_taps(delay: ArrayLike, sigma: ArrayLike, size: int) -> Array:
    """A triangle about the delay, normalised over the buffer; "max" in DCLS.

        X_j = max(|sigma| + 1 - |j - d|, 0),    tap_j = X_j / (sum_j X_j + 1e-7)

    At sigma = 0 it interpolates between two steps. Its gradient jumps where a step enters the
    support.

    Args: as for `gaussian_taps`.

    >>> [round(float(tap), 3) for tap in triangle_taps(1.25, 0.0, 4)]
    [0.0, 0.75, 0.25, 0.0]
    """
    delay, steps, narrow = _grid(delay, sigma, size)
    width = jnp.abs(jnp.asarray(sigma, delay.dtype)) + 1
    return _normalise(jax.nn.relu(width - jnp.abs(steps - delay))).astype(narrow)


def two_taps(delay: ArrayLike, sigma: ArrayLike, size: int) -> Array:
    """Exact interpolation between the two steps that a delay lies between; "v0" in DCLS.

        tap_j = 1 - frac(d) at floor(d),    frac(d) at floor(d) + 1

    The derivative is -1 and 1 at the two steps, from the right at an integer delay. `sigma` is not
    used; the argument gives all kernels the same signature.

    Args: as for `gaussian_taps`.

    >>> [round(float(tap), 3) for tap in two_taps(1.25, 0.0, 4)]
    [0.0, 0.75, 0.25, 0.0]
    """
    delay, steps, narrow = _grid(delay, sigma, size)
    floor = lax.stop_gradient(jnp.floor(delay))
    share = delay - floor  # NaN for a NaN delay, and then all taps are NaN
    tap = jnp.where(steps == floor, 1 - share, jnp.where(steps == floor + 1, share, 0 * share))
    return tap.astype(narrow)


def kernel_of(
    weight: ArrayLike, delay: ArrayLike, sigma: ArrayLike, size: int, *, taps: Taps = gaussian_taps
) -> Array:
    """The temporal kernel of every synapse, summed over its taps.

        kernel[j, i, o] = sum_c w[i, o, c] tap_j(d[i, o, c])

    Args:
      weight, delay: w and d, [I, O], or [I, O, Kc] with Kc delays per synapse.

    Returns:
      [K, I, O].

    Raises:
      ValueError: shapes differ, or a concrete delay is out of range. TypeError: dtypes differ.
    """
    weight, delay = check_synapses(weight, delay, size)
    if weight.ndim == 2:
        return weight * taps(delay, sigma, size)
    each = [weight[..., c] * taps(delay[..., c], sigma, size) for c in range(weight.shape[-1])]
    return sum(each[1:], each[0])


def _grid(delay: ArrayLike, sigma: ArrayLike, size: int) -> tuple[Array, Array, jnp.dtype]:
    """The delay and the steps 0 .. K - 1 along a new first axis, and the dtype of the delay.

    Both are float32 or wider: bfloat16 cannot represent every step above 256.
    """
    check_size(size)
    delay = as_delay(delay)
    check_delay(delay, size)
    check_sigma(sigma)
    wide = delay.astype(compute_dtype(delay.dtype))
    steps = lax.broadcasted_iota(wide.dtype, (size, *(1,) * delay.ndim), 0)
    return wide, steps, delay.dtype


def _normalise(taps: Array) -> Array:
    return taps / (taps.sum(0) + jnp.asarray(EPSILON, taps.dtype))
