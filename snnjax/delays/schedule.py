"""A schedule for the width of the taps over training."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

FLOOR = 0.23
"""The sigma at which the published schedule ends: a width of half a step with the offset."""


def sigma_schedule(
    when: ArrayLike, total: int, start: float, *, floor: float = FLOOR, fraction: float = 0.25
) -> Array:
    """Exponential decay from `start` to `floor` over a fraction of training, then constant.

        sigma(e) = max(start (floor / start)^(e / (fraction E)), floor)

    Args:
      when: e, the epoch or the step, traced or not. total: E, in the same unit.
      start: sigma_0; half the longest delay as published. floor: sigma at the end.
      fraction: fraction of E after which the floor is reached; a quarter as published.

    Returns:
      sigma, a scalar in float32 or wider.

    Raises:
      ValueError: a total below 1, a fraction outside (0, 1], or a floor that is not in (0, start].

    Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR 2024.

    >>> [round(float(sigma_schedule(e, 100, 12.0)), 3) for e in (0, 5, 25, 99)]
    [12.0, 5.441, 0.23, 0.23]
    """
    if total < 1 or not 0 < fraction <= 1:
        raise ValueError(
            f"`total` must be at least 1 and `fraction` in (0, 1]; got {total} and {fraction}."
        )
    if not 0 < floor <= start:
        raise ValueError(f"`floor` must be in (0, start]; got floor={floor} with start={start}.")
    when = jnp.asarray(when)
    if not jnp.issubdtype(when.dtype, jnp.floating) or jnp.finfo(when.dtype).bits < 32:
        when = when.astype(jnp.float32)
    share = jnp.clip(when / (fraction * total), 0, 1)
    return jnp.asarray(start * (floor / start) ** share, when.dtype)
