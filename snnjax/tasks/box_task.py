"""What tasks that detect boxes share: targets, checks, sums of right and wrong detections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.boxes import Detections
from snnjax.data import Batch, DataInfo
from snnjax.data.lidar import from_boxes, result_text
from snnjax.tasks.matching import binned_precision, hits, recall_and_precision
from snnjax.tasks.task import OVERFLOW, Sums, Task
from snnjax.viz import Picture, Table, box_figure, precision_recall

TARGETS = ("boxes", "box_class", "box_level", "box_ignore", "camera", "image_size", "label")
"""Keys of a batch that are not inputs of the model."""

BINS = 200
"""Bins of the score, from which the precision of a split is computed."""


class Target(NamedTuple):
    """The labelled boxes of a batch.

    Attributes:
      boxes: [B, M, 7] in the LiDAR frame, or with more columns.
      kind: class of each, int32 [B, M], -1 in rows without an object to find.
      ignore: int32 [B, M], the class whose detections on this object are no errors, else -1.
      train: whether the model is being trained.
    """

    boxes: Array
    kind: Array
    ignore: Array
    train: bool


class BoxTask(Task):
    """Detection of boxes; a subclass defines the loss, the outputs and the overlaps that count."""

    def inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name not in TARGETS}

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Target]:
        if missing := [name for name in ("boxes", "box_class") if name not in batch]:
            raise ValueError(
                f"detection needs {' and '.join(missing)}, which the samples of this source do not "
                f"hold; they hold {', '.join(batch)}."
            )
        kind = batch["box_class"].astype(jnp.int32)
        ignore = batch.get("box_ignore", jnp.full_like(kind, -1)).astype(jnp.int32)
        if "box_level" in batch:  # objects that are too hard are learned, but do not count
            hard = (batch["box_level"] > 1) & (kind >= 0)
            ignore = jnp.where(hard, kind, ignore)
        return self.inputs(batch), Target(batch["boxes"], kind, ignore, train)

    def sums(
        self,
        found: Detections,
        target: Target,
        weight: Array,
        overlaps: dict[str, tuple[Array, Array]],
        overflow: Any,
    ) -> Sums:
        """Right and wrong detections by class and score, and the number of objects.

        Args:
          found: detections of the batch. target: its labels. weight: [B].
          overlaps: by name, the overlaps of detections and objects, [B, D, M], and the limit of
            each class, [K], that a match exceeds. overflow: of the model's output.
        """
        counted = jnp.where(target.ignore >= 0, -1, target.kind)
        sums: Sums = {OVERFLOW: jnp.asarray(overflow, jnp.int32).sum()}
        classes = 0
        for name, (overlap, limits) in overlaps.items():
            one = partial(hits, limits=limits, bins=BINS)
            right, wrong = jax.vmap(one)(found, overlap, counted, target.ignore)
            sums[f"right_{name}"] = jnp.einsum("b,bkn->kn", weight, right)
            sums[f"wrong_{name}"] = jnp.einsum("b,bkn->kn", weight, wrong)
            classes = len(limits)
        own = counted[..., None] == jnp.arange(classes)
        sums["objects"] = jnp.einsum("b,bmk->k", weight, own.astype(weight.dtype))
        return sums

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        kind, boxes = batch.get("box_class"), batch.get("boxes")
        if kind is None or boxes is None:
            return
        classes = len(info.class_names)
        bad = (kind < -1) | (kind >= classes)
        bad |= (kind >= 0) & ~(np.isfinite(boxes).all(-1) & (boxes[..., 3:6] > 0).all(-1))
        # The last batch of an evaluation is filled with samples of zeros; where a sample has no
        # object, its classes are -1.
        bad &= np.logical_or(kind.any(axis=1), boxes.any(axis=(1, 2)))[:, None]
        if bad.any():
            row, m = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"boxes must be finite, larger than 0, and of a class in 0..{classes - 1} or -1 in "
                f"padded rows; row {m} of sample {row} of the batch has class {int(kind[row, m])} "
                f"and box {np.round(boxes[row, m], 3).tolist()}. Correct the labels, or drop them."
            )

    def draw(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> Picture | None:
        """The detections in the points, and with labels the true boxes."""
        if "points" not in sample:
            return None
        boxes, scores, label = _kept(outputs)
        names = [f"{info.class_names[k]} {s:.2f}" for k, s in zip(label, scores, strict=True)]
        truth = sample.get("boxes")
        if truth is not None:
            known = np.asarray(sample["box_class"]) >= 0
            truth = np.asarray(truth)[known][:, :7]
        figure = box_figure(sample["points"], boxes[:, :7], names, truth=truth)
        return Picture("scan", "Detections in a test scan", figure)

    def files(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> dict[str, bytes]:
        """`.json`: class, score and box of each detection; `.txt`: the result file of KITTI.

        The second needs the calibration of the frame, which `LidarBoxSource.read` finds.
        """
        boxes, scores, label = _kept(outputs)
        kinds = [info.class_names[k] for k in label]
        rows = [
            {"class": kind, "score": float(score), "box": [float(v) for v in box]}
            for kind, score, box in zip(kinds, scores, boxes, strict=True)
        ]
        found = {".json": (json.dumps(rows, indent=1) + "\n").encode()}
        if "calibration" in sample:
            width, height = (int(v) for v in sample["image_size"])
            given = boxes[:, :7], np.array(kinds), scores, sample["calibration"]
            found[".txt"] = result_text(from_boxes(*given, (width, height))).encode()
        return found

    def answer(self, outputs: Detections, info: DataInfo) -> list[tuple[str, float]]:
        """One line a box with its score, the best first."""
        return [
            (_line(info.class_names[int(label)], box), float(score))
            for box, score, label in zip(*_kept(outputs), strict=True)
        ]


def _kept(outputs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and classes of one sample without empty rows."""
    boxes, scores, label = (np.asarray(part) for part in outputs)
    kept = label >= 0
    return boxes[kept], scores[kept], label[kept]


