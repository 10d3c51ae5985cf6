"""Point clouds: normalisation, subsampling, and many of them in one array."""

from __future__ import annotations

import numpy as np

from snnjax.data.draws import evaluation_rng, subset
from snnjax.data.source import Sample

from .outliers import without_outliers

RADIUS = 0.999  # a little inside the unit ball, so that no point lies beyond the grid's upper face


def normalise(
    points: np.ndarray, radius: float = RADIUS, *, outlier_limit: float | None = None
) -> np.ndarray:
    """Centre a cloud on its centroid and scale it into a ball.

        p' = radius * (p - mean p) / max |p - mean p|

    Columns after the third (normals, features) stay. A cloud whose points are all equal goes to
    the origin; an empty one stays empty. A single far outlier would set centre and scale: an
    `outlier_limit` removes such points first.

    Args:
      points: [n, C] with C >= 3. radius: radius of the ball around the origin.
      outlier_limit: points farther from the median than this many times the distance within which
        95 % of the points lie are left out (see `outliers.bulk_distance`); None keeps all.

    Returns:
      float32 [n, C], or fewer rows with an outlier limit.

    >>> normalise(np.array([[0., 0, 0], [2, 0, 0]]), radius=1.0)[:, 0].tolist()
    [-1.0, 1.0]
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f"a cloud is [n, C] with C >= 3; got shape {points.shape}")
    with np.errstate(over="ignore"):
        features = points[:, 3:].astype(np.float32)
    if len(points) == 0:
        return points.astype(np.float32)
    xyz = points[:, :3].astype(np.float64)
    _check_finite(points, xyz, features)
    if outlier_limit is not None:
        kept = without_outliers(np.concatenate([xyz, features], axis=1), outlier_limit)
        xyz, features = kept[:, :3], kept[:, 3:].astype(np.float32)
    xyz = xyz / max(float(np.abs(xyz).max()), np.finfo(np.float64).tiny)  # no overflow in squares
    xyz = xyz - xyz.mean(0)
    norm = float(np.sqrt((xyz**2).sum(1).max()))
    # below this the points are equal up to the rounding of the mean
    xyz = xyz * (radius / norm) if norm > 1e-12 else np.zeros_like(xyz)
    return np.concatenate([xyz.astype(np.float32), features], axis=1)


def _check_finite(points: np.ndarray, xyz: np.ndarray, features: np.ndarray) -> None:
    finite = np.isfinite(xyz).all(1) & np.isfinite(features).all(1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise ValueError(f"point {bad} has a NaN or infinite value: {points[bad].tolist()}")


def sample_points(points: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Exactly `n` rows of a cloud: without replacement if it has enough, else with repetitions.

    >>> sample_points(np.eye(3), 5, np.random.default_rng(0)).shape
    (5, 3)
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1; got {n}")
    if len(points) == 0:
        raise ValueError("cannot sample from an empty cloud; leave it out or give it points")
    if len(points) >= n:
        return points[rng.choice(len(points), n, replace=False)]
    extra = rng.integers(0, len(points), n - len(points))
    return np.concatenate([points, points[extra]])


class CloudSet:
    """Labelled clouds of different sizes in memory: one flat array and offsets.

    Args:
      flat: float32 [M, C], all clouds one after the other. offset: int64 [N + 1], cloud i owns
        rows offset[i]:offset[i+1]. labels: int32 [N] into class_names.
      names: names of the samples in messages. skipped: samples left out while reading.
      limit: maximum points of a sample; a larger cloud loses a random subset. None keeps all.
    """

    sample_shape = None

    def __init__(
        self,
        flat: np.ndarray,
        offset: np.ndarray,
        labels: np.ndarray,
        class_names: tuple[str, ...],
        *,
        names: tuple[str, ...] | None = None,
        skipped: int = 0,
        limit: int | None = None,
    ):
        self.flat = flat
        self.offset = offset
        self.labels = labels
        self.class_names = class_names
        self.names = names
        self.skipped = skipped
        self.limit = limit
        self.in_channels = int(flat.shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def points(self, i: int) -> np.ndarray:
        """The cloud of sample i, float32 [n, C] (a view)."""
        return self.flat[self.offset[i] : self.offset[i + 1]]

    def label(self, i: int) -> int:
        return int(self.labels[i])

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """At most `limit` points of cloud i (a fixed choice in evaluation), and its label."""
        cloud = self.points(i)
        if self.limit is not None and len(cloud) > self.limit:
            rng = evaluation_rng(i) if rng is None else rng
            cloud = cloud[subset(len(cloud), self.limit, rng)]
        return {"points": cloud, "label": self.labels[i]}

    def name(self, i: int) -> str:
        """The shape's own name, or its position."""
        return self.names[i] if self.names else str(i)


def stack_clouds(clouds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Clouds [n_i, C] as one flat float32 array and int64 offsets [N + 1]."""
    offset = np.zeros(len(clouds) + 1, np.int64)
    np.cumsum([len(c) for c in clouds], out=offset[1:])
    return np.concatenate(clouds).astype(np.float32, copy=False), offset
