"""The KITTI object set: labels, boxes in the frame of the LiDAR, images, and result files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.text import read_bytes

from .calib import Calibration
from .geometry import box_corners, wrap_angle

TYPES = (
    *("Car", "Van", "Truck", "Pedestrian", "Person_sitting"),
    *("Cyclist", "Tram", "Misc", "DontCare"),
)
NEIGHBOURS = {"Van": "Car", "Person_sitting": "Pedestrian"}
"""Detections of the second class on objects of the first are no errors."""

IMAGE_SIZE = (1242, 375)
"""Width and height where there is no image."""

DIFFICULTIES = ("easy", "moderate", "hard")
_LIMITS = ((40, 0, 0.15), (25, 1, 0.30), (25, 2, 0.50))  # height, occlusion, truncation


class Objects(NamedTuple):
    """The objects of a frame, [M] each.

    Attributes:
      kind: type as text. truncated: 0..1. occluded: 0..3. alpha: observation angle.
      region: x1, y1, x2, y2 in the image, [M, 4].
      size: height, width, length, [M, 3].
      location: bottom centre in rectified camera coordinates, [M, 3].
      rotation: rotation_y about the camera's y axis.
      score: of results; NaN in labels.
    """

    kind: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    alpha: np.ndarray
    region: np.ndarray
    size: np.ndarray
    location: np.ndarray
    rotation: np.ndarray
    score: np.ndarray

    def take(self, rows: np.ndarray) -> Objects:
        """The objects of an index or a mask."""
        return Objects(*(field[rows] for field in self))


def read_objects(path: str | Path) -> Objects:
    """The objects of a label file, or of a result file, in its order; none if it is empty.

    Raises:
      DataError: a line with another number of columns, an unknown type, a value that is not a
        finite number, or a box of no size.
    """
    text = read_bytes(Path(path)).decode("utf-8", errors="replace")
    kinds, rows = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        kinds.append(words[0])
        rows.append(_row(words, path, number))
    table = np.array(rows, np.float64).reshape(-1, 15)
    return Objects(
        np.array(kinds, "U16"),
        *(table[:, 0], table[:, 1].astype(np.int64), table[:, 2]),
        *(table[:, 3:7], table[:, 7:10], table[:, 10:13], table[:, 13], table[:, 14]),
    )


def _row(words: list[str], path: str | Path, line: int) -> list[float]:
    """The numbers of a line, with NaN for a missing score."""
    if len(words) not in (15, 16):
        problem = f"a label has 15 columns, or 16 with a score; found {len(words)}"
        raise DataError.at(path, problem, line=line, fix="copy the label file again")
    if words[0] not in TYPES:
        problem = f"'{words[0]}' is not a type of object"
        raise DataError.at(path, problem, line=line, fix=f"use one of {', '.join(TYPES)}")
    try:
        values = [float(word) for word in words[1:]]
    except ValueError as error:
        problem = f"holds something that is not a number ({error})"
        raise DataError.at(path, problem, line=line, fix="correct the line") from error
    if not np.isfinite(values).all():
        raise DataError.at(path, "holds NaN or infinity", line=line, fix="correct the line")
    if words[0] != "DontCare" and min(values[7:10]) <= 0:
        problem = f"{words[0]} has the size {values[7:10]} (height, width, length)"
        raise DataError.at(path, problem, line=line, fix="remove the object or give it a size")
    return values if len(values) == 15 else [*values, float("nan")]


def to_boxes(objects: Objects, calib: Calibration) -> np.ndarray:
    """Boxes of objects in the frame of the LiDAR, float64 [M, 7].

    The centre is half a height above the bottom centre, and yaw = -rotation_y - pi / 2.
    """
    h, w, l = objects.size.T  # noqa: E741
    centre = calib.to_lidar(objects.location)
    centre = centre + np.stack([0 * h, 0 * h, h / 2], axis=-1)
    yaw = wrap_angle(-objects.rotation - np.pi / 2)
    return np.concatenate([centre, np.stack([l, w, h, yaw], axis=-1)], axis=1)


def from_boxes(
    boxes: np.ndarray,
    kind: np.ndarray,
    score: np.ndarray,
    calib: Calibration,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> Objects:
    """Objects as result files describe them; the inverse of `to_boxes`.

    The region in the image is that of the projected corners, clipped to the image; alpha is
    rotation_y - atan2(x, z). Corners behind the camera are taken at 1 cm in front of it.

    Args:
      boxes: [M, 7]. kind: types [M]. score: [M]. calib: of the frame.
      image_size: width and height.

    Raises:
      ValueError: a box or a score is not finite.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 7)
    if not (np.isfinite(boxes).all() and np.isfinite(score).all()):
        raise ValueError("boxes and scores must be finite; leave out those that are not.")
    low = np.zeros_like(boxes[:, :3])
    low[:, 2] = boxes[:, 5] / 2
    location = calib.to_camera(boxes[:, :3] - low)
    rotation = wrap_angle(-boxes[:, 6] - np.pi / 2)
    corners = calib.to_camera(box_corners(boxes))
    corners[..., 2] = np.maximum(corners[..., 2], 0.01)
    pixel = corners @ calib.p2[:, :3].T + calib.p2[:, 3]
    pixel = pixel[..., :2] / pixel[..., 2:]
    limits = np.array(image_size) - 1
    region = np.concatenate([pixel.min(axis=1), pixel.max(axis=1)], axis=1)
    region = np.clip(region, 0, np.concatenate([limits, limits]))
    return Objects(
        kind=np.asarray(kind),
        truncated=np.full(len(boxes), -1.0),
        occluded=np.full(len(boxes), -1),
        alpha=wrap_angle(rotation - np.arctan2(location[:, 0], location[:, 2])),
        region=region,
        size=boxes[:, [5, 4, 3]],
        location=location,
        rotation=rotation,
        score=np.asarray(score, np.float64),
    )


