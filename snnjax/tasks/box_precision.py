"""The exact KITTI precision of a trained detector on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnjax.boxes import bev_iou, image_boxes, iou_3d
from snnjax.data import Dataset
from snnjax.metrics.detection import DIFFICULTIES, Frame, average_precision

IOU = {"bev": bev_iou, "3d": iou_3d}


@dataclass(frozen=True)
class BoxPrecision:
    """Average precision from above and in space, by class and difficulty, as KITTI defines it.

    A batch holds `boxes` and `box_class`, and optionally `box_level` and `box_ignore`, see
    `snnjax.tasks.Detection`. If it also holds `camera` [B, 3, 4], the matrix from the LiDAR frame
    to pixels, and `image_size` [B, 2], detections whose image is lower than a difficulty asks are
    ignored; without these keys every detection counts.

    The numbers are named like `car_3d70_moderate_r40`: class, metric with the overlap in percent,
    difficulty, recall levels. With fewer than 41 counted objects a perfect detector does not reach
    100; `car_moderate_objects` tells their number. Overlaps are those of boxes in the LiDAR frame:
    for parity to the last digit, write result files and evaluate them in the camera's.
    """

    overlaps: tuple[float, ...] = ()
    """Overlaps that a match must exceed; empty takes that of each class in the task's anchors."""

    def __post_init__(self) -> None:
        if not all(0 < overlap < 1 for overlap in self.overlaps):
            raise ValueError(f"box_precision.overlaps must be in (0, 1); got {self.overlaps}.")

    def run(self, trained: Any, dataset: Dataset) -> dict[str, float]:
        """R40 and R11 by class, metric and difficulty.

        Raises:
          ValueError: the task does not detect boxes.
        """
        task = trained.experiment.task
        if not hasattr(task, "anchors"):
            raise ValueError(
                "box_precision evaluates detections; the task is "
                f"{type(task).__name__}. Leave it out of the evaluators."
            )
        samples = [
            sample for batch, found in trained.outputs(dataset) for sample in _samples(batch, found)
        ]
        numbers: dict[str, float] = {}
        for k, name in enumerate(trained.session.info.class_names):
            kind = name.lower()
            for limit in self.overlaps or (task.anchors[k].overlap,):
                numbers |= _of_class(samples, k, kind, limit)
        return numbers


@dataclass(frozen=True)
class _Sample:
    """Detections and objects of one sample on the host, in float64; padding left out."""

    boxes: np.ndarray
    scores: np.ndarray
    label: np.ndarray
    height: np.ndarray  # of the image of each detection, infinite where unknown
    objects: np.ndarray
    kind: np.ndarray
    level: np.ndarray
    ignore: np.ndarray


def _samples(batch: Any, found: Any) -> list[_Sample]:
    """The rows of a batch that count."""
    count = batch["boxes"].shape[:2]
    level = batch.get("box_level", np.zeros(count, np.int32))
    ignore = batch.get("box_ignore", np.full(count, -1, np.int32))
    height = np.full(found.scores.shape, np.inf)
    if "camera" in batch and "image_size" in batch:
        camera = np.asarray(batch["camera"], np.float64)
        boxes = np.asarray(found.boxes[..., :7], np.float64)
        region = image_boxes(boxes, camera, batch["image_size"])
        height = region[..., 3] - region[..., 1]
    samples = []
    for b in np.flatnonzero(batch["weight"] > 0):
        full = found.label[b] >= 0
        real = (batch["box_class"][b] >= 0) | (ignore[b] >= 0)
        samples.append(
            _Sample(
                boxes=np.asarray(found.boxes[b, full, :7], np.float64),
                scores=np.asarray(found.scores[b, full], np.float64),
                label=found.label[b, full],
                height=height[b, full],
                objects=np.asarray(batch["boxes"][b, real], np.float64),
                kind=batch["box_class"][b, real],
                level=level[b, real],
                ignore=ignore[b, real],
            )
        )
    return samples


def _of_class(samples: list[_Sample], k: int, kind: str, limit: float) -> dict[str, float]:
    """The numbers of one class at one overlap."""
    numbers = {}
    for metric, iou in IOU.items():
        overlaps = [iou(s.boxes[:, None], s.objects) for s in samples]
        for step, level in enumerate(DIFFICULTIES):
            frames = [
                _frame(sample, overlap, k, step, level.height)
                for sample, overlap in zip(samples, overlaps, strict=True)
            ]
            precision = average_precision(frames, limit)
            name = f"{kind}_{metric}{round(100 * limit)}_{level.name}"
            numbers[f"{name}_r40"], numbers[f"{name}_r11"] = precision.r40, precision.r11
            numbers[f"{kind}_{level.name}_objects"] = precision.count
    return numbers


def _frame(sample: _Sample, overlap: np.ndarray, k: int, step: int, height: float) -> Frame:
    own = sample.kind == k
    ignored = (sample.ignore == k) | (own & (sample.level > step))
    found = np.where(sample.height < height, 1, np.where(sample.label == k, 0, -1))
    truth = np.where(ignored, 1, np.where(own, 0, -1))
    return Frame(overlap, sample.scores, found, truth)
