"""Events of spike arrays: packed as bits, as lists, or looked up one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.typing import ArrayLike

from snnjax.unroll.unroll import vary_like

BITS = 32  # entries in a word
GROUP = 64  # words in a group
TOGETHER = 8  # events of a row handled in one loop iteration
LISTED = 4096  # events of a row that are looked up together to make a list

Total = TypeVar("Total")


class EventList(NamedTuple):
    """The indices of the nonzero entries of each row."""

    index: Array  # int32 [..., E], ascending in the first `count`, then N
    count: Array  # int32 [...], number of all events: above E where the capacity was too small


class Events(NamedTuple):
    """The nonzero entries of each row as bits, with counts at two levels: G groups of V words."""

    words: Array  # uint32 [B, W], bits as in `pack_spikes`
    inner: Array  # int32 [B, G, V], events from the start of a group to the end of each word
    outer: Array  # int32 [B, G], events from the start of a row to the end of each group


def pack_spikes(spikes: ArrayLike) -> Array:
    """Pack nonzero entries as bits: a raster of N neurons in N / 8 bytes.

    Args:
      spikes: [..., N], of any dtype.

    Returns:
      uint32 [..., W], W = ceil(N / 32); bit i of word w is entry 32 w + i.

    >>> pack_spikes(jnp.array([1.0, 0.0, 1.0])).tolist()
    [5]
    """
    spikes = _with_neurons(spikes)
    lead, n = spikes.shape[:-1], spikes.shape[-1]
    active = jnp.pad(spikes != 0, [(0, 0)] * len(lead) + [(0, -n % BITS)])
    bits = active.reshape(*lead, -(-n // BITS), BITS).astype(jnp.uint32)
    return (bits << jnp.arange(BITS, dtype=jnp.uint32)).sum(-1, dtype=jnp.uint32)


def spike_times(words: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The events of a packed raster, on the host.

    Args:
      words: uint32 [T, W] from `pack_spikes`.

    Returns:
      Steps and neurons, each int64 [E], ascending in time, then by neuron.

    >>> [found.tolist() for found in spike_times(pack_spikes(jnp.eye(3)[:2]))]
    [[0, 1], [0, 1]]
    """
    words = np.asarray(words)
    if words.ndim != 2 or words.dtype != np.uint32:
        raise ValueError(f"`words` must be uint32 [T, W]; got {words.dtype} {words.shape}.")
    t, w = np.nonzero(words)
    bits = (words[t, w][:, None] >> np.arange(BITS, dtype=np.uint32)) & np.uint32(1)
    e, bit = np.nonzero(bits)
    return t[e], w[e] * BITS + bit