def write_results(path: str | Path, objects: Objects) -> None:
    """Write a result file; one without objects is empty, which the evaluation requires to exist."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result_text(objects))


def result_text(objects: Objects) -> str:
    """The contents of a result file, one line for each object."""
    lines = []
    for i in range(len(objects.kind)):
        row = objects.take(np.array([i]))
        numbers = [*row.region[0], *row.size[0], *row.location[0], row.rotation[0]]
        text = " ".join(f"{number:.4f}" for number in numbers)
        score = "" if np.isnan(row.score[0]) else f" {row.score[0]:.4f}"
        lines.append(
            f"{row.kind[0]} {row.truncated[0]:g} {int(row.occluded[0])} {row.alpha[0]:.4f} "
            f"{text}{score}\n"
        )
    return "".join(lines)


def difficulty(objects: Objects) -> np.ndarray:
    """The easiest level at which each object counts: 0 easy, 1 moderate, 2 hard, 3 none; int32 [M].

    Its image must be at least 40, 25, 25 pixels high, its occlusion at most 0, 1, 2, and its
    truncation at most 0.15, 0.30, 0.50.
    """
    height = objects.region[:, 3] - objects.region[:, 1]
    return level_of(height, objects.occluded, objects.truncated)


def class_numbers(
    kinds: Sequence[str], class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each object, and the class whose detections on it are no errors.

    Args:
      kinds: types of the objects, [M]. class_names: the types to find.

    Returns:
      int32 [M] each, -1 for none; an object of a class is no other's neighbour.

    >>> [row.tolist() for row in class_numbers(("Car", "Van", "Tram"), ("Car",))]
    [[0, -1, -1], [-1, 0, -1]]
    """
    number = {kind: k for k, kind in enumerate(class_names)}
    own = [number.get(kind, -1) for kind in kinds]
    near = [-1 if kind in number else number.get(NEIGHBOURS.get(kind, ""), -1) for kind in kinds]
    return np.array(own, np.int32), np.array(near, np.int32)


def level_of(height: np.ndarray, occluded: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    """`difficulty` from the height in pixels, the occlusion 0..3 and the truncation, [M] each."""
    level = np.full(len(height), 3, np.int32)
    for i, (least, occlusion, truncation) in reversed(list(enumerate(_LIMITS))):
        level[(height >= least) & (occluded <= occlusion) & (truncated <= truncation)] = i
    return level


def in_image(
    points: np.ndarray, calib: Calibration, image_size: tuple[int, int] = IMAGE_SIZE
) -> np.ndarray:
    """Which points [P, >= 3] the camera sees, where labels exist: bool [P].

    Pixels in [0, W) x [0, H), in front of the camera.
    """
    camera = calib.to_camera(points[:, :3].astype(np.float64))
    pixel = camera @ calib.p2[:, :3].T + calib.p2[:, 3]
    depth = pixel[:, 2]
    ahead = (camera[:, 2] >= 0) & (depth > 0)
    uv = pixel[:, :2] / np.where(ahead, depth, 1)[:, None]
    return ahead & ((uv >= 0) & (uv < np.asarray(image_size))).all(axis=1)


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Width and height from the header of a PNG file; the image is not decoded.

    Raises:
      DataError: the file cannot be read or is not a PNG.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(24)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path") from error
    if len(head) < 24 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        problem = "is not a PNG file"
        raise DataError.at(path, problem, byte=0, fix="remove it to use 1242 x 375 pixels")
    width, height = struct.unpack(">II", head[16:24])
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        problem = f"declares an image of {width} x {height} pixels"
        raise DataError.at(path, problem, byte=16, fix="copy the image again")
    return width, height
