"""Latency coding: a value as the time of one spike, larger values earlier."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders.check import check_steps, check_values
from snnjax.surrogates import compute_dtype


def linear_time(values: ArrayLike, steps: int, threshold: float) -> Array:
    """Spike times that fall linearly: (T - 1) * (1 - x), from 0 at x = 1 to T - 1 at x = 0."""
    del threshold
    return (steps - 1) * (1.0 - jnp.asarray(values))


def log_time(values: ArrayLike, steps: int, threshold: float) -> Array:
    """Times at which an RC membrane driven by x reaches the threshold, scaled to [0, T - 1].

        f(x) = ln(x / (x - threshold)),   t = (T - 1) * (f(x) - f(1)) / (f(2 threshold) - f(1))

    A value of twice the threshold fires in the last step; lower values do not fire.
    """
    values = jnp.asarray(values)
    first = -jnp.log1p(-threshold)
    last = jnp.log(2.0)
    above = jnp.maximum(values - threshold, jnp.finfo(values.dtype).tiny)
    return (steps - 1) * (jnp.log(values / above) - first) / (last - first)


def latency(
    values: ArrayLike,
    steps: int,
    *,
    time: Callable[[Array, int, float], Array] = linear_time,
    threshold: float = 0.01,
) -> Array:
    """At most one spike per value; larger values spike earlier.

        t = floor(time(value, T, threshold) + 0.5)
        z[t] = 1 where value > threshold and t <= T - 1, else 0

    Args:
      values: in [0, 1], shape [B, ...].
      steps: T.
      time: `linear_time`, t = (T - 1)(1 - x); `log_time`, the charging time of an RC membrane,
        which spreads out small values; or a function with the same signature.
      threshold: values at or below it never fire, in [0, 0.5); above 0 for `log_time`.

    Returns:
      Spikes in {0, 1}, shape [T, B, ...], dtype of `values`. No gradient passes.

    Raises:
      ValueError: concrete values out of [0, 1] or not finite; a threshold out of range.

    >>> latency(jnp.array([1.0, 0.5, 0.0]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    values = check_values(values, 0.0, 1.0)
    if not 0.0 <= threshold < 0.5 or (threshold == 0.0 and time is log_time):
        raise ValueError(
            f"`threshold` must lie in [0, 0.5), and above 0 for log_time; got {threshold}."
        )
    wide = values.astype(compute_dtype(values.dtype))
    when = jnp.floor(time(wide, check_steps(steps), threshold) + 0.5)
    index = jnp.arange(steps, dtype=wide.dtype).reshape(-1, *(1,) * wide.ndim)
    return ((index == when[None]) & (wide > threshold)[None]).astype(values.dtype)
