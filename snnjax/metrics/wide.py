"""Exact sums of counts that would wrap in int32, without 64-bit types."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

Axis = int | tuple[int, ...] | None

_VALUE_BITS = 31  # bits of a nonnegative int32
_PRODUCT_BITS = 2 * _VALUE_BITS
_LARGEST = 2**_VALUE_BITS - 1
_NARROW = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32)


def wide_sum(x: ArrayLike, axis: Axis = None, *, n: int | None = None) -> Array:
    """The exact sum of nonnegative integers, as int32 words that cannot wrap.

        sum_i x[i] = sum_k words[k] * 2^(bits k),   bits = 31 - ceil(log2 n)

    Every entry is split into words of `bits` bits, and each word is summed on its own: n words
    below 2^bits add up to less than 2^31.

    Args:
      x: integers in 0..2^31 - 1, of at most 32 bits. Negative values raise if they are
        concrete, and are not detected inside `jax.jit`.
      axis: axes to sum; None sums all axes.
      n: number of entries of the complete sum, if the words of several calls are added (devices,
        time chunks); None takes the entries summed here. Must be below 2^30.

    Returns:
      int32 [..., W]: the remaining axes of `x`, then the words, lowest first; `wide_value` joins
      them.

    >>> counts = jnp.full((100_000,), 2**31 - 1, jnp.int32)
    >>> wide_value(wide_sum(counts), 100_000).item() == 100_000 * (2**31 - 1)
    True
    """
    value = _counts(x, "x")
    axes = _axes(axis, value.ndim)
    bits = word_bits(_entries(value.shape, axes, n))
    shifts = jnp.arange(0, _VALUE_BITS, bits, dtype=jnp.int32)
    words = (value[..., None] >> shifts) & _mask(bits, _VALUE_BITS)
    return jnp.sum(words, axes, dtype=jnp.int32)


def wide_dot(a: ArrayLike, b: ArrayLike, axis: Axis = None, *, n: int | None = None) -> Array:
    """The exact sum of products of nonnegative integers, as int32 words that cannot wrap.

        sum_i a[i] * b[i] = sum_k words[k] * 2^(bits k),   bits = 31 - ceil(log2 n)

    Each product is formed exactly in 62 bits and split as in `wide_sum`.

    Args:
      a, b: integers in 0..2^31 - 1, of at most 32 bits, broadcast against each other.
      axis: axes of the broadcast product to sum; None sums all axes.
      n: as in `wide_sum`.

    Returns:
      int32 [..., W]: the remaining axes of `a * b`, then the words, lowest first.

    >>> spikes, degree = jnp.full((256_000,), 400, jnp.int32), jnp.full((256_000,), 27, jnp.int32)
    >>> wide_value(wide_dot(spikes, degree), 256_000).item()
    2764800000
    """
    a, b = jnp.broadcast_arrays(_counts(a, "a"), _counts(b, "b"))
    axes = _axes(axis, a.ndim)
    bits = word_bits(_entries(a.shape, axes, n))
    low, high = _product(a, b)
    words = [_bit_field(low, high, shift, bits) for shift in range(0, _PRODUCT_BITS, bits)]
    return _sum_words(words, axes)


def wide_value(words: ArrayLike, n: int) -> np.ndarray:
    """The numbers that `wide_sum` and `wide_dot` hold in words, on the host.

    Args:
      words: int32 [..., W], concrete; words of several calls may have been added.
      n: entries of the complete sum, as passed when the words were made.

    Returns:
      int64 [...] where all values fit, otherwise Python integers in an object array [...].
      `.item()` and `.tolist()` give Python integers in both cases.
    """
    digits = np.asarray(words)
    bits = word_bits(n)
    widths = {-(-total // bits) for total in (_VALUE_BITS, _PRODUCT_BITS)}
    if digits.ndim < 1 or digits.shape[-1] not in widths:
        raise ValueError(
            f"words must end in an axis of {' or '.join(map(str, sorted(widths)))} words for "
            f"n={n}; got shape {digits.shape}. Pass the n that the words were made with."
        )
    if digits.size and digits.min() < 0:
        raise ValueError(
            f"words must not be negative; got {digits.min()}. They were made from negative "
            f"entries, or more than n={n} entries were added up: give the complete n to the sum."
        )
    exact = np.zeros(digits.shape[:-1], object)
    for k in range(digits.shape[-1]):
        exact = exact + digits[..., k].astype(object) * 2 ** (bits * k)
    exact = np.asarray(exact, object)
    fits = all(value < 2**63 for value in exact.flat)
    return exact.astype(np.int64) if fits else exact


def word_bits(n: int) -> int:
    """Bits of one word so that n of them add up without wrapping in int32.

    >>> word_bits(1), word_bits(1000), word_bits(1024), word_bits(1025)
    (31, 21, 21, 20)
    """
    if not 0 <= n < 2**30:
        raise ValueError(
            f"n must be in 0..2^30 - 1 for an exact sum in int32 words; got {n}. Sum over fewer "
            "entries and add the values on the host."
        )
    return _VALUE_BITS - max(n - 1, 0).bit_length()


def _entries(shape: tuple[int, ...], axes: tuple[int, ...], n: int | None) -> int:
    here = math.prod(shape[a] for a in axes)
    if n is not None and n < here:
        raise ValueError(
            f"n must count all entries of the sum, at least the {here} of this call; got {n}."
        )
    return here if n is None else n


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(a + ndim if a < 0 else a for a in given)
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) != len(axes):
        raise ValueError(f"axis must name distinct axes of an array with {ndim}; got {axis}.")
    return axes


def _sum_words(words: list[Array], axes: tuple[int, ...]) -> Array:
    return jnp.stack([jnp.sum(word, axes, dtype=jnp.int32) for word in words], axis=-1)


def _mask(bits: int, left: int) -> int:
    return 2 ** min(bits, left) - 1


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """The low 32 and the high 30 bits of a * b, uint32, by products of 16-bit halves."""
    a, b = a.astype(jnp.uint32), b.astype(jnp.uint32)
    a0, a1, b0, b1 = a & 0xFFFF, a >> 16, b & 0xFFFF, b >> 16
    # a1, b1 < 2^15: each cross product is below 2^31, and their sum with a carry below 2^32.
    cross = a0 * b1 + a1 * b0 + ((a0 * b0) >> 16)
    return (cross << 16) | ((a0 * b0) & 0xFFFF), a1 * b1 + (cross >> 16)


def _bit_field(low: Array, high: Array, shift: int, bits: int) -> Array:
    """Bits shift..shift+bits-1 of the 62-bit number high * 2^32 + low, int32."""
    if shift >= 32:
        field = high >> (shift - 32)
    else:
        field = low >> shift
        if shift + bits > 32:
            field = field | (high << (32 - shift))
    return (field & _mask(bits, _PRODUCT_BITS - shift)).astype(jnp.int32)


def _counts(x: Any, name: str) -> Array:
    """The argument as nonnegative int32; raises if that would lose information."""
    given = x if isinstance(x, jax.Array) else np.asarray(x)
    traced = isinstance(given, Tracer)
    if given.dtype not in _NARROW and (traced or not np.issubdtype(given.dtype, np.integer)):
        raise TypeError(
            f"{name} must be integers of at most 31 bits; got {given.dtype}. Cast counts with "
            ".astype(jnp.int32) where they are known to fit."
        )
    if not traced:
        given = np.asarray(given)
        if given.size and (given.min() < 0 or given.max() > _LARGEST):
            raise ValueError(
                f"{name} must be in 0..{_LARGEST}; got values from {given.min()} to {given.max()}. "
                "Sum larger numbers as Python integers."
            )
        given = given.astype(np.int32)
    return jnp.asarray(given, jnp.int32)
