"""A batch of sparse voxel grids with static shapes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

INT32_MAX = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseTensor:
    """Features at the occupied sites of B voxel grids, each in N rows of fixed capacity.

    Invariant, restored by every operation: the first `n[b]` rows of sample b are its sites in the
    order of their linear key (z-major, x fastest); the rows after them have coordinates 0 and
    features 0.

    Attributes:
      feats: features, shape [B, N, C], or [T, B, N, C] for a sequence on one set of sites.
      coords: integer site positions in the order z, y, x; int32, shape [B, N, 3].
      n: number of occupied sites of each sample, int32, shape [B].
      overflow: sites or points of each sample that found no row, int32, shape [B]. Operations add
        to it, so that the last tensor of a network holds the total.
      extent: grid size (Z, Y, X), static.
      stride: edge of one site in voxels of the input grid, static.
      samples: samples stacked along z in each of the B grids (see `pack`), static; usually 1.
      gap: empty planes between them, static; maps that would reach across it are refused.
    """

    feats: Float[Array, "*T B N C"]
    coords: Int[Array, "B N 3"]
    n: Int[Array, " B"]
    overflow: Int[Array, " B"]
    extent: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    stride: int = dataclasses.field(default=1, metadata={"static": True})
    samples: int = dataclasses.field(default=1, metadata={"static": True})
    gap: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def capacity(self) -> int:
        """Rows per sample, N."""
        return self.coords.shape[1]

    @property
    def valid(self) -> Array:
        """Which rows hold a site, bool [B, N]."""
        return valid_rows(self.n, self.capacity)

    @property
    def owner(self) -> Array:
        """Which of the samples of its grid each row belongs to, int32 [B, N]; `samples` if none."""
        pitch = self.extent[0] // self.samples
        return jnp.where(self.valid, self.coords[..., 0] // pitch, self.samples)

    def sum_rows(self, values: Array) -> Array:
        """Sums over the rows of each sample: [B, N, ...] to [B * samples, ...].

        Rows that hold no site must be zero. Floating values are summed in float32 at least.
        """
        if jnp.issubdtype(values.dtype, jnp.floating):
            values = values.astype(np.promote_types(values.dtype, jnp.float32))
        if self.samples == 1:
            return values.sum(axis=1, dtype=values.dtype)
        add = partial(
            jax.ops.segment_sum, num_segments=self.samples, indices_are_sorted=True, mode="drop"
        )
        return jax.vmap(add)(values, self.owner).reshape(-1, *values.shape[2:])

    def replace(self, **changes) -> SparseTensor:
        """The same sites with other fields, usually `feats`."""
        return dataclasses.replace(self, **changes)

    def dense(self) -> Array:
        """The features on the full grid, zero where no site is: shape [T?, B, Z, Y, X, C]."""
        z, y, x = self.extent
        flat = linear_key(self.coords, self.extent)
        flat = jnp.where(self.valid, flat, z * y * x)  # out of bounds: dropped

        def put(row: Array, feats: Array) -> Array:
            empty = jnp.zeros((z * y * x, feats.shape[-1]), feats.dtype)
            return empty.at[row].set(feats, mode="drop")

        grids = jax.vmap(put)
        grids = jax.vmap(grids, in_axes=(None, 0)) if self.feats.ndim == 4 else grids
        return grids(flat, self.feats).reshape(
            *self.feats.shape[:-2], z, y, x, self.feats.shape[-1]
        )


def sparse_tensor(
    feats: Float[Array, "*T B N C"],
    coords: Int[Array, "B N 3"],
    n: Int[Array, " B"],
    *,
    extent: tuple[int, int, int],
    stride: int = 1,
) -> SparseTensor:
    """A SparseTensor from unsorted rows: sorts them, merges nothing, zeroes what is not valid.

    Args:
      feats: features, shape [B, N, C] or [T, B, N, C].
      coords: distinct integer positions z, y, x inside `extent`; int32, shape [B, N, 3].
      n: the first n[b] rows of sample b are occupied, int32 [B].
      extent: grid size (Z, Y, X).
      stride: edge of one site in voxels of the input grid.

    Returns:
      The tensor with its rows in key order; rows outside the extent are dropped and counted in
      `overflow`. Duplicate positions are a mistake of the caller: use `voxelize` to merge points.
    """
    extent = check_extent(extent)
    if coords.ndim != 3 or coords.shape[-1] != 3:
        raise ValueError(f"coords must have shape [B, N, 3]; got {coords.shape}.")
    if not jnp.issubdtype(coords.dtype, jnp.integer):
        raise TypeError(f"coords must be integers; got {coords.dtype}. Use voxelize for points.")
    if feats.shape[-3:-1] != coords.shape[:2] or feats.ndim not in (3, 4):
        raise ValueError(
            f"feats must be [B, N, C] or [T, B, N, C] with B, N of coords "
            f"{coords.shape[:2]}; got {feats.shape}."
        )
    coords = coords.astype(jnp.int32)
    inside = jnp.all((coords >= 0) & (coords < jnp.array(extent, jnp.int32)), axis=-1)
    keep = valid_rows(n, coords.shape[1]) & inside
    keys = jnp.where(keep, linear_key(coords, extent), INT32_MAX)
    order = jnp.argsort(keys, axis=1, stable=True)

    def take(a: Array) -> Array:
        return jnp.take_along_axis(a, order[..., None], axis=-2)

    mask = jnp.take_along_axis(keep, order, axis=1)[..., None]
    kept = keep.sum(axis=1, dtype=jnp.int32)
    return SparseTensor(
        feats=jnp.where(mask, jax.vmap(take)(feats) if feats.ndim == 4 else take(feats), 0),
        coords=jnp.where(mask, take(coords), 0),
        n=kept,
        overflow=jnp.maximum(n.astype(jnp.int32), 0) - kept,
        extent=extent,
        stride=stride,
    )


def valid_rows(n: Int[Array, " B"], capacity: int) -> Array:
    """Which of `capacity` rows are occupied, bool [B, capacity]."""
    return jnp.arange(capacity, dtype=jnp.int32) < n[:, None]


def linear_key(coords: Int[Array, "... 3"], extent: tuple[int, int, int], radius: int = 0) -> Array:
    """The linear index of a site in a grid padded by `radius` on every side, int32.

        key(z, y, x) = ((z + r) * (Y + 2r) + (y + r)) * (X + 2r) + (x + r)

    Padding keeps the neighbour of a border site from having the key of a site in the next line.
    """
    _, y, x = (e + 2 * radius for e in extent)
    c = coords + radius
    return (c[..., 0] * y + c[..., 1]) * x + c[..., 2]


def key_coords(keys: Int[Array, "..."], extent: tuple[int, int, int]) -> Array:
    """The inverse of `linear_key` with radius 0: coordinates z, y, x, shape [..., 3]."""
    _, y, x = extent
    return jnp.stack([keys // (y * x), keys // x % y, keys % x], axis=-1)


def check_extent(extent: tuple[int, int, int], radius: int = 0) -> tuple[int, int, int]:
    """The extent as three positive Python ints, if its padded grid has int32 keys."""
    if len(tuple(extent)) != 3 or any(int(e) != e or e < 1 for e in extent):
        raise ValueError(f"extent must be three positive integers (Z, Y, X); got {extent}.")
    z, y, x = (int(e) for e in extent)
    cells = (z + 2 * radius) * (y + 2 * radius) * (x + 2 * radius)
    if cells >= INT32_MAX:
        raise ValueError(
            f"extent {(z, y, x)} padded by {radius} has {cells} cells, but site keys are int32 "
            f"and need fewer than {INT32_MAX}. Use larger voxels or crop the range."
        )
    return z, y, x
