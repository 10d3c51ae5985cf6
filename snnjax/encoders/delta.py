"""Delta coding: events where a signal changes."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders.check import check_values
from snnjax.surrogates import compute_dtype
from snnjax.unroll import unroll


def delta(values: ArrayLike, threshold: float) -> Array:
    """Events where the signal has changed by at least the threshold since the previous step.

        d[t] = x[t] - x[t-1],  d[0] = 0
        z[t] = sign(d[t]) where |d[t]| >= threshold, else 0

    A slow drift gives no events, however far it goes; `delta_tracked` follows it.

    Args:
      values: signal [T, B, ...], floating.
      threshold: smallest change that is an event, above 0.

    Returns:
      Events in {-1, 0, +1} with the shape and dtype of `values`. No gradient passes.

    Raises:
      ValueError: T = 0, a threshold not above 0, or values that are not finite.

    >>> delta(jnp.array([0.0, 0.5, 0.6, -1.0]), 0.3).tolist()
    [0.0, 1.0, 0.0, -1.0]
    """
    values = _signal(values, threshold)
    change = jnp.diff(values, axis=0, prepend=values[:1])
    return jnp.where(jnp.abs(change) >= threshold, jnp.sign(change), jnp.zeros_like(change))


def delta_tracked(values: ArrayLike, threshold: float) -> Array:
    """Events where the signal differs by a threshold from its reconstruction by earlier events.

        d[t] = x[t] - r[t-1],  r[-1] = x[0]
        z[t] = sign(d[t]) where |d[t]| >= threshold, else 0
        r[t] = r[t-1] + threshold * z[t]

    This is an event camera's pixel with at most one event per step: where the signal moves by less
    than the threshold in a step, x[0] + threshold * cumsum(z) stays within the threshold of it.

    Args:
      values: signal [T, B, ...], floating.
      threshold: change that one event stands for, above 0.

    Returns:
      Events in {-1, 0, +1} with the shape and dtype of `values`. No gradient passes.

    Raises:
      ValueError: T = 0, a threshold not above 0, or values that are not finite.

    >>> delta_tracked(jnp.array([0.0, 0.5, 0.75, 1.0]), 0.5).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    values = _signal(values, threshold)
    wide = values.astype(compute_dtype(values.dtype))
    _, events = unroll(partial(_track, threshold), wide[0], wide, checkpoint=False)
    return events.astype(values.dtype)


def _track(threshold: float, reference: Array, x: Array) -> tuple[Array, Array]:
    change = x - reference
    event = jnp.where(jnp.abs(change) >= threshold, jnp.sign(change), jnp.zeros_like(change))
    return reference + threshold * event, event


def _signal(values: ArrayLike, threshold: float) -> Array:
    if not threshold > 0:
        raise ValueError(f"`threshold` must be above 0; got {threshold}.")
    values = check_values(values)
    if values.ndim == 0 or values.shape[0] == 0:
        raise ValueError(f"`values` must be [T, B, ...] with T of at least 1; got {values.shape}.")
    return values
