"""shapes3d: an endless supply of labelled, partly hidden, noisy clouds of twelve surfaces."""

from __future__ import annotations

import numpy as np

from snnjax.data.source import SPLITS, Sample

from .cloud import RADIUS
from .rotations import uniform_rotations
from .surfaces import FAMILIES, Surface

SIZES = {"train": 8000, "test": 1000}
NOISE = (0.004, 0.02)  # standard deviation of the points, in unit-ball units
STRETCH = 0.15  # each axis of the shape is scaled by 1 +- this
HIDDEN = 0.3  # at most this fraction of the surface points is removed
CACHE_LIMIT = 1 << 30  # bytes; a larger split is generated again on every access
BLOCK = 240  # shapes generated at a time: enough to amortise calls, few enough for the cache
_GRID = (24, 12)  # cells in (u, v) on which the area is measured


def draw_shapes(index: np.ndarray, *, split: str, seed: int, points: int) -> np.ndarray:
    """The shapes `index` of a split, each a pure function of (seed, split, its index).

    Shape i belongs to family i mod 12. Its surface is sampled in proportion to area, each axis is
    stretched by up to 15 %, a random half-space or a cap round a random surface point removes up to
    30 % of it, the rest is turned by a uniform random rotation of SO(3), blurred by Gaussian
    noise, centred and scaled into the unit ball. Rotation is full because the families remain
    distinguishable: a small network on rotation-invariant histograms reaches 99.8 %, while a linear
    model on voxel counts, which would read upright shapes off their bounding boxes, gets about
    half.

    Args:
      index: int [B]. split: "train" or "test"; their streams are independent.
      seed: seed of the data set. points: P per shape.

    Returns:
      float32 [B, P, 3].
    """
    index = np.asarray(index)
    many = int(np.ceil(points / (1 - HIDDEN)))
    rngs = [_stream(seed, split, int(i)) for i in index]
    q = np.stack([r.random(16, dtype=np.float32) for r in rngs])
    uv = np.stack([r.random((3, many), dtype=np.float32) for r in rngs])
    noise = np.stack([r.standard_normal((points, 3), dtype=np.float32) for r in rngs])
    out = np.empty((len(index), points, 3), np.float32)
    for family, surface in enumerate(FAMILIES.values()):
        rows = np.flatnonzero(index % len(FAMILIES) == family)
        if len(rows):
            cloud = sample_surface(surface, q[rows, None, :3], uv[rows])
            cloud *= 1 + np.float32(STRETCH) * (2 * q[rows, None, 13:16] - 1)
            out[rows] = _occlude(cloud, q[rows, 3:9], points)
    out = _unit(out @ uniform_rotations(q[:, 9:12]))
    sigma = np.float32(NOISE[0]) + np.float32(NOISE[1] - NOISE[0]) * q[:, 12]
    return _unit(out + noise * sigma[:, None, None])


