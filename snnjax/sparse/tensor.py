"""A batch of sparse voxel grids with static shapes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from snnjax.sparse.geometry import Size, Triple, three

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
      overflow: sites or points of each sample that exceed the capacity, int32, shape [B].
        Operations add to it, so that the last tensor of a network holds the total.
      extent: grid size (Z, Y, X), static.
      stride: edges of one site along z, y, x in voxels of the input grid, static.
      samples: samples stacked along z in each of the B grids (see `pack`), static; usually 1.
      gap: empty planes between them, static; maps that would reach across it raise.
    """

    feats: Float[Array, "*T B N C"]
    coords: Int[Array, "B N 3"]
    n: Int[Array, " B"]
    overflow: Int[Array, " B"]
    extent: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    stride: Triple = dataclasses.field(default=(1, 1, 1), metadata={"static": True})
    samples: int = dataclasses.field(default=1, metadata={"static": True})
    gap: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def capacity(self) -> int:
        """Rows per sample, N."""
        return self.coords.shape[1]

    @property
    def valid(self) -> Array:
        """Mask of the rows that hold a site, bool [B, N]."""
        return valid_rows(self.n, self.capacity)

    @property
    def pitch(self) -> int:
        """Planes from one packed sample to the next, its own and the gap after them."""
        return self.extent[0] // self.samples

    @property
    def sample_extent(self) -> Triple:
        """The grid of one sample: `extent` unless samples are packed."""
        return self.pitch - self.gap, *self.extent[1:]

    @property
    def owner(self) -> Array:
        """Index of the sample in its grid for each row, int32 [B, N]; `samples` if none."""
        return jnp.where(self.valid, self.coords[..., 0] // self.pitch, self.samples)

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
        """A copy with some fields replaced, usually `feats`."""
        return dataclasses.replace(self, **changes)

    def dense(self) -> Array:
        """The features on the full grid, zero at empty sites: shape [T?, B, Z, Y, X, C]."""
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


DUPLICATES = ("error", "sum", "mean", "max")


def sparse_tensor(
    feats: Float[Array, "*T B N C"],
    coords: Int[Array, "B N 3"],
    n: Int[Array, " B"],
    *,
    extent: tuple[int, int, int],
    stride: Size = 1,
    duplicates: str = "error",
) -> SparseTensor:
    """A SparseTensor from unsorted rows: sorts them, and zeroes invalid rows.

    Args:
      feats: features, shape [B, N, C] or [T, B, N, C].
      coords: integer positions z, y, x inside `extent`, shape [B, N, 3].
      n: the first n[b] rows of sample b are occupied, int32 [B].
      extent: grid size (Z, Y, X).
      stride: edge of one site in voxels of the input grid, one integer or three.
      duplicates: how to handle several rows at one site. "sum", "mean" and "max" merge them,
        channel by channel, sums in float32 at least. "error" raises if the values are concrete;
        under `jax.jit`, where values are unknown, the first row stays and the others count as
        overflow.

    Returns:
      The tensor with its rows in key order; rows outside the extent are dropped and counted in
      `overflow`. To keep one representative point of each voxel, use `voxelize`.

    >>> x = sparse_tensor(jnp.ones((1, 3, 1)), jnp.zeros((1, 3, 3), int), jnp.array([3]),
    ...                   extent=(4, 4, 4), duplicates="sum")
    >>> x.n.tolist(), x.feats[0, 0].tolist()
    ([1], [3.0])
    """
    extent = check_extent(extent)
    feats, n = jnp.asarray(feats), jnp.asarray(n)
    coords = _int32(coords)
    _check_rows(feats, coords, duplicates)
    inside = jnp.all((coords >= 0) & (coords < jnp.array(extent, jnp.int32)), axis=-1)
    keep = valid_rows(n, coords.shape[1]) & inside
    keys = jnp.where(keep, linear_key(coords, extent), INT32_MAX)
    order = jnp.argsort(keys, axis=1, stable=True)

    def take(a: Array) -> Array:
        return jnp.take_along_axis(a, order[..., None], axis=-2)

    feats = jax.vmap(take)(feats) if feats.ndim == 4 else take(feats)
    keys = jnp.take_along_axis(keys, order, axis=1)
    kept = given = keep.sum(axis=1, dtype=jnp.int32)
    if duplicates == "error" and not isinstance(keys, Tracer):
        _refuse_repeated(np.asarray(keys), np.asarray(order), extent)
    else:
        feats, keys, kept = _merge(feats, keys, duplicates)
        given = kept if duplicates == "error" else given
    mask = valid_rows(kept, coords.shape[1])[..., None]
    return SparseTensor(
        feats=jnp.where(mask, feats, 0),
        coords=jnp.where(mask, key_coords(keys, extent), 0),
        n=kept,
        overflow=jnp.maximum(n.astype(jnp.int32), 0) - given,
        extent=extent,
        stride=three("stride", stride),
    )


def _int32(coords: ArrayLike) -> Array:
    """Coordinates as int32; values beyond its range are clipped, and so lie outside every grid."""
    given = coords if isinstance(coords, Array) else np.asarray(coords)
    if not jnp.issubdtype(given.dtype, jnp.integer):
        raise TypeError(f"coords must be integers; got {given.dtype}. Use voxelize for points.")
    if given.dtype.itemsize >= 4 and given.dtype != np.int32:
        clip = jnp.clip if isinstance(given, Array) else np.clip
        low = -1 if jnp.issubdtype(given.dtype, jnp.signedinteger) else 0
        given = clip(given, low, INT32_MAX)
    return jnp.asarray(given.astype(np.int32))


def _check_rows(feats: Array, coords: Array, duplicates: str) -> None:
    if coords.ndim != 3 or coords.shape[-1] != 3:
        raise ValueError(f"coords must have shape [B, N, 3]; got {coords.shape}.")
    if feats.shape[-3:-1] != coords.shape[:2] or feats.ndim not in (3, 4):
        raise ValueError(
            f"feats must be [B, N, C] or [T, B, N, C] with B, N of coords "
            f"{coords.shape[:2]}; got {feats.shape}."
        )
    if duplicates not in DUPLICATES:
        raise ValueError(f"duplicates must be 'error', 'sum', 'mean' or 'max'; got {duplicates!r}.")
    if duplicates == "mean" and not jnp.issubdtype(feats.dtype, jnp.floating):
        raise TypeError(
            f"a mean of {feats.dtype} features would be rounded. Cast them with "
            ".astype(jnp.float32), or merge with duplicates='sum'."
        )


def _refuse_repeated(keys: np.ndarray, order: np.ndarray, extent: tuple[int, int, int]) -> None:
    """Raise if sorted keys [B, N] of concrete rows hold a site twice."""
    again = (keys[:, 1:] == keys[:, :-1]) & (keys[:, 1:] != INT32_MAX)
    if not again.any():
        return
    b, i = (int(found[0]) for found in np.nonzero(again))
    site = tuple(int(c) for c in np.unravel_index(int(keys[b, i]), extent))
    raise ValueError(
        f"rows {order[b, i]} and {order[b, i + 1]} of sample {b} are both at site {site}, and "
        f"{int(again.sum())} rows in total repeat a site. Merge them with duplicates='sum', 'mean' "
        "or 'max', or use voxelize for points."
    )


def _merge(feats: Array, keys: Array, rule: str) -> tuple[Array, Array, Array]:
    """One row for each distinct key of sorted rows, by a rule; "error" keeps the first.

    Returns:
      Features [T?, B, N, C] and keys [B, N], undefined after the last; their number [B].
    """
    rows = keys.shape[1]
    before = jnp.pad(keys[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    first = (keys != before) & (keys != INT32_MAX)
    rank = jnp.cumsum(first, axis=1, dtype=jnp.int32) - 1
    row = jnp.where(keys != INT32_MAX, rank, rows)  # `rows` is out of bounds: dropped
    leader = jnp.where(first, rank, rows)
    merge = jax.vmap(_MERGE[rule])
    merge = jax.vmap(merge, in_axes=(0, None, None)) if feats.ndim == 4 else merge
    sites = jax.vmap(_first)(keys, row, leader)
    return merge(feats, row, leader), sites, first.sum(axis=1, dtype=jnp.int32)


def _first(values: Array, row: Array, leader: Array) -> Array:
    del row
    return jnp.zeros_like(values).at[leader].set(values, mode="drop", unique_indices=True)


def _sum(values: Array, row: Array, leader: Array) -> Array:
    del leader
    return _wide_sum(values, row).astype(values.dtype)


def _mean(values: Array, row: Array, leader: Array) -> Array:
    del leader
    total = _wide_sum(values, row)
    count = jnp.zeros(len(row), total.dtype).at[row].add(1, mode="drop")
    return (total / jnp.maximum(count, 1)[:, None]).astype(values.dtype)


def _max(values: Array, row: Array, leader: Array) -> Array:
    """The first largest row of each site and channel, which also receives the gradient."""
    fixed = jax.lax.stop_gradient(values)
    largest = _first(fixed, row, leader).at[row].max(fixed, mode="drop")
    index = jnp.arange(len(row), dtype=jnp.int32)[:, None]
    # NaN compares unequal to everything, so its site has no such row and is filled with NaN.
    hit = fixed == largest.at[row].get(mode="clip")
    chosen = jnp.full(values.shape, len(row), jnp.int32)
    chosen = chosen.at[row].min(jnp.where(hit, index, len(row)), mode="drop")
    return jnp.take_along_axis(values, chosen, axis=0, mode="fill")


_MERGE = {"error": _first, "sum": _sum, "mean": _mean, "max": _max}


def _wide_sum(values: Array, row: Array) -> Array:
    wide = values.dtype
    if jnp.issubdtype(wide, jnp.floating):
        wide = np.promote_types(wide, np.float32)
    zeros = jnp.zeros(values.shape, wide)
    return zeros.at[row].add(values.astype(wide), mode="drop", indices_are_sorted=True)


def valid_rows(n: Int[Array, " B"], capacity: int) -> Array:
    """Mask of the occupied rows among `capacity`, bool [B, capacity]."""
    return jnp.arange(capacity, dtype=jnp.int32) < n[:, None]


def linear_key(coords: Int[Array, "... 3"], extent: Triple, radius: Size = 0) -> Array:
    """The linear index of a site in a grid padded by `radius` on both sides of each axis, int32.

        key(z, y, x) = ((z + r_z) * (Y + 2 r_y) + (y + r_y)) * (X + 2 r_x) + (x + r_x)

    Padding keeps the neighbour of a border site from having the key of a site in the next line.
    """
    padding = three("radius", radius)
    _, y, x = (e + 2 * r for e, r in zip(extent, padding, strict=True))
    z_at, y_at, x_at = (coords[..., axis] + r for axis, r in enumerate(padding))
    return (z_at * y + y_at) * x + x_at


def key_coords(keys: Int[Array, "..."], extent: tuple[int, int, int]) -> Array:
    """The inverse of `linear_key` with radius 0: coordinates z, y, x, shape [..., 3]."""
    _, y, x = extent
    return jnp.stack([keys // (y * x), keys // x % y, keys % x], axis=-1)


def one_integer(name: str, size: int) -> int:
    """The size as a Python int; raises unless it is one integer."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise TypeError(f"{name} must be one integer; got {size!r}.")
    return int(size)


def check_extent(extent: Triple, radius: Size = 0) -> Triple:
    """The extent as three positive Python ints, checked to give int32 keys on its padded grid."""
    if np.ndim(extent) != 1 or len(extent) != 3 or any(int(e) != e or e < 1 for e in extent):
        raise ValueError(f"extent must be three positive integers (Z, Y, X); got {extent}.")
    z, y, x = (int(e) for e in extent)
    padding = three("radius", radius)
    cells = (z + 2 * padding[0]) * (y + 2 * padding[1]) * (x + 2 * padding[2])
    if cells >= INT32_MAX:
        raise ValueError(
            f"extent {(z, y, x)} padded by {radius} has {cells} cells, but site keys are int32 "
            f"and need fewer than {INT32_MAX}. Use larger voxels or crop the range."
        )
    return z, y, x


def check_floating(x: SparseTensor) -> None:
    """Raise unless the features are floating point."""
    if not jnp.issubdtype(x.feats.dtype, jnp.floating):
        raise TypeError(
            f"features must be floating point; got {x.feats.dtype}. Cast spikes with "
            "feats.astype(...)."
        )
