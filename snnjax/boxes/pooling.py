"""Features inside boxes: grid points, neighbours among sparse sites, samples of a dense map."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.boxes.geometry import to_world
from snnjax.sparse import SparseTensor, linear_key

_NONE = 2**31 - 1  # behind every key


class Neighbours(NamedTuple):
    """Sites near query points, [B, Q, K].

    Attributes:
      rows: rows of the sparse tensor, int32; 0 for a point without a neighbour.
      offset: centre of the site minus the point in metres, [B, Q, K, 3]; 0 without a neighbour.
      found: bool [B, Q], whether the point has a neighbour.
    """

    rows: Array
    offset: Array
    found: Array

    def features(self, feats: Array) -> Array:
        """The features [B, N, C] of the neighbours, [B, Q, K, C]; 0 without a neighbour."""
        taken = jax.vmap(lambda f, rows: f[rows])(feats, self.rows)
        return jnp.where(self.found[..., None, None], taken, 0)


def roi_grid(rois: Array, size: int = 6) -> Array:
    """Points on a regular grid in boxes [..., 7]: [..., size^3, 3].

        ((i + 0.5) / size - 0.5) * (dx, dy, dz), rotated by the heading, plus the centre

    The last axis of the grid, along the height, is fastest.

    >>> roi_grid(jnp.array([10.0, 0, 0, 4, 2, 1, 0]), 2)[0].tolist()
    [9.0, -0.5, -0.25]
    """
    steps = (np.arange(size) + 0.5) / size - 0.5
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    offsets = jnp.asarray(grid, rois.dtype) * rois[..., None, 3:6]
    return to_world(offsets, rois[..., None, :])


def voxel_neighbours(
    x: SparseTensor,
    points: Array,
    *,
    origin: tuple[float, float, float],
    voxel: tuple[float, float, float],
    radius: float,
    window: int = 4,
    count: int = 16,
    chunk: int = 1024,
) -> Neighbours:
    """The first occupied sites around points whose centres are within a radius.

    The sites of a window of cells around that of the point are scanned, z slowest, x fastest, and
    the first `count` are kept. If there are fewer, the first is repeated. The occupied sites of
    each line along x follow each other in the tensor, so that one binary search finds them.

    Args:
      x: sites at stride `x.stride` of the input grid; their features are not read.
      points: x, y, z in metres, [B, Q, 3].
      origin: corner of the grid x, y, z in metres. voxel: its voxel in metres, x, y, z.
      radius: in metres. window: cells on each side, along every axis. count: K.
      chunk: points that are searched together, which bounds the memory.

    Returns:
      `Neighbours`.

    Deng et al., "Voxel R-CNN: Towards high performance voxel-based 3D object detection", AAAI 2021.
    """
    if x.samples != 1:
        raise ValueError(
            f"neighbours need one sample in each grid; got {x.samples} packed samples. Do not pack "
            "the batch of this model."
        )
    if points.ndim != 3 or points.shape[0] != len(x.n) or points.shape[-1] != 3:
        raise ValueError(f"points must be [{len(x.n)}, Q, 3]; got {points.shape}.")
    if window < 0 or count < 1 or radius <= 0:
        raise ValueError(
            "`window` must be at least 0, `count` at least 1 and `radius` above 0; got "
            f"{window}, {count} and {radius}."
        )
    edge = jnp.asarray(voxel, points.dtype)
    corner = jnp.asarray(origin, points.dtype)
    keys = jnp.where(x.valid, linear_key(x.coords, x.extent), _NONE)
    stride = jnp.asarray(x.stride[::-1], jnp.int32)  # of x, y, z, as points are
    centres = (x.coords[..., ::-1] + 0.5) * stride * edge + corner

    def sample(keys: Array, centres: Array, points: Array) -> tuple[Array, Array, Array]:
        def one(point: Array) -> tuple[Array, Array, Array]:
            cell = jnp.floor((point - corner) / edge).astype(jnp.int32) // stride
            rows, valid = _window_rows(keys, cell[::-1], x.extent, window)
            offset = centres[rows] - point
            near = valid & ((offset**2).sum(-1) <= radius**2)
            seen = jnp.cumsum(near)
            at = jnp.searchsorted(seen, jnp.arange(1, count + 1))
            at = jnp.where(jnp.arange(count) < seen[-1], at, at[0])
            at = jnp.minimum(at, len(rows) - 1)
            any_near = seen[-1] > 0
            return (
                jnp.where(any_near, rows[at], 0),
                jnp.where(any_near, offset[at], 0),
                any_near,
            )

        return jax.lax.map(one, points, batch_size=chunk)

    return Neighbours(*jax.vmap(sample)(keys, centres, points))


def _window_rows(
    keys: Array, cell: Array, extent: tuple[int, int, int], window: int
) -> tuple[Array, Array]:
    """Rows of the sites in the window of one cell (z, y, x) in key order, and which exist."""
    side = 2 * window + 1
    steps = jnp.arange(-window, window + 1)
    z, y = (v.ravel() for v in jnp.meshgrid(cell[0] + steps, cell[1] + steps, indexing="ij"))
    inside = (z >= 0) & (z < extent[0]) & (y >= 0) & (y < extent[1])
    ends = jnp.clip(cell[2] + jnp.array([-window, window]), 0, extent[2] - 1)
    inside &= (cell[2] + window >= 0) & (cell[2] - window < extent[2])
    first, last = (linear_key(jnp.stack([z, y, jnp.full_like(z, end)], -1), extent) for end in ends)
    start = jnp.searchsorted(keys, jnp.where(inside, first, _NONE))
    rows = jnp.minimum(start[:, None] + jnp.arange(side), len(keys) - 1)
    valid = inside[:, None] & (start[:, None] + jnp.arange(side) < len(keys))
    valid &= keys[rows] <= last[:, None]
    return rows.ravel(), valid.ravel()


def map_samples(values: Array, positions: Array) -> Array:
    """A dense map at real positions, interpolated between the four cells around each.

    Args:
      values: [H, W, C]. positions: row and column, in cells, [Q, 2]; cell (i, j) lies at i, j.

    Returns:
      [Q, C]; cells outside the map count as 0.

    >>> values = jnp.arange(4.0).reshape(2, 2, 1)
    >>> map_samples(values, jnp.array([[0.5, 0.5], [1.0, 0.0]])).ravel().tolist()
    [1.5, 2.0]
    """
    height, width = values.shape[:2]
    low = jnp.floor(positions)
    part = positions - low
    total = jnp.zeros((len(positions), values.shape[-1]), values.dtype)
    for di in (0, 1):
        for dj in (0, 1):
            i, j = (low + jnp.array([di, dj])).astype(jnp.int32).T
            share = jnp.abs(1 - di - part[:, 0]) * jnp.abs(1 - dj - part[:, 1])
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            cell = values[jnp.clip(i, 0, height - 1), jnp.clip(j, 0, width - 1)]
            total += jnp.where(inside, share, 0)[:, None] * cell
    return total
