"""Detection of far outliers, which would shrink a cloud to a single voxel."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

BULK = 0.95  # share of the points that is taken to be the shape
FAR = 10.0  # times the radius of the bulk: beyond, a grid of 32 voxels shows it in three of them
_SAME = 1e-12  # relative to the largest coordinate: smaller differences are rounding


def bulk_distance(xyz: np.ndarray) -> np.ndarray:
    """Distance of each point from the median point, in units of the bulk's radius, float64 [n].

        d = |p - median p| / r,   r the distance within which 95 % of the points lie

    The median and the quantile do not move with a few outliers, as mean and maximum do. All zeros
    if r is 0: nearly all points coincide, and the others do not define a size.

    Args:
      xyz: finite points [n > 0, 3].

    >>> line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [300, 0, 0]])
    >>> bulk_distance(line).round(3).tolist()
    [1.0, 0.5, 0.0, 0.5, 149.0]
    """
    xyz = np.asarray(xyz, np.float64)
    xyz = xyz / max(float(np.abs(xyz).max()), np.finfo(np.float64).tiny)  # no overflow in squares
    distance = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
    radius = float(np.quantile(distance, BULK, method="lower"))
    return distance / radius if radius > _SAME else np.zeros_like(distance)


def without_outliers(points: np.ndarray, limit: float) -> np.ndarray:
    """The points [n, C >= 3] at most `limit` times as far out as the bulk (see `bulk_distance`)."""
    if not limit >= 1:
        raise ValueError(
            f"the outlier limit must be at least 1, the radius of the bulk itself; got {limit}."
        )
    return points[bulk_distance(points[:, :3]) <= limit] if len(points) else points


@dataclass
class Findings:
    """Collects the effects of scaling on the clouds of a split, for one warning of each kind.

    Attributes:
      limit: the outlier limit that the clouds are normalised with, or None.
    """

    limit: float | None = None
    _clouds: int = 0
    _far: int = 0
    _worst: tuple[float, str] = (0.0, "")
    _collapsed: int = 0
    _first: str = ""
    _thinned: int = 0
    _left_out: int = 0

    def look(self, raw: np.ndarray, kept: int, name: str) -> None:
        """Record one cloud: finite, as read [n, C], and how many of its points are kept."""
        if not len(raw):
            return
        self._clouds += 1
        distance = bulk_distance(raw[:, :3])
        if not distance.any():
            self._first = self._first or name
            self._collapsed += 1
        elif kept < len(raw):
            self._thinned += 1
            self._left_out += len(raw) - kept
        elif distance.max() > FAR:
            self._far += 1
            self._worst = max(self._worst, (float(distance.max()), name))

    def report(self, path: Path) -> None:
        """Log one warning for each kind of finding."""
        if self._far:
            log.warning(
                "%s: %d of %d clouds have points more than %g times as far from the median as "
                "95 %% of their points (%s: %.3g times). They set the scale, and the rest falls "
                "into few voxels. Remove those points, or set data.outlier_limit=%g to leave them "
                "out.",
                *(path, self._far, self._clouds, FAR, self._worst[1], self._worst[0], FAR),
            )
        if self._thinned:
            log.warning(
                "%s: %d points of %d of %d clouds are left out as outliers "
                "(data.outlier_limit=%g).",
                *(path, self._left_out, self._thinned, self._clouds, self.limit),
            )
        if self._collapsed:
            log.warning(
                "%s: %d of %d clouds have (nearly) all points at one place, the first of them %s. "
                "A network receives a single voxel. Remove them, or give them points.",
                *(path, self._collapsed, self._clouds, self._first),
            )
