"""Solid voxel grids as clouds: their shell, a point at each voxel's centre."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError

SIDE = 32


def shell(solid: np.ndarray) -> np.ndarray:
    """Occupied voxels with a free neighbour among six, or at the border of the grid.

    >>> int(shell(np.ones((4, 4, 4), bool)).sum())  # all but the inner 2 x 2 x 2
    56

    Args:
      solid: bool [..., X, Y, Z].

    Returns:
      bool, same shape.
    """
    wide = np.pad(solid, [(0, 0)] * (solid.ndim - 3) + [(1, 1)] * 3)
    here = slice(1, -1)
    inner = solid.copy()
    for step in (slice(0, -2), slice(2, None)):
        inner &= wide[..., step, here, here]
        inner &= wide[..., here, step, here]
        inner &= wide[..., here, here, step]
    return solid & ~inner


def shell_points(solid: np.ndarray) -> np.ndarray:
    """Centres of the shell voxels of one cubic grid, float32 [n, 3] in (-1, 1).

    Index i of an axis with S voxels goes to (2 i + 1) / S - 1, so a grid of the same side over
    [-1, 1]^3 gives the voxels back.
    """
    return _centres(np.argwhere(shell(solid)), solid.shape[-1])


def read_shells(voxels: np.ndarray, path: Path, rows: np.ndarray, total: int) -> list[np.ndarray]:
    """The shells of the bit-packed 32^3 grids `rows`; an empty grid gives an empty cloud."""
    if voxels.dtype != np.uint8 or voxels.shape != (total, SIDE**3 // 8):
        raise DataError.at(
            path,
            f"`voxels` must be uint8 [{total}, {SIDE**3 // 8}] (bits of {SIDE}^3 grids, one for "
            f"each label); got {voxels.dtype} {voxels.shape}",
            fix="pack it with numpy.packbits(grids.reshape(N, -1), axis=1)",
        )
    clouds = []
    for first in range(0, len(rows), 128):
        bits = np.unpackbits(voxels[rows[first : first + 128]], axis=1)
        where = np.argwhere(shell(bits.reshape(-1, SIDE, SIDE, SIDE).astype(bool)))
        ends = np.cumsum(np.bincount(where[:, 0], minlength=len(bits)))[:-1]
        clouds += np.split(_centres(where[:, 1:], SIDE), ends)
    return clouds


def _centres(index: np.ndarray, side: int) -> np.ndarray:
    return ((2 * index + 1) / side - 1).astype(np.float32)
