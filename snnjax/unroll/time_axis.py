"""Time sharded over a mesh axis: the communication between the devices of one sequence.

Each device holds [T / devices, ...] of a sequence, in order. Messages have the size of a state,
never of the sequence.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax


def check_time_axis(axis: str | None) -> None:
    """Raise if the axis is not manual where the function is called."""
    if axis is None:
        return
    try:
        lax.axis_size(axis)
    except NameError as error:
        raise ValueError(
            f"`time_axis` must be an axis of the mesh over which jax.shard_map is manual; got "
            f"{axis!r} outside of it. Call this inside jax.shard_map(..., in_specs=P({axis!r})), "
            "or omit `time_axis`."
        ) from error


def place(axis: str, reverse: bool) -> Array:
    """The number of chunks before the one of this device."""
    index = lax.axis_index(axis)
    return lax.axis_size(axis) - 1 - index if reverse else index


def from_before(edge: Array, first: Array, axis: str, reverse: bool = False) -> Array:
    """`edge` of the previous chunk; on the device of the first chunk, `first`."""
    count = lax.axis_size(axis)
    steps = [(i, i + 1) for i in range(count - 1)]
    received = lax.ppermute(edge, axis, [(b, a) for a, b in steps] if reverse else steps)
    return jnp.where(place(axis, reverse) == 0, first, received)


def from_last(value: Array, axis: str) -> Array:
    """`value` of the device with the last chunk, broadcast to all devices."""
    return lax.psum(jnp.where(place(axis, True) == 0, value, jnp.zeros_like(value)), axis)


def state_before(
    reach: Array, last: Array, initial: Array, axis: str, *, reverse: bool, varies: bool
) -> Array:
    """The state of a linear recurrence before the chunk of this device.

    A chunk turns the state h before it into reach * h + last. Every device gathers `reach` and
    `last` of all chunks, and computes the states between them in order.

    Args:
      reach: product of the decays of the chunk, broadcastable to [...].
      last: last state of the chunk from zero, [...].
      initial: state before the full sequence, [...], the same on all devices.
      axis: mesh axis over which time is sharded. reverse: whether time runs backwards.
      varies: whether `reach` differs between devices, and has to be gathered.
    """

    def join(h: Array, chunk: tuple[Array | None, Array]) -> tuple[Array, Array]:
        a, b = chunk
        return (reach if a is None else a) * h + b, h

    chunks = lax.all_gather((reach if varies else None, last), axis)
    between = lax.scan(join, initial, chunks, reverse=reverse)[1]
    return lax.dynamic_index_in_dim(between, lax.axis_index(axis), keepdims=False)
