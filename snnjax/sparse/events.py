"""Products with spikes at the cost of the spikes: gather the rows of those that fired, and add."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

TOGETHER = 4  # events of a row that one turn of the loop adds
BLOCK = 32


class EventList(NamedTuple):
    """Which entries of each row are not zero."""

    index: Array  # int32 [..., N + pad], ascending in the first `count`, then N
    count: Array  # int32 [...]


def event_list(spikes: ArrayLike) -> EventList:
    """The places of the nonzero entries of each row, in ascending order.

    Args:
      spikes: [..., N], binary or graded.

    Returns:
      An EventList. Its index has room for every entry and for a multiple of the events that a
      product adds at a time.

    >>> index, count = event_list(jnp.array([0.0, 1.0, 0.0, 2.0]))
    >>> index.tolist(), int(count)
    ([1, 3, 4, 4], 2)
    """
    spikes = jnp.asarray(spikes)
    n = spikes.shape[-1]
    flat = (spikes != 0).reshape(-1, n)
    place = jnp.where(flat, jnp.cumsum(flat, axis=1, dtype=jnp.int32) - 1, n + TOGETHER)
    room = -(-n // TOGETHER) * TOGETHER
    rows = lax.broadcasted_iota(jnp.int32, flat.shape, 0)
    entries = lax.broadcasted_iota(jnp.int32, flat.shape, 1)
    index = jnp.full((len(flat), room), n, jnp.int32)
    index = index.at[rows, place].set(entries, mode="drop", unique_indices=True)
    lead = spikes.shape[:-1]
    return EventList(index.reshape(*lead, room), flat.sum(1, dtype=jnp.int32).reshape(lead))


def event_blocks(spikes: Array) -> tuple[Array, Array]:
    """Which entries of each row are not zero by blocks of 32, and how many up to each block's end.

    Cheaper than `event_list` where N is large and events are few: nothing is scattered.

    Args:
      spikes: [B, N].

    Returns:
      bool [B, N / 32, 32], and int32 [B, N / 32].
    """
    batch, n = spikes.shape
    active = jnp.pad(spikes != 0, ((0, 0), (0, -n % BLOCK))).reshape(batch, -1, BLOCK)
    return active, jnp.cumsum(active.sum(2, dtype=jnp.int32), axis=1, dtype=jnp.int32)


def nth_events(blocks: Array, ends: Array, k: Array) -> Array:
    """The places of the k-th events of each row, from 0; at least N where there are fewer.

    Args:
      blocks, ends: from `event_blocks`. k: int32 [K].

    Returns:
      int32 [B, K].
    """
    block = (ends[:, None] <= k[:, None]).sum(2, dtype=jnp.int32)  # [B, K]
    before = jnp.take_along_axis(ends, jnp.maximum(block - 1, 0), axis=1)
    rank = k - jnp.where(block > 0, before, 0)
    rows = jnp.arange(len(blocks))[:, None]
    lane = blocks.at[rows, block].get(mode="fill", fill_value=False)  # [B, K, 32]
    passed = jnp.cumsum(lane, axis=2, dtype=jnp.int32) <= rank[..., None]
    return block * BLOCK + passed.sum(2, dtype=jnp.int32)


def event_matmul(spikes: ArrayLike, weight: ArrayLike) -> Array:
    """`spikes @ weight` by adding the rows of `weight` whose neurons fired.

        y[m] = sum over n with s[n] != 0 of s[n] W[n, m]

    Reads (events of the fullest row) * B * M numbers of `weight` instead of N * M. It pays below
    a few percent of density; above, take `spikes @ weight`. There is no capacity and no overflow:
    the loop runs as often as the fullest row needs. Derivatives are those of the dense product,
    since a surrogate needs them at silent neurons too, and cost as much.

    Args:
      spikes: [..., N], floating, binary or graded.
      weight: [N, M], of the same dtype.

    Returns:
      [..., M] in the dtype of the arguments; sums run over the events in ascending order.

    Raises:
      ValueError: shapes do not fit. TypeError: dtypes differ or are not floating.

    >>> event_matmul(jnp.array([0.0, 1.0, 2.0]), jnp.array([[9.0], [1.0], [0.5]])).tolist()
    [2.0]
    """
    spikes, weight = jnp.asarray(spikes), jnp.asarray(weight)
    if weight.ndim != 2 or spikes.ndim < 1 or spikes.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"`spikes` must be [..., N] and `weight` [N, M]; got {spikes.shape} and {weight.shape}."
        )
    if spikes.dtype != weight.dtype or not jnp.issubdtype(spikes.dtype, jnp.floating):
        raise TypeError(
            f"`spikes` and `weight` must share a floating dtype; got {spikes.dtype} and "
            f"{weight.dtype}. Cast one of them."
        )
    flat = spikes.reshape(-1, spikes.shape[-1])
    return _matmul(flat, weight).reshape(*spikes.shape[:-1], weight.shape[1])


@jax.custom_jvp
def _matmul(spikes: Array, weight: Array) -> Array:
    index, count = event_list(spikes)
    columns = index.T.reshape(-1, TOGETHER, len(spikes))  # the k-th event of every row, together
    size = jnp.take_along_axis(spikes, index, axis=1, mode="fill", fill_value=0)
    sizes = size.T.reshape(columns.shape)
    turns = (jnp.max(count, initial=0) + TOGETHER - 1) // TOGETHER

    def add(k: Array, total: Array) -> Array:
        for j in range(TOGETHER):
            rows = weight.at[columns[k, j]].get(mode="clip")
            total = total + sizes[k, j][:, None] * rows
        return total

    start = jnp.zeros((len(spikes), weight.shape[1]), weight.dtype)
    return lax.fori_loop(0, turns, add, start)


@_matmul.defjvp
def _matmul_jvp(primals, tangents):
    (spikes, weight), (dspikes, dweight) = primals, tangents
    return _matmul(spikes, weight), dspikes @ weight + spikes @ dweight
