"""The KITTI object benchmark: 2-D, bird's-eye-view and 3-D precision, orientation similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from snnjax.boxes import bev_iou, iou_3d
from snnjax.metrics.detection.precision import (
    COUNTS,
    IGNORED,
    OTHER,
    Frame,
    Precision,
    average_precision,
)

NEIGHBOURS = {"Car": "Van", "Pedestrian": "Person_sitting"}
"""A detection of the first class on an object of the second is not an error."""
OVERLAPS = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
"""The overlap that a match must exceed, by class."""
METRICS = ("2d", "bev", "3d")


class Difficulty(NamedTuple):
    """Which objects count.

    Attributes:
      name: of the level.
      height: least height of the 2-D box in pixels.
      occluded: largest level of occlusion. truncated: largest truncation.
    """

    name: str
    height: float
    occluded: int
    truncated: float


DIFFICULTIES = (
    Difficulty("easy", 40, 0, 0.15),
    Difficulty("moderate", 25, 1, 0.30),
    Difficulty("hard", 25, 2, 0.50),
)


class KittiObjects(NamedTuple):
    """The labelled objects of a frame, or the detections in it.

    Attributes:
      kinds: the type of each, among them "DontCare" for regions without labels.
      image: 2-D boxes x1, y1, x2, y2 in pixels, [M, 4].
      boxes: [M, 7], see `snnjax.boxes`; those of DontCare are not read. For parity with the
        benchmark take `camera_boxes`: the LiDAR frame is tilted a little against the camera's.
      alpha: observation angles, [M]; None if the orientation is not scored.
      occluded, truncated: [M]; None for detections.
      scores: [M]; None for labels.
    """

    kinds: Sequence[str]
    image: np.ndarray
    boxes: np.ndarray
    alpha: np.ndarray | None = None
    occluded: np.ndarray | None = None
    truncated: np.ndarray | None = None
    scores: np.ndarray | None = None

    @property
    def height(self) -> np.ndarray:
        """Height of the 2-D boxes in pixels, [M]."""
        return self.image[:, 3] - self.image[:, 1]


def camera_boxes(location: np.ndarray, size: np.ndarray, rotation_y: np.ndarray) -> np.ndarray:
    """Boxes [M, 7] from the numbers of a label file, in the frame right, forward, up.

    Args:
      location: centre of the bottom face in camera coordinates, x right, y down, z forward, [M, 3].
      size: height, width, length, [M, 3]. rotation_y: [M].
    """
    x, y, z = location.T
    h, w, l = size.T  # noqa: E741 (the letters of the label file)
    return np.stack([x, z, h / 2 - y, l, w, h, -rotation_y], -1)


def kitti_precision(
    truth: Sequence[KittiObjects],
    found: Sequence[KittiObjects],
    kind: str,
    *,
    metric: str = "3d",
    difficulty: Difficulty = DIFFICULTIES[1],
    overlap: float | None = None,
) -> Precision:
    """The precision of one class, metric and difficulty.

    Objects of the class that are too hard, and objects of its neighbour class, are ignored: a
    detection on them is neither right nor wrong. So is a detection whose 2-D box is lower than the
    difficulty asks, whatever its class. In the 2-D metric detections that are covered by DontCare
    regions are no errors. An object or detection whose height equals the limit counts, as in the
    development kit; the Python port that many evaluate with ignores such objects.

    Args:
      truth: labels of each frame. found: detections of the same frames.
      kind: the class. metric: "2d", "bev" or "3d"; the orientation is scored in "2d".
      difficulty: an entry of `DIFFICULTIES`, or another.
      overlap: overlap that a match must exceed; None takes that of the class, see `OVERLAPS`.

    Returns:
      `Precision`, with R11 and R40.

    Raises:
      ValueError: unknown metric, a class without a default overlap, unequal numbers of frames,
        or scores that are not finite.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}.")
    if overlap is None and kind not in OVERLAPS:
        raise ValueError(
            f"the overlap of {kind!r} is not defined by the benchmark, which has "
            f"{', '.join(OVERLAPS)}; give overlap=0.5, for example."
        )
    if len(truth) != len(found):
        raise ValueError(
            f"labels and detections must be of the same frames; got {len(truth)} and {len(found)}."
        )
    limit = OVERLAPS[kind] if overlap is None else overlap
    frames = [
        _frame(labels, dets, kind, metric, difficulty, limit)
        for labels, dets in zip(truth, found, strict=True)
    ]
    return average_precision(frames, limit)


def _frame(
    truth: KittiObjects,
    found: KittiObjects,
    kind: str,
    metric: str,
    difficulty: Difficulty,
    limit: float,
) -> Frame:
    if found.scores is None or truth.occluded is None or truth.truncated is None:
        raise ValueError("detections need scores; labels need occluded and truncated.")
    objects = np.array([k != "DontCare" for k in truth.kinds], bool)
    similarity = covered = None
    if metric == "2d":
        pairwise = _rectangle_overlap(found.image, truth.image[objects])
        regions = _rectangle_overlap(found.image, truth.image[~objects], of_first=True)
        covered = np.any(regions > limit, axis=1)
        if found.alpha is not None and truth.alpha is not None:
            turn = found.alpha[:, None] - truth.alpha[objects]
            similarity = (1 + np.cos(turn)) / 2
    else:
        iou = bev_iou if metric == "bev" else iou_3d
        dets, boxes = (np.asarray(o.boxes, np.float64) for o in (found, truth))
        pairwise = iou(dets[:, None], boxes[objects])
    return Frame(
        overlap=pairwise,
        scores=np.asarray(found.scores, np.float64),
        found=_found_flags(found, kind, difficulty),
        truth=_truth_flags(truth, kind, difficulty)[objects],
        similarity=similarity,
        covered=covered,
    )


def _truth_flags(truth: KittiObjects, kind: str, level: Difficulty) -> np.ndarray:
    """Flags of labelled objects, int [M]."""
    kinds = np.array(truth.kinds, dtype=object)
    own, neighbour = kinds == kind, kinds == NEIGHBOURS.get(kind, "")
    hard = truth.height < level.height
    hard |= np.asarray(truth.occluded) > level.occluded
    hard |= np.asarray(truth.truncated) > level.truncated
    ignored = (own & hard) | neighbour
    return np.where(ignored, IGNORED, np.where(own, COUNTS, OTHER))


def _found_flags(found: KittiObjects, kind: str, level: Difficulty) -> np.ndarray:
    """Flags of detections, int [M]."""
    own = np.array([k == kind for k in found.kinds], bool)
    return np.where(found.height < level.height, IGNORED, np.where(own, COUNTS, OTHER))


def _rectangle_overlap(a: np.ndarray, b: np.ndarray, *, of_first: bool = False) -> np.ndarray:
    """Intersection over union of rectangles, or over the area of the first: [A, B]."""
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(size, 0), -1)
    area_a, area_b = (np.prod(r[..., 2:] - r[..., :2], -1) for r in (a, b))
    total = np.broadcast_to(area_a, shared.shape) if of_first else area_a + area_b - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
