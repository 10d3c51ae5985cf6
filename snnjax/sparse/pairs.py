"""Compacted kernel maps: lists of (input row, output row) in tiles that share one offset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pairs:
    """The existing pairs of a map, by offset, divided into tiles.

    Of a submanifold map only the offsets after the centre are listed: the pairs of offset K - 1 - k
    are those of k with their sides exchanged, and the centre maps every row to itself.

    Each tile belongs to one kernel offset, so a convolution is one small matrix product for each
    tile. Within an offset every row occurs at most once on either side, in ascending order: the
    scatter of a tile has no repeated index. The lists have room for every possible pair, so they
    cannot overflow; only the first `used` tiles are visited.

    Rows are flat, `b * N + i`; padding is out of bounds on both sides.

    Attributes:
      rows_in: input rows, int32 [G, tile].
      rows_out: output rows, int32 [G, tile].
      offset: kernel offset of each tile, int32 [G].
      used: number of tiles that hold pairs, int32 [].
    """

    rows_in: Int[Array, "G tile"]
    rows_out: Int[Array, "G tile"]
    offset: Int[Array, " G"]
    used: Int[Array, ""]

    def exchanged(self) -> Pairs:
        """The pairs of the transposed map."""
        return dataclasses.replace(self, rows_in=self.rows_out, rows_out=self.rows_in)


def tile_size(rows: int) -> int:
    """Pairs per tile: about a thirty-second of the rows, a power of two from 64 to 2048.

    Larger tiles keep the matrix products efficient, smaller ones waste less padding: each offset
    wastes half a tile on average.
    """
    part = max(rows // 32, 1)
    return min(2048, max(64, 1 << (part - 1).bit_length()))


@jax.jit
def compact_pairs(half: Int[Array, "H B N"]) -> Pairs:
    """Compact the neighbours at the H offsets after the centre.

    Args:
      half: row of the neighbour at each offset of each row, N where missing; int32 [H, B, N].
    """
    columns, batch, rows_each = half.shape
    rows = batch * rows_each
    tile = tile_size(rows)
    per_offset = -(-rows // tile)
    slots = columns * per_offset * tile
    hit = (half < rows_each).reshape(columns, rows)
    running = running_count(hit)
    tiles = -(-running[:, -1] // tile)
    last = jnp.cumsum(tiles, dtype=jnp.int32)
    slot = jnp.where(hit, running - 1 + ((last - tiles) * tile)[:, None], slots)
    flat = jnp.arange(columns * rows, dtype=jnp.int32)
    source = jnp.full((slots,), columns * rows, jnp.int32)
    source = source.at[slot.reshape(-1)].set(flat, mode="drop", unique_indices=True)

    base = jnp.arange(batch, dtype=jnp.int32)[:, None] * rows_each
    neighbour = (half + base).reshape(-1).at[source].get(mode="clip")
    present = source < columns * rows
    # Padding is out of bounds, and distinct within a tile so that indices stay unique and sorted.
    beyond = rows + jnp.arange(slots, dtype=jnp.int32) % tile
    offset = jnp.searchsorted(last, jnp.arange(columns * per_offset, dtype=jnp.int32), side="right")
    return Pairs(
        rows_in=jnp.where(present, neighbour, beyond).reshape(-1, tile),
        rows_out=jnp.where(present, source % rows, beyond).reshape(-1, tile),
        offset=jnp.minimum(offset, columns - 1).astype(jnp.int32) + columns + 1,
        used=last[-1],
    )


@partial(jax.jit, static_argnums=(1, 2))
def list_pairs(slots: Int[Array, "B N J"], volume: int, coarse_rows: int) -> Pairs:
    """The pairs of a strided map in tiles, from the fine side to the coarse one.

    Within an offset they are in the order of the fine rows; coarse rows are then ascending too, for
    both sides are in the order of their keys.

    Args:
      slots: entries `u * K + k` that each fine row takes part in, M * K where missing.
      volume: K. coarse_rows: M.
    """
    batch, rows_each, reach = slots.shape
    rows = batch * rows_each
    tile = tile_size(rows)
    base = jnp.arange(batch, dtype=jnp.int32)[:, None, None]
    fine = jnp.broadcast_to(base * rows_each + _column(rows_each), slots.shape).reshape(-1)
    coarse = (base * coarse_rows + slots // volume).reshape(-1)
    present, offset = slots.reshape(-1) < coarse_rows * volume, slots.reshape(-1) % volume
    hit = jnp.zeros((volume, rows), bool)
    hit = hit.at[jnp.where(present, offset, volume), fine].set(True, mode="drop")
    running = running_count(hit)
    tiles = -(-running[:, -1] // tile)
    last = jnp.cumsum(tiles, dtype=jnp.int32)

    # Every offset leaves at most one tile unfilled, so that the lists cannot overflow.
    count = min(-(-rows * reach // tile) + volume, volume * -(-rows // tile))
    slot = (last - tiles)[offset] * tile + running[offset, fine] - 1
    slot = jnp.where(present, slot, count * tile)
    # Padding is distinct within a tile so that indices stay unique and sorted.
    step = jnp.broadcast_to(jnp.arange(tile, dtype=jnp.int32), (count, tile)).reshape(-1)

    def put(values: Array, beyond: int) -> Array:
        filled = (beyond + step).at[slot].set(values, mode="drop", unique_indices=True)
        return filled.reshape(count, tile)

    own = jnp.searchsorted(last, jnp.arange(count, dtype=jnp.int32), side="right")
    return Pairs(
        rows_in=put(fine, rows),
        rows_out=put(coarse, batch * coarse_rows),
        offset=jnp.minimum(own, volume - 1).astype(jnp.int32),
        used=last[-1],
    )


def _column(rows: int) -> Array:
    return jnp.arange(rows, dtype=jnp.int32)[:, None]


CHUNK = 128
"""Numbers that one product sums up; counts up to it are exact in any floating dtype."""


def running_count(hit: Array) -> Array:
    """Inclusive prefix counts of the true entries of `hit` [H, N]: int32 [H, N].

    Prefix sums of chunks, and of the sums of chunks, are products with a triangle of ones. An
    associative scan has log2 N steps instead, which take ten times as long to compile.

    >>> running_count(jnp.array([[True, False, True, True]])).tolist()
    [[1, 1, 2, 3]]
    """
    inner = _in_chunks(hit.astype(jnp.float32))
    outer = _in_chunks(inner[..., -1])
    last = outer[..., -1].astype(jnp.int32)
    before = jnp.cumsum(last, axis=1, dtype=jnp.int32) - last
    upto = (outer.astype(jnp.int32) + before[..., None]).reshape(len(hit), -1)
    upto = upto[:, : inner.shape[1]]
    chunk = inner.astype(jnp.int32) + (upto - inner[..., -1].astype(jnp.int32))[..., None]
    return chunk.reshape(len(hit), -1)[:, : hit.shape[1]]


def _in_chunks(x: Array) -> Array:
    """Prefix sums of [H, N] within chunks, [H, chunks, CHUNK]; exact for integers to CHUNK."""
    columns, size = x.shape
    width = min(size, CHUNK)
    chunks = -(-size // width)
    padded = jnp.pad(x, ((0, 0), (0, chunks * width - size))).reshape(columns, chunks, width)
    ones = jnp.triu(jnp.ones((width, width), x.dtype))
    return jnp.einsum("hcw,wv->hcv", padded, ones, precision=jax.lax.Precision.HIGHEST)
