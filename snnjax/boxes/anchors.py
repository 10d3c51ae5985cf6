"""Anchors: boxes of typical size on a regular grid over the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AnchorClass:
    """The anchors of one class, and the overlaps by which they are assigned."""

    size: tuple[float, float, float]
    """Length, width and height in metres."""
    bottom: float
    """Height of the bottom face in the LiDAR frame, in metres."""
    positive: float
    """Anchors with at least this overlap with a box of the class must find it."""
    negative: float
    """Anchors with less overlap than this with all boxes are background."""
    overlap: float = 0.7
    """Overlap with an object of the class that a right detection exceeds."""
    yaws: tuple[float, ...] = (0.0, 1.57)
    """Headings; the released detectors use 1.57, not pi/2."""

    def __post_init__(self) -> None:
        if len(self.size) != 3 or not all(math.isfinite(s) and s > 0 for s in self.size):
            raise ValueError(
                f"the size of an anchor is three lengths above 0 in metres; got {self.size}."
            )
        if not 0 < self.negative <= self.positive < 1:
            raise ValueError(
                "overlaps of anchors must satisfy 0 < negative <= positive < 1; got negative="
                f"{self.negative} and positive={self.positive}."
            )
        if not 0 < self.overlap < 1:
            raise ValueError(f"the overlap of a class must be in (0, 1); got {self.overlap}.")
        if not self.yaws:
            raise ValueError("an anchor needs at least one heading; give yaws=(0.0, 1.57).")


KITTI_ANCHORS = {
    "Car": AnchorClass((3.9, 1.6, 1.56), -1.78, 0.6, 0.45),
    "Pedestrian": AnchorClass((0.8, 0.6, 1.73), -0.6, 0.5, 0.35, 0.5),
    "Cyclist": AnchorClass((1.76, 0.6, 1.73), -0.6, 0.5, 0.35, 0.5),
}
"""Anchors of the KITTI classes, by name."""


def anchor_grid(
    classes: tuple[AnchorClass, ...],
    grid: tuple[int, int],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> np.ndarray:
    """Anchors at every cell of a map.

        x_i = x_min + (x_max - x_min) * i / (W - 1),   y_j = y_min + (y_max - y_min) * j / (H - 1)

    The outer anchors lie on the borders of the range and not at the centres of cells, as in the
    released detectors ("align_center: false").

    Args:
      classes: the classes, in the order of their index.
      grid: cells (H, W) along y and x.
      x_range, y_range: the range of the map in metres.

    Returns:
      float32 [H, W, A, 7]; A runs over classes, and within a class over headings.

    >>> anchors = anchor_grid((KITTI_ANCHORS["Car"],), (200, 176), (0, 70.4), (-40, 40))
    >>> anchors.shape, [round(float(x), 3) for x in anchors[0, 1, 0]]
    ((200, 176, 2, 7), [0.402, -40.0, -1.0, 3.9, 1.6, 1.56, 0.0])
    """
    height, width = grid
    if height < 2 or width < 2 or not classes:
        raise ValueError(
            f"anchors need at least one class and a map of 2 x 2 cells; got {len(classes)} classes "
            f"and {height} x {width} cells."
        )
    y = np.linspace(*y_range, height)[:, None, None]
    x = np.linspace(*x_range, width)[None, :, None]
    shapes = [(c.bottom + c.size[2] / 2, *c.size, yaw) for c in classes for yaw in c.yaws]
    anchors = np.empty((height, width, len(shapes), 7))
    anchors[..., 0], anchors[..., 1] = x, y
    anchors[..., 2:] = shapes
    return anchors.astype(np.float32)


def anchor_labels(classes: tuple[AnchorClass, ...]) -> np.ndarray:
    """The class of each anchor of a cell, int32 [A], in the order of `anchor_grid`."""
    counts = [len(c.yaws) for c in classes]
    return np.repeat(np.arange(len(classes), dtype=np.int32), counts)