def sample_surface(surface: Surface, q: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Points of a parametric surface, (nearly) uniform in area.

    The area of each of 24 x 12 cells of the (u, v) square is measured by differences; a cell is
    drawn in proportion to it and the point uniformly inside the cell.

    Args:
      surface: one of `FAMILIES`. q: proportions [b, 1, 3]. uv: uniform numbers [b, 3, m].

    Returns:
      float32 [b, m, 3].
    """
    nu, nv = _GRID
    i, j = (a.reshape(1, -1).astype(np.float32) for a in np.mgrid[:nu, :nv])
    at = np.concatenate([i + 0.25, i + 0.75, i + 0.25], 1) / np.float32(nu)
    bt = np.concatenate([j + 0.25, j + 0.25, j + 0.75], 1) / np.float32(nv)
    corner, next_u, next_v = np.split(surface(at, bt, q), 3, axis=1)
    area = np.linalg.norm(np.cross(next_u - corner, next_v - corner), axis=-1)
    cumulative = np.cumsum(area, axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    row = np.arange(len(q), dtype=np.float64)[:, None]
    cell = np.searchsorted((cumulative + row).ravel(), (uv[:, 0] + row).ravel(), side="right")
    cell = np.minimum(cell.reshape(uv[:, 0].shape) - (row * nu * nv).astype(np.int64), nu * nv - 1)
    u = (cell // nv + uv[:, 1]) / np.float32(nu)
    v = (cell % nv + uv[:, 2]) / np.float32(nv)
    return surface(u.astype(np.float32), v.astype(np.float32), q).astype(np.float32, copy=False)


def _stream(seed: int, split: str, i: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), i))
    return np.random.Generator(np.random.SFC64(sequence))


def _unit(cloud: np.ndarray) -> np.ndarray:
    """Centre each of [b, m, 3] on its centroid and scale it into the ball of radius `RADIUS`."""
    centre = np.einsum("bmc->bc", cloud) / np.float32(cloud.shape[1])
    cloud = cloud - centre[:, None]
    norm = np.sqrt(np.einsum("bmc,bmc->bm", cloud, cloud).max(1))
    norm = np.maximum(norm, np.finfo(np.float32).tiny)  # one point is at the origin
    return cloud * (np.float32(RADIUS) / norm)[:, None, None]


def _occlude(cloud: np.ndarray, q: np.ndarray, keep: int) -> np.ndarray:
    """Remove a half-space or a cap, and leave the first `keep` points of the rest.

    Args:
      cloud: [b, m, 3], in random order. keep: points left of each.
      q: uniform numbers [b, 6]: kind, fraction, direction (2), centre, unused.
    """
    b, m, _ = cloud.shape
    height, angle = 2 * q[:, 2] - 1, 2 * np.pi * q[:, 3]
    flat = np.sqrt(1 - height**2)
    direction = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], -1)
    centre = cloud[np.arange(b), (q[:, 4] * m).astype(np.int64)]
    plane = np.einsum("bmc,bc->bm", cloud, direction.astype(np.float32))
    away = cloud - centre[:, None]
    near = -np.einsum("bmc,bmc->bm", away, away)
    depth = np.where(q[:, :1] < 0.5, plane, near)
    left = m - np.floor(q[:, 1] * (m - keep)).astype(np.int64)  # how many points stay visible
    limit = np.take_along_axis(np.sort(depth, axis=1), left[:, None] - 1, axis=1)
    seen = depth <= limit
    seen &= np.cumsum(seen, axis=1) <= keep
    return cloud[seen].reshape(b, keep, 3)


class Shapes3D:
    """One split of shapes3d, generated on first access and then kept in memory.

    Args:
      split: "train" or "test". points: points per shape. seed: seed of the data set. size: shapes
        in the split (default 8,000 for training and 1,000 for testing).

    >>> ds = Shapes3D("test", size=24, points=64)
    >>> len(ds), ds.points(3).shape, ds.class_names[ds.label(3)]
    (24, (64, 3), 'cone')
    """

    in_channels = 3
    skipped = 0
    sample_shape = None
    class_names = tuple(FAMILIES)

    def __init__(self, split: str, *, points: int = 1024, seed: int = 0, size: int | None = None):
        if split not in SPLITS:
            raise ValueError(f"`split` must be 'train' or 'test'; got {split!r}")
        size = SIZES[split] if size is None else size
        if size < 1 or points < 1:
            raise ValueError(f"`size` and `points` must be at least 1; got {size} and {points}")
        if not 0 <= seed < 2**63:
            raise ValueError(f"`seed` must be in [0, 2^63); got {seed}")
        self.split, self.seed, self.size, self.per_shape = split, seed, size, points
        self._kept: np.ndarray | None = None
        self._known = np.zeros(-(-size // BLOCK), bool)

    def __len__(self) -> int:
        return self.size

    def points(self, i: int) -> np.ndarray:
        """Shape i, float32 [points, 3] (a view, if it is kept)."""
        if self._kept is not None and 0 <= i < self.size and self._known[i // BLOCK]:
            return self._kept[i]
        return self.take(np.array([i]))[0]

    def label(self, i: int) -> int:
        return i % len(FAMILIES)

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """The points of shape i and its label; nothing is drawn."""
        return {"points": self.points(i), "label": self.label(i)}

    def name(self, i: int) -> str:
        """Class and position."""
        return f"{self.class_names[self.label(i)]} {i}"

    def take(self, index: np.ndarray) -> np.ndarray:
        """The shapes `index`, float32 [B, points, 3]."""
        if index.min() < 0 or index.max() >= self.size:
            raise IndexError(f"sample {index.min()}..{index.max()} of a split of {self.size}")
        if self.size * self.per_shape * 12 > CACHE_LIMIT:
            return self._draw(index)
        if self._kept is None:  # untouched pages of this array cost no memory
            self._kept = np.empty((self.size, self.per_shape, 3), np.float32)
        for block in np.unique(index // BLOCK):
            if not self._known[block]:
                rows = np.arange(block * BLOCK, min((block + 1) * BLOCK, self.size))
                self._kept[rows] = self._draw(rows)
                self._known[block] = True
        return self._kept[index]

    def _draw(self, index: np.ndarray) -> np.ndarray:
        return draw_shapes(index, split=self.split, seed=self.seed, points=self.per_shape)
