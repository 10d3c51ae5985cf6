"""Time cut into chunks over a mesh axis: what the devices of one sequence tell each other.

Each device holds [T / devices, ...] of a sequence, in order. What crosses is of the size of a
state, never of the sequence.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax


def check_time_axis(axis: str | None) -> None:
    """Refuse an axis that is not manual where the function is called."""
    if axis is None:
        return
    try:
        lax.axis_size(axis)
    except NameError as error:
        raise ValueError(
            f"`time_axis` must be an axis of the mesh over which jax.shard_map is manual; got "
            f"{axis!r} outside of one. Call this inside jax.shard_map(..., in_specs=P({axis!r})), "
            "or leave `time_axis` out."
        ) from error


def place(axis: str, reverse: bool) -> Array:
    """How many chunks come before that of this device."""
    index = lax.axis_index(axis)
    return lax.axis_size(axis) - 1 - index if reverse else index


def from_before(edge: Array, first: Array, axis: str, reverse: bool = False) -> Array:
    """`edge` of the chunk before, and `first` on the device whose chunk is the first."""
    count = lax.axis_size(axis)
    steps = [(i, i + 1) for i in range(count - 1)]
    received = lax.ppermute(edge, axis, [(b, a) for a, b in steps] if reverse else steps)
    return jnp.where(place(axis, reverse) == 0, first, received)


def from_last(value: Array, axis: str) -> Array:
    """`value` of the device whose chunk is the last, on all of them."""
    return lax.psum(jnp.where(place(axis, True) == 0, value, jnp.zeros_like(value)), axis)


def state_before(
    reach: Array, last: Array, initial: Array, axis: str, *, reverse: bool, varies: bool
) -> Array:
    """The state of a linear recurrence before the chunk of this device.

    A chunk turns the state h before it into reach * h + last. Every device gathers what all chunks
    do, and takes the states between them in turn.

    Args:
      reach: product of the decays of the chunk, [...] or of a shape that broadcasts to it.
      last: last state of the chunk from zero, [...].
      initial: state before the whole sequence, [...], the same on all devices.
      axis: mesh axis over which time is cut. reverse: whether time runs backwards.
      varies: whether `reach` is another one on other devices, and has to be told.
    """

    def join(h: Array, chunk: tuple[Array | None, Array]) -> tuple[Array, Array]:
        a, b = chunk
        return (reach if a is None else a) * h + b, h

    chunks = lax.all_gather((reach if varies else None, last), axis)
    between = lax.scan(join, initial, chunks, reverse=reverse)[1]
    return lax.dynamic_index_in_dim(between, lax.axis_index(axis), keepdims=False)
