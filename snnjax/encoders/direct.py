"""Direct coding: the value itself, in every step."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders.check import check_steps

SHORT = 32
"""Steps up to which values are concatenated instead of broadcast: the gradient of a concatenation
adds slices, that of a broadcast reduces an axis, which takes XLA 100 times as long on a CPU."""


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
    if check_steps(steps) > SHORT:
        return jnp.broadcast_to(values, (steps, *values.shape))
    return jnp.concatenate([values[None]] * steps) if steps > 1 else values[None]
