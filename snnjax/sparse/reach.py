"""Which output sites the sites of a tensor reach under a geometry, as arrays."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from snnjax.sparse.geometry import Geometry, Triple
from snnjax.sparse.rows import site_keys
from snnjax.sparse.tensor import INT32_MAX, SparseTensor, key_coords
from snnjax.sparse.voxelize import search_rows, unique_keys


class Grid(NamedTuple):
    """A grid that holds `samples` packed samples of `size`, one every `pitch` planes."""

    size: Triple
    pitch: int
    samples: int

    @property
    def extent(self) -> Triple:
        """The full grid."""
        return self.samples * self.pitch, *self.size[1:]

    @property
    def cells(self) -> int:
        """Cells that can hold a site."""
        return self.samples * math.prod(self.size)


Tables = tuple[Array, Array, Array, Array]
"""Table, slots, keys of the output sites, and their number before clipping to the capacity."""


@partial(jax.jit, static_argnums=(2, 3, 4))
def strided_tables(
    x: SparseTensor, given: Array | None, out: Grid, geometry: Geometry, capacity: int
) -> Tables:
    """The tables of a strided convolution; keys `given` are taken as the output sites."""
    candidates, offsets = _reached(x.coords, x.valid, x.pitch, out, geometry)
    sites, found = _output_keys(candidates, given, capacity)
    batch, rows, reach = candidates.shape
    out_row = search_rows(sites, candidates.reshape(batch, -1)).reshape(candidates.shape)
    places = capacity * geometry.volume
    slots = jnp.where(out_row < capacity, out_row * geometry.volume + offsets, places)
    source = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None], (rows, reach))
    empty = jnp.full((places,), rows, jnp.int32)
    fill = jax.vmap(
        lambda s: empty.at[s.reshape(-1)].set(source.reshape(-1), mode="drop", unique_indices=True)
    )
    return fill(slots).reshape(batch, capacity, geometry.volume), slots, sites, found


@partial(jax.jit, static_argnums=(2, 3, 4))
def transposed_tables(
    x: SparseTensor, given: Array | None, out: Grid, geometry: Geometry, capacity: int
) -> Tables:
    """The tables of a transposed convolution; keys `given` are taken as the output sites."""
    candidates = _fed(x, out, geometry)
    sites, found = _output_keys(candidates, given, capacity)
    batch, rows, volume = candidates.shape
    table = search_rows(sites, candidates.reshape(batch, -1)).reshape(candidates.shape)
    # Backwards it is a strided convolution, from the output sites to those of x.
    at, back = key_coords(sites, out.extent), Grid(x.sample_extent, x.pitch, x.samples)
    keys, offsets = _reached(at, sites != INT32_MAX, out.pitch, back, geometry)
    source = search_rows(site_keys(x), keys.reshape(batch, -1)).reshape(keys.shape)
    slots = jnp.where(source < rows, source * volume + offsets, rows * volume)
    return table, slots, sites, found


def _output_keys(candidates: Array, given: Array | None, capacity: int) -> tuple[Array, Array]:
    """Keys of the output sites [B, M], and how many there are without a capacity [B]."""
    if given is None:
        return unique_keys(candidates.reshape(len(candidates), -1), capacity)
    return given, (given != INT32_MAX).sum(axis=1, dtype=jnp.int32)


def _reached(
    coords: Int[Array, "B N 3"], valid: Array, pitch: int, out: Grid, geometry: Geometry
) -> tuple[Array, Array]:
    """Keys of the output sites that each input row reaches, and the corresponding offsets.

    On one axis a site p reaches u = (p + padding - k * d) / s for the offsets k that make it an
    integer, see `Geometry.offsets`. Keys are INT32_MAX where there is none. Both are [B, N, J].
    """
    owner, local = _unpacked(coords, pitch)
    axes = []
    for axis, position in enumerate(local):
        place = position + geometry.padding[axis]
        stride = geometry.stride[axis]
        offset = jnp.asarray(geometry.offsets(axis))[place % stride]
        u = (place[..., None] - offset * geometry.dilation[axis]) // stride
        axes.append((u, offset, (offset >= 0) & (u >= 0) & (u < out.size[axis])))
    keys, fits = _combined(axes, owner, out)
    k = [part for _, part, _ in axes]
    _, y, x = geometry.kernel_size
    offsets = (_spread(k[0], 0) * y + _spread(k[1], 1)) * x + _spread(k[2], 2)
    offsets = jnp.broadcast_to(offsets, keys.shape).reshape(*valid.shape, -1)
    keys = jnp.where(fits & valid[..., None, None, None], keys, INT32_MAX)
    return keys.reshape(offsets.shape), offsets


def _fed(x: SparseTensor, out: Grid, geometry: Geometry) -> Array:
    """Keys of the sites that each input row feeds under a transposed convolution, [B, N, K]."""
    owner, local = _unpacked(x.coords, x.pitch)
    axes = []
    for axis, position in enumerate(local):
        offset = jnp.arange(geometry.kernel_size[axis], dtype=jnp.int32) * geometry.dilation[axis]
        u = position[..., None] * geometry.stride[axis] + offset - geometry.padding[axis]
        axes.append((u, offset, (u >= 0) & (u < out.size[axis])))
    keys, fits = _combined(axes, owner, out)
    keys = jnp.where(fits & x.valid[..., None, None, None], keys, INT32_MAX)
    return keys.reshape(*x.valid.shape, -1)


def _unpacked(coords: Array, pitch: int) -> tuple[Array, tuple[Array, Array, Array]]:
    """The sample within its grid of each row, and coordinates within that sample."""
    z, y, x = coords[..., 0], coords[..., 1], coords[..., 2]
    return z // pitch, (z % pitch, y, x)


def _combined(
    axes: list[tuple[Array, Array, Array]], owner: Array, out: Grid
) -> tuple[Array, Array]:
    """Keys and their validity for all combinations of positions along z, y, x: [B, N, J, J, J]."""
    z, y, x = (_spread(u, axis) for axis, (u, _, _) in enumerate(axes))
    z = z + owner[..., None, None, None] * out.pitch
    in_z, in_y, in_x = (_spread(fits, axis) for axis, (_, _, fits) in enumerate(axes))
    _, y_size, x_size = out.extent
    return (z * y_size + y) * x_size + x, in_z & in_y & in_x


def _spread(values: Array, axis: int) -> Array:
    """[B, N, J] with its last axis moved to that position among three."""
    shape = [1, 1, 1]
    shape[axis] = values.shape[-1]
    return values.reshape(*values.shape[:2], *shape)
