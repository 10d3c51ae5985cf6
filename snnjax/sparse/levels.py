"""Occupied sites of every level of a network, counted on the host."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from snnjax.sparse.geometry import Geometry, Triple
from snnjax.sparse.voxelize import VoxelSize, voxel_edges

MARKS = 1 << 24  # sites are counted by a byte per cell up to this number of cells in a batch

HALVING = Geometry.of(2, 2)

Levels = int | Sequence[Geometry]
"""A number of halvings (kernel 2, stride 2), or the geometry of each strided level."""


def geometries(depth: Levels) -> list[Geometry]:
    """One geometry for each strided level."""
    return [HALVING] * depth if isinstance(depth, int) else list(depth)


def most_sites(extent: Triple, limit: int | None, downs: list[Geometry]) -> list[int]:
    """The sites that a sample of at most `limit` points can have at each level."""
    size, points = extent, math.prod(extent) if limit is None else limit
    most = [min(math.prod(size), points)]
    for down in downs:
        size = _out_size(size, down)
        most.append(min(max(math.prod(size), 1), most[-1] * down.reach))
    return most


def level_counts(
    points: np.ndarray,
    count: np.ndarray,
    *,
    extent: tuple[int, int, int],
    voxel_size: VoxelSize,
    origin: tuple[float, float, float] | None = None,
    depth: Levels,
) -> np.ndarray:
    """Occupied sites of each cloud at the input and after each strided level, on the host.

    The same arithmetic as `voxelize` and `strided_map`.

    Args:
      points: float [B, P, C], x, y, z first. count: valid points, int [B].
      extent, voxel_size, origin: as in `voxelize`.
      depth: strided levels below the input, of kernel 2 and stride 2; or their geometries.

    Returns:
      int64 [B, depth + 1].

    >>> cloud = np.array([[[0.1, 0.1, 0.1], [0.6, 0.5, 0.5], [3.5, 0.5, 0.5]]], np.float32)
    >>> grid = {"extent": (4, 4, 4), "voxel_size": 1.0, "origin": (0, 0, 0)}
    >>> level_counts(cloud, np.array([3]), **grid, depth=2)
    array([[2, 2, 1]])
    """
    grid = (extent, voxel_size, origin)
    sites = [
        np.bincount(level.sample, minlength=len(points))
        for level in _levels(points, count, *grid, depth)
    ]
    return np.stack(sites, axis=1)


def level_occupancy(
    points: np.ndarray,
    count: np.ndarray,
    *,
    extent: tuple[int, int, int],
    voxel_size: VoxelSize,
    origin: tuple[float, float, float] | None = None,
    depth: Levels,
) -> tuple[float, ...]:
    """The mean fraction of the 27 neighbours (including the site itself) present at each level.

    Args: as in `level_counts`.

    Returns:
      depth + 1 numbers between 1/27 and 1; 1 for a level without a site.

    >>> line = np.array([[[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [2.5, 0.5, 0.5]]], np.float32)
    >>> grid = {"extent": (4, 4, 4), "voxel_size": 1.0, "origin": (0, 0, 0)}
    >>> share, _ = level_occupancy(line, np.array([3]), **grid, depth=1)
    >>> round(27 * share * 3)  # two ends of 2, a middle of 3
    7
    """
    shares = []
    for level in _levels(points, count, extent, voxel_size, origin, depth):
        z_size, y_size, x_size = (int(e) + 2 for e in level.size)  # padded by the radius
        plane = np.array([y_size * x_size, x_size, 1])
        key = level.sample * z_size * plane[0] + plane @ (level.cell + 1)  # ascending
        steps = [plane @ step for step in product((-1, 0, 1), repeat=3)]
        pairs = 2 * sum(_present(key + step, key) for step in steps if step > 0) + len(key)
        shares.append(pairs / (27 * len(key)) if len(key) else 1.0)
    return tuple(shares)


def _present(wanted: np.ndarray, keys: np.ndarray) -> int:
    """How many of `wanted` are among the ascending `keys`."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return int((keys[place] == wanted).sum()) if len(keys) else 0


def _out_size(size: Triple, down: Geometry) -> Triple:
    """The extent after a strided level, which may be 0 after too many halvings."""
    if down == HALVING:
        z, y, x = (e // 2 for e in size)
        return z, y, x
    return down.out_extent(size)


class _Level(NamedTuple):
    """The occupied sites of a batch at one level: sample [M], cell z, y, x [3, M], grid size."""

    sample: np.ndarray
    cell: np.ndarray
    size: Triple


def _levels(points, count, extent, voxel_size, origin, depth: Levels) -> Iterator[_Level]:
    """The input level and the strided ones, sites in ascending order of sample and key."""
    batch = len(points)
    sample, cell = _cells(points, count, extent, voxel_size, origin)
    z, y, x = (int(e) for e in extent)
    level = _unique(_Level(sample, cell, (z, y, x)), batch)
    yield level
    for down in geometries(depth):
        level = _unique(_strided(level, down), batch)
        yield level


def _strided(level: _Level, down: Geometry) -> _Level:
    """The sites that a strided level reaches, repeated."""
    size = _out_size(level.size, down)
    if down == HALVING:
        sample, cell = level.sample, level.cell >> 1
    else:
        parts = []
        for axis, at in enumerate(level.cell):
            place = at + down.padding[axis]
            offset = down.offsets(axis)[place % down.stride[axis]]
            u = (place[:, None] - offset * down.dilation[axis]) // down.stride[axis]
            parts.append(np.where(offset >= 0, u, -1))
        z, y, x = parts
        z, y, x = z[:, :, None, None], y[:, None, :, None], x[:, None, None, :]
        cell = np.stack([each.reshape(-1) for each in np.broadcast_arrays(z, y, x)])
        sample = np.repeat(level.sample, down.reach)
    inside = ((cell >= 0) & (cell < np.array(size)[:, None])).all(axis=0)
    return _Level(sample[inside], cell[:, inside], size)


def _unique(level: _Level, batch: int) -> _Level:
    sample, (z, y, x), size = level
    if not all(size):
        return level
    key = ((sample * size[0] + z) * size[1] + y) * size[2] + x
    key = _distinct(key, batch * math.prod(size))
    sample, z, y, x = np.unravel_index(key, (batch, *size))
    return _Level(sample, np.stack([z, y, x]), size)


def _distinct(keys: np.ndarray, bound: int) -> np.ndarray:
    """The distinct keys in [0, bound), ascending; by marking in a small range, else by sorting."""
    if bound > MARKS:
        return np.unique(keys)
    seen = np.zeros(bound, bool)
    seen[keys] = True
    return np.flatnonzero(seen)


def _cells(points, count, extent, voxel_size, origin) -> tuple[np.ndarray, np.ndarray]:
    """Sample index [M] and cell z, y, x [3, M] of every usable point."""
    xyz = np.moveaxis(np.asarray(points)[..., :3], -1, 0).copy()  # [3, B, P]: fast to reduce
    usable = np.arange(xyz.shape[2]) < np.asarray(count)[:, None]
    usable = usable & np.isfinite(xyz).all(axis=0)
    if origin is None:
        corner = np.where(usable, xyz, np.inf).min(axis=2, keepdims=True)
        corner = np.where(np.isfinite(corner), corner, 0).astype(xyz.dtype)
    else:
        corner = np.asarray(origin, xyz.dtype)[:, None, None]
    edges = voxel_edges(voxel_size).astype(xyz.dtype)
    inverse = (xyz.dtype.type(1) / edges)[:, None, None]  # as `voxelize` does
    grid = (np.where(usable, xyz, corner) - corner) * inverse
    limits = np.array(extent[::-1], grid.dtype)[:, None, None]
    usable &= ((grid >= 0) & (grid < limits)).all(axis=0)
    sample = np.nonzero(usable)[0].astype(np.int64)
    x, y, z = (np.floor(axis[usable]).astype(np.int64) for axis in grid)
    return sample, np.stack([z, y, x])
