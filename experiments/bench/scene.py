"""Voxel sets: a scanned room, and cells occupied at random."""

from __future__ import annotations

from itertools import product

import jax.numpy as jnp
import numpy as np

from snnjax.sparse import SparseTensor, sparse_tensor

_SIDE = 128 / np.sqrt(37_000)  # surfaces grow with the square of the edge


def room_side(voxels: int) -> int:
    """Edge of the room in which about half of the surface cells hold a point, multiple of 8.

    >>> room_side(37_000), room_side(9_250)
    (128, 64)
    """
    return max(8, 8 * int(np.ceil(_SIDE * np.sqrt(voxels) / 8 - 1e-9)))


def room(voxels: int, *, seed: int = 0) -> np.ndarray:
    """The voxels of a sparse scan of a room: distinct z, y, x, int32 [voxels, 3].

    Points fall evenly on a floor, two walls, a ball and a pillar, with a noise of a quarter of a
    voxel, until the requested number of cells is hit; holes remain, as in real scans.

    >>> room(500).shape
    (500, 3)
    """
    rng = np.random.default_rng(seed)
    side = room_side(voxels)
    found = np.empty((0, 3), np.int32)
    while len(found) < voxels:
        points = _surface(rng, voxels) * side + rng.normal(scale=0.25, size=(voxels, 3))
        cells = np.floor(points).astype(np.int32)
        cells = cells[((cells >= 0) & (cells < side)).all(axis=1)]
        found = np.concatenate([found, cells])
        found = found[np.sort(np.unique(found, axis=0, return_index=True)[1])]
    return found[:voxels]


def _surface(rng: np.random.Generator, size: int) -> np.ndarray:
    """Points in the unit cube, uniform over the areas of all surfaces."""
    ball, pillar = 0.3, 0.12  # radii
    areas = np.array([1.0, 1.0, 1.0, 4 * np.pi * ball**2, 2 * np.pi * pillar])
    which = rng.choice(len(areas), size=size, p=areas / areas.sum())
    u, v = rng.random((2, size))
    flat = 0.03 + 0.02 * u  # surfaces in a scan are never exactly parallel to the grid
    normal = rng.normal(size=(size, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    angle = 2 * np.pi * u
    choices = [
        np.stack([flat, u, v], axis=1),
        np.stack([v, flat, u], axis=1),
        np.stack([v, u, flat], axis=1),
        0.5 + ball * normal,
        np.stack([v, 0.75 + pillar * np.sin(angle), 0.25 + pillar * np.cos(angle)], axis=1),
    ]
    return np.choose(which[:, None], choices)


def random_cells(side: int, occupancy: float, *, seed: int = 0) -> np.ndarray:
    """A share of the cells of a cube, drawn at random: z, y, x, int32 [n, 3]."""
    rng = np.random.default_rng(seed)
    count = max(1, round(occupancy * side**3))
    chosen = np.sort(rng.permutation(side**3)[:count])
    return np.stack(np.unravel_index(chosen, (side, side, side)), axis=1).astype(np.int32)


def to_tensor(clouds: list[np.ndarray], side: int, channels: int, *, seed: int = 0) -> SparseTensor:
    """Clouds of one size in a cube, with normal features; no row is padding."""
    rng = np.random.default_rng(seed)
    coords = np.stack(clouds)
    feats = rng.normal(size=(*coords.shape[:2], channels)).astype(np.float32)
    n = np.full(len(clouds), coords.shape[1], np.int32)
    return sparse_tensor(
        jnp.asarray(feats), jnp.asarray(coords), jnp.asarray(n), extent=(side, side, side)
    )


def kernel(channels: int, *, seed: int = 1) -> np.ndarray:
    """A 3x3x3 kernel [27, C, C] of unit gain."""
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(27 * channels)
    return rng.normal(scale=scale, size=(27, channels, channels)).astype(np.float32)


def indices(x: SparseTensor) -> np.ndarray:
    """(b, z, y, x) of every row of a tensor without padding, int32 [B * N, 4]."""
    batch = np.repeat(np.arange(x.coords.shape[0], dtype=np.int32), x.capacity)
    return np.concatenate([batch[:, None], np.asarray(x.coords).reshape(-1, 3)], axis=1)


class Reference:
    """Submanifold convolution of one cloud by looking up neighbours in a dictionary.

    Attributes:
      pairs: for each offset, z-major and x fastest, (input rows, output rows).
    """

    def __init__(self, coords: np.ndarray):
        rows = {site: row for row, site in enumerate(map(tuple, coords.tolist()))}
        self.pairs: list[tuple[list[int], list[int]]] = []
        for dz, dy, dx in product((-1, 0, 1), repeat=3):
            found = [
                (source, row)
                for (z, y, x), row in rows.items()
                if (source := rows.get((z + dz, y + dy, x + dx))) is not None
            ]
            self.pairs.append(([i for i, _ in found], [o for _, o in found]))
        self.rows = len(rows)

    @property
    def neighbours(self) -> float:
        """Mean number of the 27 neighbours that are present, the site itself among them."""
        return sum(len(i) for i, _ in self.pairs) / self.rows

    def convolve(self, feats: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """y_u = sum_k W_k^T x[u + k - 1], in float64: [N, O]."""
        out = np.zeros((self.rows, weight.shape[-1]))
        for (i, o), w in zip(self.pairs, weight.astype(np.float64), strict=True):
            out[o] += feats[i].astype(np.float64) @ w
        return out


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
