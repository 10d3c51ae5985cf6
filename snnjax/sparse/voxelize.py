"""Points to voxels: one deterministic representative point for each occupied site."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from snnjax.sparse.tensor import (
    INT32_MAX,
    SparseTensor,
    check_extent,
    key_coords,
    linear_key,
    valid_rows,
)

VoxelSize = float | Sequence[float]
"""Edge of a voxel: one number, or three in the order x, y, z of the points."""


def voxelize(
    points: Float[Array, "B P C"],
    count: Int[Array, " B"],
    *,
    extent: tuple[int, int, int],
    voxel_size: VoxelSize,
    origin: ArrayLike | Sequence[float] | None = None,
    capacity: int | None = None,
) -> SparseTensor:
    """Sort a batch of point clouds into voxels and keep one point for each.

        p = floor((xyz - origin) / voxel_size)

    Of the points in one voxel the one nearest to its centre is kept, the lowest index on a tie;
    its full row becomes the feature vector. Except for such ties the result does not depend on the
    order of the points. Points beyond `count`, outside the grid, or not finite are dropped; the
    last two, and voxels beyond the capacity (those of largest key), are counted in `overflow`.

    Args:
      points: columns 0 to 2 are x, y, z; all C columns are features. Float, shape [B, P, C].
      count: number of points of each cloud, int32 [B].
      extent: grid size (Z, Y, X).
      voxel_size: edge of a voxel in the unit of the points, one number or three for x, y, z.
      origin: lower corner (x, y, z) of the grid; None takes the smallest coordinates of each cloud.
      capacity: rows per sample; None means P, which cannot overflow.

    Returns:
      A SparseTensor with features [B, capacity, C].

    >>> cloud = jnp.array([[[0.1, 0.1, 0.1], [0.6, 0.5, 0.5], [3.5, 0.5, 0.5]]])
    >>> x = voxelize(cloud, jnp.array([3]), extent=(4, 4, 4), voxel_size=1.0, origin=(0, 0, 0))
    >>> x.n.tolist(), x.coords[0, :2].tolist()
    ([2], [[0, 0, 0], [0, 0, 3]])

    Source: Qiu et al., "Efficient 3D Recognition with Event-driven Spike Sparse Convolution",
    AAAI 2025.
    """
    extent = check_extent(extent)
    _check_points(points, count, capacity)
    edges = voxel_edges(voxel_size).astype(points.dtype)
    capacity = points.shape[1] if capacity is None else capacity
    corner = None if origin is None else _corner(origin, points.dtype)
    return _voxelize(points, count, edges, corner, extent, capacity)


@partial(jax.jit, static_argnums=(4, 5))
def _voxelize(
    points: Array,
    count: Array,
    edges: ArrayLike,
    origin: Array | None,
    extent: tuple[int, int, int],
    capacity: int,
) -> SparseTensor:
    """`voxelize` without argument checks, jitted so that eager calls run one program too."""
    size = points.shape[1]
    key, grid = _point_keys(points, count, edges, origin, extent)
    sites, n = unique_keys(key, capacity)

    row = search_rows(sites, key)  # capacity where the point has no row
    distance = jnp.sum((grid - jnp.floor(grid) - 0.5) ** 2, axis=-1)
    chosen = jax.vmap(_nearest, in_axes=(0, 0, None))(row, distance, capacity)
    occupied = valid_rows(n, capacity)
    feats = jnp.take_along_axis(points, jnp.minimum(chosen, size - 1)[..., None], axis=1)
    lost = (valid_rows(count, size) & (key == INT32_MAX)).sum(axis=1, dtype=jnp.int32)
    return SparseTensor(
        feats=jnp.where(occupied[..., None], feats, 0),
        coords=jnp.where(occupied[..., None], key_coords(sites, extent), 0),
        n=jnp.minimum(n, capacity),
        overflow=lost + jnp.maximum(n - capacity, 0),
        extent=extent,
    )


def point_rows(
    points: Float[Array, "B P C"],
    count: Int[Array, " B"],
    x: SparseTensor,
    *,
    voxel_size: VoxelSize,
    origin: ArrayLike | Sequence[float] | None = None,
) -> Int[Array, "B P"]:
    """The row of `x` that each point falls into, for per-point labels or outputs.

    Args:
      points, count, voxel_size, origin: as passed to `voxelize`.
      x: the result of `voxelize`, or any tensor on sites of the same grid, packed or not.

    Returns:
      int32 [B, P]; the capacity of `x` where a point has no row, because it is outside of the grid
      or its voxel is beyond the capacity. `point_values` takes values of rows to the points.

    >>> cloud = jnp.array([[[0.6, 0.5, 0.5], [3.5, 0.5, 0.5], [0.1, 0.1, 0.1]]])
    >>> grid = {"voxel_size": 1.0, "origin": (0, 0, 0)}
    >>> x = voxelize(cloud, jnp.array([3]), extent=(4, 4, 4), **grid)
    >>> point_rows(cloud, jnp.array([3]), x, **grid).tolist()
    [[0, 1, 0]]
    """
    _check_points(points, count, None)
    edges = voxel_edges(voxel_size).astype(points.dtype)
    if len(x.coords) * x.samples != len(points) or x.stride != (1, 1, 1):
        raise ValueError(
            f"x must hold the {len(points)} clouds at stride (1, 1, 1); got {len(x.coords)} grids "
            f"of {x.samples} samples at stride {x.stride}."
        )
    corner = None if origin is None else _corner(origin, points.dtype)
    sites = x.replace(feats=x.feats[..., :0])
    return _point_rows(points, count, edges, corner, sites)


@jax.jit
def _point_rows(
    points: Array, count: Array, edges: ArrayLike, origin: Array | None, x: SparseTensor
) -> Array:
    _, y_size, x_size = x.extent
    key, _ = _point_keys(points, count, edges, origin, x.sample_extent)
    place = jnp.arange(len(points), dtype=jnp.int32) % x.samples
    key = jnp.where(key == INT32_MAX, key, key + (place * x.pitch * y_size * x_size)[:, None])
    sites = jnp.where(x.valid, linear_key(x.coords, x.extent), INT32_MAX)
    return search_rows(sites, key.reshape(len(sites), -1)).reshape(key.shape)


def unique_keys(keys: Int[Array, "B P"], capacity: int) -> tuple[Array, Array]:
    """The distinct keys of each row in ascending order, and their number.

    Returns:
      Keys int32 [B, capacity], INT32_MAX after the last; and the number of distinct keys before
      clipping to the capacity, int32 [B].
    """
    ordered = jnp.sort(keys, axis=1)
    before = jnp.concatenate([jnp.full_like(ordered[:, :1], -1), ordered[:, :-1]], axis=1)
    first = (ordered != before) & (ordered != INT32_MAX)
    rank = jnp.where(first, jnp.cumsum(first, axis=1, dtype=jnp.int32) - 1, capacity)
    empty = jnp.full((capacity,), INT32_MAX, jnp.int32)
    compact = jax.vmap(lambda r, k: empty.at[r].set(k, mode="drop", unique_indices=True))
    return compact(rank, ordered), first.sum(axis=1, dtype=jnp.int32)


def search_rows(sites: Int[Array, "B N"], keys: Int[Array, "B P"]) -> Array:
    """The row of each key among the sorted sites; N where it is missing or INT32_MAX."""
    capacity = sites.shape[1]
    row = jax.vmap(lambda s, k: jnp.searchsorted(s, k, method="scan"))(sites, keys).astype(
        jnp.int32
    )
    found = jnp.take_along_axis(sites, jnp.minimum(row, capacity - 1), axis=1)
    return jnp.where((found == keys) & (keys != INT32_MAX) & (row < capacity), row, capacity)


def _point_keys(
    points: Array,
    count: Array,
    edges: ArrayLike,
    origin: Array | None,
    extent: tuple[int, int, int],
) -> tuple[Array, Array]:
    """The cell key of each point, INT32_MAX where it has none; and points in units of voxels."""
    xyz = points[..., :3]
    real = valid_rows(count, points.shape[1]) & jnp.all(jnp.isfinite(xyz), axis=-1)
    grid = _to_grid(xyz, real, origin, edges)
    # Compared as floats: a far point must not wrap round when cast to int32.
    limits = jnp.array(extent[::-1], grid.dtype)
    usable = real & jnp.all((grid >= 0) & (grid < limits), axis=-1)
    cell = jnp.where(usable[..., None], jnp.floor(grid), 0).astype(jnp.int32)[..., ::-1]
    return jnp.where(usable, linear_key(cell, extent), INT32_MAX), grid


def _nearest(row: Array, distance: Array, capacity: int) -> Array:
    """The index of the closest point of every row, the lowest on a tie."""
    least = jnp.full((capacity,), jnp.inf, distance.dtype).at[row].min(distance, mode="drop")
    best = distance == least.at[row].get(mode="fill", fill_value=-1.0)
    index = jnp.arange(row.shape[0], dtype=jnp.int32)
    last = jnp.full((capacity,), row.shape[0], jnp.int32)
    return last.at[jnp.where(best, row, capacity)].min(index, mode="drop")


def _corner(origin: ArrayLike | Sequence[float], dtype: Any) -> Array:
    """The origin as an array of three numbers, checked to be finite if concrete."""
    corner = jnp.asarray(origin, dtype)
    if corner.shape != (3,):
        raise ValueError(f"origin must be three numbers x, y, z; got shape {corner.shape}.")
    if not isinstance(corner, Tracer) and not np.all(np.isfinite(corner)):
        raise ValueError(
            f"origin must be finite; got {tuple(map(float, corner))}. Without an origin each "
            "cloud starts at its smallest coordinates."
        )
    return corner


def _to_grid(xyz: Array, usable: Array, origin: Array | None, edges: ArrayLike) -> Array:
    """Points in units of voxels from the origin of their grid, shape [B, P, 3]."""
    if origin is None:
        corner = jnp.min(jnp.where(usable[..., None], xyz, jnp.inf), axis=1, keepdims=True)
        corner = jnp.where(jnp.isfinite(corner), corner, 0)
    else:
        corner = origin
    # Multiply by the reciprocal: XLA may do so for a constant divisor, and the host must agree.
    inverse = jnp.ones((), xyz.dtype) / jnp.asarray(edges, xyz.dtype)
    return jnp.where(usable[..., None], (xyz - corner) * inverse, -1)


def _check_points(points: Array, count: Array, capacity: int | None) -> None:
    if points.ndim != 3 or points.shape[-1] < 3 or points.shape[1] < 1:
        raise ValueError(
            f"points must have shape [B, P, C] with P >= 1 and C >= 3 (x, y, z first); got "
            f"{points.shape}. Pad an empty cloud with a row of zeros and give it count 0."
        )
    if not jnp.issubdtype(points.dtype, jnp.floating):
        raise TypeError(
            f"points must be floating point; got {points.dtype}. Cast with .astype(jnp.float32)."
        )
    if count.shape != points.shape[:1] or not jnp.issubdtype(count.dtype, jnp.integer):
        raise ValueError(
            f"count must be integers of shape {points.shape[:1]}; got {count.dtype} {count.shape}."
        )
    if capacity is not None and capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}.")


def voxel_edges(voxel_size: VoxelSize) -> np.ndarray:
    """The edges of a voxel along x, y, z, float64 [3], checked.

    >>> voxel_edges((0.05, 0.05, 0.1)).tolist(), voxel_edges(2).tolist()
    ([0.05, 0.05, 0.1], [2.0, 2.0, 2.0])
    """
    parts = list(voxel_size) if isinstance(voxel_size, (tuple, list)) else [voxel_size] * 3
    if len(parts) != 3 or not all(isinstance(part, (int, float, np.number)) for part in parts):
        raise TypeError(
            f"voxel_size must be one number for all axes, or three for x, y and z; got "
            f"{voxel_size!r}."
        )
    edges = np.array(parts, np.float64)
    if not np.all((edges > 0) & np.isfinite(edges)):
        raise ValueError(f"voxel_size must be positive and finite; got {voxel_size}.")
    return edges
