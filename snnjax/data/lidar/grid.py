"""Points to voxels on the host: the grid, the rule of a voxel's feature, and its label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from snnjax.data.errors import DataError
from snnjax.sparse import check_extent

from .classes import IGNORED

STEP = 16


@dataclass(frozen=True)
class LidarGrid:
    """A grid of fixed origin over a box of space, in metres.

    Points outside the box are dropped, never moved onto its faces.
    """

    low: tuple[float, float, float] = (-80.0, -80.0, -4.0)
    """Lower corner x, y, z."""
    high: tuple[float, float, float] = (80.0, 80.0, 4.0)
    """Upper corner x, y, z."""
    voxel_size: tuple[float, float, float] = (0.05, 0.05, 0.05)
    """Edges of a voxel along x, y, z."""
    size: tuple[int, int, int] | None = None
    """Voxels along z, y, x, at least those of the box; None rounds up to multiples of 16, so that
    four halvings lose no plane."""

    def __post_init__(self) -> None:
        for name in ("low", "high", "voxel_size"):
            given = getattr(self, name)
            if len(given) != 3 or not np.isfinite(given).all():
                raise ValueError(f"grid.{name} must be three finite numbers; got {given}.")
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"grid.low must be below grid.high; got {self.low} and {self.high}.")
        if min(self.voxel_size) <= 0:
            raise ValueError(f"grid.voxel_size must be positive; got {self.voxel_size}.")
        if self.size is not None and any(a < b for a, b in zip(self.size, self._box, strict=True)):
            raise ValueError(
                f"grid.size must be at least the {self._box} voxels of the box (z, y, x); got "
                f"{self.size}."
            )
        check_extent(self.extent, radius=1)

    @property
    def _box(self) -> tuple[int, ...]:
        """Voxels that the box needs along z, y, x."""
        edges = zip(self.low, self.high, self.voxel_size, strict=True)
        return tuple(math.ceil(round((b - a) / v, 6)) for a, b, v in edges)[::-1]

    @property
    def extent(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.size or (-(-cells // STEP) * STEP for cells in self._box)
        return z, y, x

    def cells(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points in units of voxels, float64 [P, 3] in x, y, z; and which are inside, bool [P].

        In float32 the third decimal of the quotient is rounding, and points change their voxel.
        """
        low, high = np.asarray(self.low), np.asarray(self.high)
        xyz = xyz.astype(np.float64)
        inside = np.all((xyz >= low) & (xyz < high), axis=1)
        position = (xyz - low) / np.asarray(self.voxel_size)
        top = np.nextafter(np.asarray(self._box[::-1], np.float64), 0)  # rounding may exceed it
        return np.where(inside[:, None], np.minimum(position, top), 0), inside


class Voxels(NamedTuple):
    """The occupied voxels of one scan, in the order of their keys (z-major, x fastest).

    Attributes:
      coords: z, y, x, int32 [N, 3].
      feats: features, float32 [N, C].
      inverse: the row of each point, int32 [P]; -1 where it has none.
      chosen: the point that represents each voxel, int [N].
      dropped: voxels that were left out because there were more than rows.
    """

    coords: np.ndarray
    feats: np.ndarray
    inverse: np.ndarray
    chosen: np.ndarray
    dropped: int


def voxelise(
    points: np.ndarray,
    grid: LidarGrid,
    *,
    most: int,
    mean_of: int | None = None,
    rng: np.random.Generator | None = None,
    drop: bool = False,
    name: str = "the scan",
) -> Voxels:
    """The occupied voxels of a scan.

    The feature of a voxel is all channels of its representative: a random point with `rng`, else
    the point nearest to its centre, the lowest index on a tie. With `mean_of` it is the mean of
    the first (with `rng`, of random) `mean_of` points.

    Args:
      points: float32 [P, C], x, y, z first.
      grid: where voxels are. most: rows; if there are more voxels, random ones are dropped.
      mean_of: points that a mean is taken over; None takes one representative.
      rng: random generator in training; None is the fixed rule of evaluation.
      drop: without `rng`, whether surplus voxels are dropped (by a fixed seed) or an error.
      name: of the scan, for messages.

    Raises:
      DataError: no point is in the grid, or there are too many voxels in evaluation.
    """
    position, inside = grid.cells(points[:, :3])
    index = np.flatnonzero(inside)
    if not len(index):
        problem = f"none of its {len(points)} points is in the grid from {grid.low} to {grid.high}"
        fix = "check the units and the frame of the points, or enlarge data.grid"
        raise DataError.at(name, problem, fix=fix)
    keys, row, coords = _unique_cells(position[index], grid.extent)
    if rng is not None:
        order = rng.permutation(len(index))
    elif mean_of is None:
        distance = ((position[index] - np.floor(position[index]) - 0.5) ** 2).sum(axis=1)
        order = np.argsort(distance, kind="stable")
    else:
        order = np.arange(len(index))
    feats, chosen = _features(points[index], row, len(keys), order, mean_of)
    inverse = np.full(len(points), -1, np.int32)
    inverse[index] = row
    voxels = Voxels(coords, feats, inverse, index[chosen], 0)
    return voxels if len(keys) <= most else _thin(voxels, most, rng, drop, name)


