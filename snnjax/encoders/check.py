"""Argument checks shared by the encoders."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def check_steps(steps: int) -> int:
    """`steps`, T, checked to be an int of at least 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"`steps`, T, must be a Python int of at least 1; got {steps!r}.")
    return steps


def check_values(values: ArrayLike, low: float | None = None, high: float | None = None) -> Array:
    """`values` as a floating array within [low, high]; ranges are checked on concrete values only.

    Raises:
      TypeError: when not floating. ValueError: when not finite or out of range.
    """
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(
            f"`values` must be floating point; got {values.dtype}. "
            "Scale and cast them first, for instance pixels / 255.0."
        )
    try:
        known = np.asarray(values).astype(np.float64)
    except jax.errors.TracerArrayConversionError:
        return values
    if known.size == 0:
        return values
    smallest, largest = known.min(), known.max()
    inside = (low is None or smallest >= low) and (high is None or largest <= high)
    if not (np.isfinite(smallest) and np.isfinite(largest) and inside):
        limits = f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"
        raise ValueError(
            f"`values` must be finite and lie in {limits}; got [{smallest}, {largest}]. Scale them."
        )
    return values
