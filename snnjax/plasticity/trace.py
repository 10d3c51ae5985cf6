"""Traces of spikes: update rules, and a check of the spikes."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Trace = Callable[[Array, Array], Array]


def accumulate(decayed: Array, spikes: Array) -> Array:
    """Every earlier spike counts (all-to-all): decayed + spikes.

    >>> float(accumulate(jnp.array(0.5), jnp.array(1.0)))
    1.5
    """
    return decayed + spikes


def replace(decayed: Array, spikes: Array) -> Array:
    """Only the last spike counts (nearest neighbour): a spike sets the trace to 1.

        decayed + (1 - decayed) * spikes

    >>> float(replace(jnp.array(0.5), jnp.array(1.0)))
    1.0
    """
    return decayed + (1.0 - decayed) * spikes


def as_spikes(name: str, spikes: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Spikes of one step, checked to be floating and of the trace's `shape`.

    Raises:
      TypeError: they are not floating. ValueError: their shape differs.
    """
    spikes = jnp.asarray(spikes)
    if not jnp.issubdtype(spikes.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must be floating point; got {spikes.dtype}. "
            "Cast it first, for instance with .astype(jnp.float32)."
        )
    if spikes.shape != shape:
        raise ValueError(
            f"`{name}` has shape {spikes.shape}, but its trace has {shape}. "
            "Make the state with the shape of one step of these spikes, [B, ..., N]."
        )
    return spikes
