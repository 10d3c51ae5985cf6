"""Direct coding: the value itself, in every step."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders.check import check_steps


def direct(values: ArrayLike, steps: int) -> Array:
    """The same values in each of T steps; the first layer of the network turns them into spikes.

    Run leading stateless layers before this, on [B, ...]: after it they would cost T times as much
    for equal results.

    Args:
      values: any dtype, shape [B, ...].
      steps: T.

    Returns:
      `values` repeated, shape [T, B, ...]. Differentiable.

    >>> direct(jnp.array([0.3]), 2).shape
    (2, 1)
    """
    values = jnp.asarray(values)
    return jnp.broadcast_to(values, (check_steps(steps), *values.shape))
