"""Interpolation kernels that spread a learnable delay over the steps 0 .. max_delay.

A kernel is a function `taps(delay, sigma, max_delay) -> [max_delay + 1, *delay.shape]`: the
fraction of an input that arrives after 0 .. max_delay steps. A larger delay means a later arrival.
All sum to 1.
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
    check_max_delay,
    check_sigma,
    check_synapses,
)
from snnjax.surrogates.core import compute_dtype

Taps = Callable[[Array, ArrayLike, int], Array]

SIGMA_OFFSET = 0.27
"""Steps added to the width of a Gaussian, so that it never vanishes between two steps."""

EPSILON = 1e-7
"""Added to the sum that normalises the taps, as in DCLS."""


def gaussian_taps(delay: ArrayLike, sigma: ArrayLike, max_delay: int) -> Array:
    """A Gaussian bump about the delay, normalised over the buffer.

        X_j = exp(-((j - d) / (|sigma| + 0.27))^2 / 2),    tap_j = X_j / (sum_j X_j + 1e-7)

    Smooth in the delay for every sigma; sigma = 0 is allowed, and leaves 0.998 of an integer
    delay on its step. Near an end the bump is renormalised, not truncated.

    Args:
      delay: d, in steps, 0 .. max_delay, any shape.
      sigma: a scalar, traced or not. max_delay: K - 1, the longest delay.

    Returns:
      Taps [K, *delay.shape] in the dtype of the delay.

    Hammouamri, Khalfaoui-Hassani and Masquelier, "Learning delays in spiking neural networks using
    dilated convolutions with learnable spacings", ICLR 2024.

    >>> [round(float(tap), 3) for tap in gaussian_taps(1.0, 0.23, 3)]
    [0.106, 0.787, 0.106, 0.0]
    """
    return _gaussian(*_check_taps_of(delay, sigma, max_delay))


def triangle_taps(delay: ArrayLike, sigma: ArrayLike, max_delay: int) -> Array:
    """A triangle about the delay, normalised over the buffer; "max" in DCLS.

        X_j = max(|sigma| + 1 - |j - d|, 0),    tap_j = X_j / (sum_j X_j + 1e-7)

    At sigma = 0 it interpolates between two steps. Its gradient jumps where a step enters the
    support.

    Args: as for `gaussian_taps`.

    >>> [round(float(tap), 3) for tap in triangle_taps(1.25, 0.0, 3)]
    [0.0, 0.75, 0.25, 0.0]
    """
    return _triangle(*_check_taps_of(delay, sigma, max_delay))


def two_taps(delay: ArrayLike, sigma: ArrayLike, max_delay: int) -> Array:
    """Exact interpolation between the two steps that a delay lies between; "v0" in DCLS.

        tap_j = 1 - frac(d) at floor(d),    frac(d) at floor(d) + 1

    The derivative is -1 and 1 at the two steps, from the right at an integer delay. `sigma` is not
    used; the argument gives all kernels the same signature.

    Args: as for `gaussian_taps`.

    >>> [round(float(tap), 3) for tap in two_taps(1.25, 0.0, 3)]
    [0.0, 0.75, 0.25, 0.0]
    """
    return _two(*_check_taps_of(delay, sigma, max_delay))


def kernel_of(
    weight: ArrayLike,
    delay: ArrayLike,
    sigma: ArrayLike,
    max_delay: int,
    *,
    taps: Taps = gaussian_taps,
) -> Array:
    """The temporal kernel of every synapse, summed over its taps.

        kernel[j, i, o] = sum_c w[i, o, c] tap_j(d[i, o, c])

    Args:
      weight, delay: w and d, [I, O], or [I, O, Kc] with Kc delays per synapse; d in 0 .. max_delay.

    Returns:
      [K, I, O] with K = max_delay + 1.

    Raises:
      ValueError: shapes differ, or a concrete delay is out of range. TypeError: dtypes differ.
    """
    weight, delay = check_synapses(weight, delay, max_delay)
    check_sigma(sigma)
    return sum_taps(weight, delay, sigma, max_delay, taps=taps)


def sum_taps(weight: Array, delay: Array, sigma: ArrayLike, max_delay: int, *, taps: Taps) -> Array:
    """`kernel_of` synapses that are checked already."""
    taps = unchecked(taps)
    if weight.ndim == 2:
        return weight * taps(delay, sigma, max_delay)
    each = [weight[..., c] * taps(delay[..., c], sigma, max_delay) for c in range(weight.shape[-1])]
    return sum(each[1:], each[0])


def unchecked(taps: Taps) -> Taps:
    """`taps` without the checks of its arguments, for delays and a sigma checked already."""
    for public, inner in (
        (gaussian_taps, _gaussian),
        (triangle_taps, _triangle),
        (two_taps, _two),
    ):
        if taps is public:
            return inner
    return taps


def _gaussian(delay: Array, sigma: ArrayLike, max_delay: int) -> Array:
    delay, steps, narrow = _grid(delay, max_delay)
    width = jnp.abs(jnp.asarray(sigma, delay.dtype)) + jnp.asarray(SIGMA_OFFSET, delay.dtype)
    return _normalise(jnp.exp(-0.5 * jnp.square((steps - delay) / width))).astype(narrow)


def _triangle(delay: Array, sigma: ArrayLike, max_delay: int) -> Array:
    delay, steps, narrow = _grid(delay, max_delay)
    width = jnp.abs(jnp.asarray(sigma, delay.dtype)) + 1
    return _normalise(jax.nn.relu(width - jnp.abs(steps - delay))).astype(narrow)


def _two(delay: Array, sigma: ArrayLike, max_delay: int) -> Array:
    delay, steps, narrow = _grid(delay, max_delay)
    floor = lax.stop_gradient(jnp.floor(delay))
    share = delay - floor  # NaN for a NaN delay, and then all taps are NaN
    tap = jnp.where(steps == floor, 1 - share, jnp.where(steps == floor + 1, share, 0 * share))
    return tap.astype(narrow)


def _check_taps_of(
    delay: ArrayLike, sigma: ArrayLike, max_delay: int
) -> tuple[Array, ArrayLike, int]:
    """The arguments of a tap function, checked."""
    delay = as_delay(delay)
    check_delay(delay, check_max_delay(max_delay))
    check_sigma(sigma)
    return delay, sigma, max_delay


def _grid(delay: Array, max_delay: int) -> tuple[Array, Array, jnp.dtype]:
    """The delay and the steps 0 .. max_delay along a new first axis, and the dtype of the delay.

    Both are float32 or wider: bfloat16 cannot represent every step above 256.
    """
    wide = delay.astype(compute_dtype(delay.dtype))
    steps = lax.broadcasted_iota(wide.dtype, (max_delay + 1, *(1,) * delay.ndim), 0)
    return wide, steps, delay.dtype


def _normalise(taps: Array) -> Array:
    return taps / (taps.sum(0) + jnp.asarray(EPSILON, taps.dtype))
