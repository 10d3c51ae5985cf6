"""Random changes of scans in training; boxes move with their points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .geometry import wrap_angle


@dataclass(frozen=True)
class LidarAugment:
    """Random changes of one scan, in this order.

        p' = flip * scale * R(angle) p;  p'' = p' + jitter;  drop points

    Turns are about the vertical axis of the sensor. Boxes follow exactly: turn, scale and flips
    leave the points inside a box inside it, up to rounding. Jitter moves the points only.
    """

    turn: float = 0.0
    """largest turn to either side, in degrees"""
    turn_chance: float = 1.0
    """chance of a turn"""
    scale: tuple[float, float] = (1.0, 1.0)
    """range of one factor for all axes"""
    flip_x: float = 0.0
    """chance of negating x, forward"""
    flip_y: float = 0.0
    """chance of negating y, left"""
    jitter: float = 0.0
    """standard deviation of the noise on each coordinate, in metres"""
    jitter_limit: float = 0.02
    """largest noise on a coordinate, in metres"""
    drop: float = 0.0
    """largest fraction of the points left out, wherever they are"""

    def __post_init__(self) -> None:
        if not 0 <= self.turn <= 180:
            raise ValueError(f"augment.turn must be in [0, 180] degrees; got {self.turn}.")
        if not 0 < self.scale[0] <= self.scale[1] < np.inf:
            raise ValueError(
                f"augment.scale must be (low, high) with 0 < low <= high; got {self.scale}."
            )
        for name in ("turn_chance", "flip_x", "flip_y"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"augment.{name} is a chance in [0, 1]; got {getattr(self, name)}."
                )
        for name in ("jitter", "jitter_limit"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"augment.{name} must be at least 0; got {getattr(self, name)}.")
        if not 0 <= self.drop < 1:
            raise ValueError(
                f"augment.drop must be in [0, 1); got {self.drop}. 0.2 leaves out up to a fifth."
            )

    @classmethod
    def segmentation(cls) -> LidarAugment:
        """The changes of the E-3DSNN recipe on SemanticKITTI, apart from mixed scans."""
        return cls(180.0, 0.5, (0.9, 1.1), 0.5, 0.5, 0.005)

    @classmethod
    def detection(cls) -> LidarAugment:
        """The changes of the Voxel R-CNN recipe on KITTI, apart from pasted objects."""
        return cls(45.0, 1.0, (0.95, 1.05), flip_y=0.5)

    @property
    def keeping_all(self) -> LidarAugment:
        """These changes without those that leave out points."""
        return replace(self, drop=0.0)

    def matrix(self, rng: np.random.Generator) -> np.ndarray:
        """A random turn, scale and flip as one linear map, float64 [3, 3]: p' = matrix p."""
        q = rng.random(5)
        angle = self.turn * (2 * q[0] - 1) * (q[1] < self.turn_chance)
        low, high = self.scale
        factor = low + (high - low) * q[2]
        signs = np.array([-1 if q[3] < self.flip_x else 1, -1 if q[4] < self.flip_y else 1, 1])
        return signs[:, None] * factor * rotation(angle)

    def scatter(
        self, points: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add jitter, and leave out points.

        Args:
          points: float32 [P, C], not changed. rng: random generator.

        Returns:
          the new points [P', C], and their indices among the given ones, [P'].
        """
        index = np.arange(len(points))
        if self.jitter:
            noise = self.jitter * rng.standard_normal((len(points), 3), dtype=np.float32)
            points = points.copy()
            points[:, :3] += np.clip(noise, -self.jitter_limit, self.jitter_limit)
        if self.drop and len(points):
            chance = rng.random(len(points), dtype=np.float32)
            keep = chance >= self.drop * rng.random()
            keep[np.argmax(chance)] = True  # one point always stays
            index = index[keep]
        return points[index], index


def rotation(degrees: float) -> np.ndarray:
    """The turn about z by an angle, counter-clockwise from above, float64 [3, 3].

    Quarter turns are exact.

    >>> rotation(90).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    quarter = degrees / 90
    if quarter == round(quarter):
        cos, sin = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarter) % 4]
    else:
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def move_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [P, C] with their first three columns mapped by a matrix [3, 3], float32."""
    out = points.astype(np.float32)
    out[:, :3] = points[:, :3].astype(np.float64) @ matrix.T
    return out


def move_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes [M, 7] mapped by a turn about z, a scale of all axes and flips of x or y, float64.

    The heading follows as a direction: a box is its own mirror image, so flips need nothing else.

    >>> move_boxes(np.array([[1.0, 2, 0, 4, 2, 1, 0.5]]), np.diag([1.0, -1, 1])).tolist()
    [[1.0, -2.0, 0.0, 4.0, 2.0, 1.0, -0.5]]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 7)
    factor = np.cbrt(abs(np.linalg.det(matrix)))
    ahead = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], axis=1) @ matrix[:2, :2].T
    yaw = wrap_angle(np.arctan2(ahead[:, 1], ahead[:, 0]))
    return np.concatenate([boxes[:, :3] @ matrix.T, boxes[:, 3:6] * factor, yaw[:, None]], axis=1)