def _unique_cells(
    position: np.ndarray, extent: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted keys [N], the row of each point [P], and coordinates z, y, x, int32 [N, 3]."""
    cell = np.floor(position).astype(np.int64)
    key = (cell[:, 2] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 0]
    keys, row = np.unique(key, return_inverse=True)
    coords = np.stack(np.unravel_index(keys, extent), axis=1).astype(np.int32)
    return keys, row.astype(np.int32), coords


def _features(
    points: np.ndarray, row: np.ndarray, rows: int, order: np.ndarray, mean_of: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The feature of each voxel from its points in the given order, and the first of them."""
    by_row = order[np.argsort(row[order], kind="stable")]
    start = np.searchsorted(row[by_row], np.arange(rows))
    if mean_of is None:
        return points[by_row[start]], by_row[start]
    rank = np.arange(len(by_row)) - start[row[by_row]]
    used = by_row[rank < mean_of]
    count = np.bincount(row[used], minlength=rows)
    sums = np.stack(
        [np.bincount(row[used], points[used, c], rows) for c in range(points.shape[1])], axis=1
    )
    return (sums / count[:, None]).astype(np.float32), by_row[start]


def _thin(
    voxels: Voxels, most: int, rng: np.random.Generator | None, drop: bool, name: str
) -> Voxels:
    """Keep `most` random voxels: the last of the keys would all be from the top of the scene."""
    total = len(voxels.coords)
    if rng is None and not drop:
        problem = f"has {total} voxels, but data.voxels allows {most}"
        fix = f"raise data.voxels to at least {total}, use larger voxels, or set data.drop_voxels"
        raise DataError.at(name, problem, fix=f"{fix} to evaluate without the surplus")
    rng = np.random.default_rng(0) if rng is None else rng
    kept = np.sort(rng.choice(total, most, replace=False))
    new = np.full(total + 1, -1, np.int32)  # the last entry serves points without a row
    new[kept] = np.arange(most, dtype=np.int32)
    return Voxels(
        voxels.coords[kept],
        voxels.feats[kept],
        new[voxels.inverse],
        voxels.chosen[kept],
        total - most,
    )


def majority_labels(label: np.ndarray, inverse: np.ndarray, rows: int, classes: int) -> np.ndarray:
    """The label of each voxel: that of most of its points, the lowest on a tie; -1 if none.

    Args:
      label: of the points, int [P] in 0..classes - 1, or -1, which has no vote.
      inverse: row of each point, int [P], -1 without one. rows: number of voxels.

    Returns:
      int32 [rows].

    >>> majority_labels(np.array([1, 0, 0, 1, -1]), np.array([0, 0, 1, -1, 2]), 3, 2).tolist()
    [0, 0, -1]
    """
    votes = (label >= 0) & (inverse >= 0)
    index = inverse[votes].astype(np.int64) * classes + label[votes]
    pairs, count = np.unique(index, return_counts=True)
    row, kind = pairs // classes, pairs % classes
    order = np.lexsort((kind, -count, row))  # by row, then most votes, then lowest class
    rows_seen, first = np.unique(row[order], return_index=True)
    out = np.full(rows, IGNORED, np.int32)
    out[rows_seen] = kind[order][first]
    return out


def nearest_rows(points: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """`inverse` with the points that have no row given the row of the nearest point with one.

    Args:
      points: [P, C], x, y, z first. inverse: int [P], at least one of them not -1.

    >>> nearest_rows(np.array([[0.0, 0, 0], [5, 0, 0], [90, 0, 0]]), np.array([0, 1, -1])).tolist()
    [0, 1, 1]
    """
    without = inverse < 0
    if not without.any():
        return inverse
    known = np.flatnonzero(~without)
    _, near = KDTree(points[known, :3]).query(points[without, :3])
    out = inverse.copy()
    out[without] = inverse[known[near]]
    return out