def find_events(spikes: Array) -> Events:
    """Index the events of each row of [B, N], N above 0, for `nth_events`."""
    words = pack_spikes(spikes)
    batch, count = words.shape
    group = min(GROUP, count)
    ones = jnp.pad(lax.population_count(words), ((0, 0), (0, -count % group)))
    inner = jnp.cumsum(ones.reshape(batch, -(-count // group), group), axis=2, dtype=jnp.int32)
    return Events(words, inner, jnp.cumsum(inner[:, :, -1], axis=1, dtype=jnp.int32))


def nth_events(events: Events, k: Array) -> Array:
    """The positions of the k-th events of each row, from 0; at least N where there are fewer.

    Args:
      events: indexed events of B rows. k: int32 [K].

    Returns:
      int32 [B, K].
    """
    words, inner, outer = events
    ranks = jnp.broadcast_to(k, (len(words), k.shape[0]))
    group, ranks = _passed(outer[:, None], ranks)
    ends = jnp.take_along_axis(inner, group[..., None], axis=1, mode="clip")  # [B, K, V]
    word, ranks = _passed(ends, ranks)
    word = group * inner.shape[2] + word
    bits = jnp.take_along_axis(words, word, axis=1, mode="fill", fill_value=0)[..., None]
    up_to = (jnp.uint32(2) << jnp.arange(BITS, dtype=jnp.uint32)) - jnp.uint32(1)
    bit, _ = _passed(lax.population_count(bits & up_to).astype(jnp.int32), ranks)
    return word * BITS + bit


def _passed(ends: Array, ranks: Array) -> tuple[Array, Array]:
    """The number of intervals that end before each rank, and the rank within the next, [B, K]."""
    place = (ends <= ranks[..., None]).sum(-1, dtype=jnp.int32)
    last = jnp.maximum(place - 1, 0)[..., None]
    ends = jnp.broadcast_to(ends, (*ranks.shape, ends.shape[-1]))
    before = jnp.take_along_axis(ends, last, axis=2, mode="clip")[..., 0]
    return place, ranks - jnp.where(place > 0, before, 0)


def for_events(spikes: Array, add: Callable[[Total, Array, Array], Total], total: Total) -> Total:
    """Fold over the events of each row of [B, N], eight per row at a time, in ascending order.

    The number of iterations is set by the fullest row: there is no capacity and no overflow.

    Args:
      spikes: [B, N].
      add: function from the total, positions int32 [B, 8] and sizes [B, 8] to the next total. Where
        a row has no more events the position is N or more and the size 0.
      total: initial total; inside `shard_map` it must vary over the same axes as all that `add`
        reads.
    """
    if not spikes.size:
        return total
    events = find_events(spikes)

    def turn(i: Array, total: Total) -> Total:
        n = nth_events(events, i * TOGETHER + jnp.arange(TOGETHER, dtype=jnp.int32))
        return add(total, n, jnp.take_along_axis(spikes, n, axis=1, mode="fill", fill_value=0))

    turns = -(-jnp.max(events.outer[:, -1], initial=0) // TOGETHER)
    return lax.fori_loop(0, turns, turn, vary_like(total, spikes))


def event_list(spikes: ArrayLike, capacity: int | None = None) -> EventList:
    """The positions of the nonzero entries of each row, in ascending order.

    Args:
      spikes: [..., N], binary or graded.
      capacity: room for events in a row, E; None takes N.

    Returns:
      An EventList. `count` includes events that did not fit.

    Raises:
      ValueError: `capacity` is below 1; or, where `spikes` is not traced, too small for a row.

    >>> index, count = event_list(jnp.array([0.0, 1.0, 0.0, 2.0]), 3)
    >>> index.tolist(), int(count)
    ([1, 3, 4], 2)
    """
    spikes = _with_neurons(spikes)
    n, lead = spikes.shape[-1], spikes.shape[:-1]
    if capacity is not None and capacity < 1:
        raise ValueError(f"`capacity` must be at least 1; got {capacity}.")
    capacity = n if capacity is None else capacity
    if not spikes.size:
        return EventList(jnp.full((*lead, capacity), n, jnp.int32), jnp.zeros(lead, jnp.int32))
    index, count = _first_events(spikes.reshape(-1, n), capacity)
    if not isinstance(spikes, Tracer) and (most := int(jnp.max(count, initial=0))) > capacity:
        raise ValueError(
            f"`capacity` is {capacity}, but a row of `spikes` {spikes.shape} has {most} events. "
            f"Raise it to {most}."
        )
    return EventList(index.reshape(*lead, capacity), count.reshape(lead))


@partial(jax.jit, static_argnums=1)
def _first_events(spikes: Array, capacity: int) -> EventList:
    events = find_events(spikes)
    ranks = jnp.arange(-(-capacity // LISTED) * LISTED, dtype=jnp.int32).reshape(-1, LISTED)
    ranks = ranks if capacity > LISTED else ranks[:, :capacity]
    index = lax.map(partial(nth_events, events), ranks).swapaxes(0, 1)
    index = index.reshape(len(spikes), -1)[:, :capacity]
    return EventList(jnp.minimum(index, spikes.shape[1]), events.outer[:, -1])


def _with_neurons(spikes: ArrayLike) -> Array:
    spikes = jnp.asarray(spikes)
    if not spikes.ndim:
        raise ValueError(f"`spikes` must be [..., N]; got a number, {spikes}.")
    return spikes