def precision_means(sums: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float]:
    """Average precision in percent by name of the overlap, the mean of classes with objects."""
    objects = np.asarray(sums["objects"])
    present = objects > 0
    means = {}
    for name in names:
        ap = binned_precision(sums[f"right_{name}"], sums[f"wrong_{name}"], objects)
        means[name] = float(ap[present].mean()) if present.any() else 0.0
    return means


def recall(sums: Mapping[str, np.ndarray], name: str) -> float:
    """The share of all objects that are found."""
    return float(np.sum(sums[f"right_{name}"]) / max(float(np.sum(sums["objects"])), 1.0))


def precision_table(
    sums: Mapping[str, np.ndarray], names: Mapping[str, str], info: DataInfo
) -> Table:
    """Average precision by class; `names` gives the heading of each overlap."""
    objects = np.asarray(sums["objects"])
    columns = [
        binned_precision(sums[f"right_{name}"], sums[f"wrong_{name}"], objects) for name in names
    ]
    rows = tuple(
        (kind, str(round(float(count))), *(f"{value:.1f}" for value in values))
        for kind, count, *values in zip(info.class_names, objects, *columns, strict=True)
    )
    return Table("Average precision", ("class", "objects", *names.values()), rows)


def precision_pictures(
    sums: Mapping[str, np.ndarray], names: Mapping[str, str], info: DataInfo
) -> tuple[Picture | Table, ...]:
    """`precision_table`, and precision over recall of each class with objects, a line an overlap.

    Args: as for `precision_table`.
    """
    objects = np.asarray(sums["objects"])
    lines = {
        heading: recall_and_precision(sums[f"right_{name}"], sums[f"wrong_{name}"], objects)
        for name, heading in names.items()
    }
    figures = []
    for k in np.flatnonzero(objects):
        kind = info.class_names[k]
        curves = [(heading, r[k], p[k]) for heading, (r, p) in lines.items()]
        title = f"{kind}, {objects[k]:.0f} objects"
        caption = f"Precision over recall of {kind} on the test split"
        figures.append(
            Picture(f"precision_{kind.lower()}", caption, precision_recall(curves, title))
        )
    return (precision_table(sums, names, info), *figures)


def _line(kind: str, box: np.ndarray) -> str:
    """One detection in words."""
    x, y, z, length, width, height = (float(v) for v in box[:6])
    return (
        f"{kind} at ({x:.2f}, {y:.2f}, {z:.2f}) m, {length:.2f} x {width:.2f} x {height:.2f} m, "
        f"heading {np.degrees(float(box[6])):.0f} degrees"
    )
