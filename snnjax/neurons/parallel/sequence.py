"""Checks for the currents of a full sequence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons.membrane import as_current
from snnjax.unroll.unroll import _length


def as_currents(currents: ArrayLike, v: Array) -> Array:
    """The currents of all steps, [T, *v.shape], in the membrane's dtype.

    Args:
      currents: input [T, ...], floating; one step of it broadcasts to the shape of `v`.
      v: membrane potential.

    Raises:
      TypeError, ValueError: as `as_current` for one step; ValueError for T = 0.

    >>> as_currents(jnp.ones((7, 3)), jnp.zeros((2, 3))).shape
    (7, 2, 3)
    """
    currents = jnp.asarray(currents)
    _length(currents)
    return jax.vmap(lambda current: jnp.broadcast_to(as_current(current, v), v.shape))(currents)
