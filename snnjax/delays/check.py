"""Argument checks shared by `delays`. Only concrete values are checked, never traced ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons.membrane import concrete
from snnjax.surrogates.core import check_floating


def check_max_delay(max_delay: int) -> int:
    """`max_delay`, checked to be a number of steps."""
    if isinstance(max_delay, bool) or not isinstance(max_delay, int) or max_delay < 0:
        raise ValueError(
            f"`max_delay` must be a Python int of at least 0, the longest delay in steps; got "
            f"{max_delay!r}."
        )
    return max_delay


def check_tail(tail: int) -> int:
    """`tail`, checked to be a number of steps without input."""
    if isinstance(tail, bool) or not isinstance(tail, int) or tail < 0:
        raise ValueError(f"`tail` must be a Python int of at least 0; got {tail!r}.")
    return tail


def check_taps(taps: Callable[..., Array]) -> Callable[..., Array]:
    """`taps`, checked to be a function, not a name."""
    if not callable(taps):
        raise TypeError(
            f"`taps` must be a function, such as snnjax.delays.gaussian_taps; got {taps!r}."
        )
    return taps


def check_dimensions(sizes: Sequence[int], strides: Sequence[int] | None = None) -> tuple[int, ...]:
    """Raise unless `sizes` are kernel extents in 1 to 3 dimensions, with as many strides if any."""
    if not isinstance(sizes, Sequence):
        raise TypeError(f"`sizes` must hold one extent per dimension, ({sizes},); got {sizes}.")
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"`sizes` must name 1 to 3 dimensions; got {tuple(sizes)}.")
    if strides is not None and (not isinstance(strides, Sequence) or len(strides) != len(sizes)):
        raise ValueError(
            f"`strides` must hold one stride for each of {len(sizes)} dimensions; got {strides}. "
            f"Give {(2,) * len(sizes)}, for instance, or None for 1."
        )
    return check_sizes(sizes)


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """`sizes`, checked to be extents of at least 1."""
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(f"`sizes` must be Python ints of at least 1; got {tuple(sizes)}.")
    return tuple(sizes)


def as_delay(delay: ArrayLike) -> Array:
    """The delay as a floating array, or a TypeError."""
    delay = jnp.asarray(delay)
    if not jnp.issubdtype(delay.dtype, jnp.floating):
        raise TypeError(
            f"`delay` must be floating to be learned; got {delay.dtype}. Cast it, or use "
            "an integer form such as `integer_delayed`."
        )
    return delay


def check_delay(delay: ArrayLike, max_delay: int) -> None:
    """Raise for delays outside 0 .. max_delay, and for NaN.

    Raises:
      ValueError: a delay is not finite, negative, or above max_delay.
    """
    values = concrete(delay)
    if values is None or not values.size:
        return
    _check_numbers("delay", values)
    if values.min() < 0:
        raise ValueError(
            f"`delay` must not be negative; got {values.min():g}. "
            f"Use `clamp_delay(delay, {max_delay})`."
        )
    if values.max() > max_delay:
        raise ValueError(
            f"`delay` must be at most max_delay = {max_delay}; got {values.max():g}. Raise "
            f"max_delay to {int(np.ceil(values.max()))}, or use `clamp_delay(delay, {max_delay})`."
        )


def check_position(position: ArrayLike, sizes: Sequence[int]) -> None:
    """Raise for positions [D, ...] outside a kernel of `sizes`, and for NaN."""
    values = concrete(position)
    if values is None or not values.size:
        return
    _check_numbers("position", values)
    for axis, (size, place) in enumerate(zip(sizes, values, strict=True)):
        half = (size - 1) / 2
        if np.abs(place).max() > half:
            raise ValueError(
                f"`position` must lie within {half:g} steps of the middle of a kernel of {size} "
                f"along axis {axis}; got {place.flat[np.abs(place).argmax()]:g}. Raise that size, "
                "or clip it."
            )


def check_synapses(weight: ArrayLike, delay: ArrayLike, max_delay: int) -> tuple[Array, Array]:
    """Weights and delays [I, O] or [I, O, Kc], checked against each other and `max_delay`."""
    check_max_delay(max_delay)
    weight, delay = jnp.asarray(weight), as_delay(delay)
    if weight.ndim not in (2, 3) or weight.shape != delay.shape or not all(weight.shape[2:]):
        raise ValueError(
            "`weight` and `delay` must both be [I, O] or [I, O, Kc] with Kc of at least 1; got "
            f"{weight.shape} and {delay.shape}."
        )
    if weight.dtype != delay.dtype:
        raise TypeError(
            f"`weight` and `delay` must share a dtype; got {weight.dtype} and {delay.dtype}."
        )
    check_delay(delay, max_delay)
    return weight, delay


def _check_numbers(name: str, values: np.ndarray) -> None:
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise ValueError(
            f"`{name}` holds {wrong} NaN or infinite of {values.size} values; did training "
            "diverge? Restore a checkpoint, and lower the learning rate."
        )


def check_sigma(sigma: ArrayLike) -> None:
    """Raise unless the width is a finite scalar. Its sign does not matter."""
    if jnp.shape(sigma) != ():
        raise ValueError(f"`sigma` must be a scalar; got shape {jnp.shape(sigma)}.")
    value = concrete(sigma)
    if value is not None and not np.isfinite(value):
        raise ValueError(f"`sigma` must be finite; got {value}.")


def check_sequence(x: ArrayLike, features: int, name: str = "x") -> Array:
    """`x` as a floating array [T, B, ..., N] with T >= 1.

    Raises:
      TypeError: it is not floating. ValueError: its shape is wrong.
    """
    x = check_floating(x, name)
    if x.ndim < 2 or x.shape[-1] != features or not x.shape[0]:
        raise ValueError(
            f"`{name}` must be [T, B, ..., {features}] with T of at least 1; got {x.shape}."
        )
    return x
