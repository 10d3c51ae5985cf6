"""Detection of oriented boxes in point clouds with anchors, in one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.boxes import (
    KITTI_ANCHORS,
    AnchorClass,
    Detections,
    anchor_grid,
    anchor_labels,
    assign,
    decode_boxes,
    direction_bin,
    encode_boxes,
    suppress,
    suppress_by_class,
    with_direction,
    wrap,
)
from snnjax.data import Batch, DataInfo
from snnjax.losses import code_loss, cross_entropy, focal_loss
from snnjax.models import AnchorMaps
from snnjax.tasks.matching import binned_precision, hits
from snnjax.tasks.task import OVERFLOW, Sums, Task
from snnjax.viz import Picture, Table

TARGETS = ("boxes", "box_class", "box_level", "box_ignore", "camera", "image_size", "label")
"""Keys of a batch that are not inputs of the model."""

BINS = 200
"""Bins of the score, from which the precision of whole splits is computed."""

_FEW = (512, 64)  # boxes considered and kept in training, where precision is shown only


class Target(NamedTuple):
    """The labelled boxes of a batch.

    Attributes:
      boxes: [B, M, 7] in the LiDAR frame.
      kind: class of each, int32 [B, M], -1 in rows without an object to find.
      ignore: int32 [B, M], the class whose detections on this object are no errors, else -1.
      train: whether the model is being trained.
    """

    boxes: Array
    kind: Array
    ignore: Array
    train: bool


@dataclass(frozen=True)
class Detection(Task):
    """Boxes by anchors: focal loss of the classes, smooth L1 of the codes, half turns.

        loss = (class_weight * focal + box_weight * code + direction_weight * turn) / positives

    with the focal loss summed over positive and negative anchors, the smooth L1 of the codes and
    the cross-entropy of the half turns over positive ones, and their number in the sample, at
    least 1.

    The model's output is `snnjax.models.AnchorMaps`. A batch holds `boxes` [B, M, 7] and
    `box_class` int [B, M], -1 in padded rows. Two keys are optional: `box_level` [B, M], the
    easiest difficulty at which an object counts (0 easy, 1 moderate, 2 hard, 3 none), and
    `box_ignore` [B, M], for an object that is in no class (`box_class` -1): the class whose
    detections on it are no errors, such as that of cars for a van, else -1.

    The goal `ap` is the mean over classes of the 3-D precision at 40 recall levels in percent, at
    moderate difficulty, from scores in 200 bins. `BoxPrecision` computes the exact figures.

    Yan, Mao and Li, "SECOND: Sparsely Embedded Convolutional Detection", Sensors 2018, with the
    grid and the losses of Deng et al., "Voxel R-CNN", AAAI 2021.
    """

    anchors: tuple[AnchorClass, ...] = (KITTI_ANCHORS["Car"],)
    """The anchors of each class, in the order of the data's classes."""
    x_range: tuple[float, float] = (0.0, 70.4)
    """Range of the map along x in metres."""
    y_range: tuple[float, float] = (-40.0, 40.0)
    """Range of the map along y in metres."""
    class_weight: float = 1.0
    """Weight of the focal loss."""
    box_weight: float = 2.0
    """Weight of the loss of box codes."""
    direction_weight: float = 0.2
    """Weight of the loss of half turns."""
    least: float = 0.1
    """Boxes below this score are not detections; a lower limit can raise the precision."""
    top: int = 4096
    """Boxes that take part in the suppression."""
    overlap: float = 0.01
    """Largest overlap of two detections, seen from above."""
    keep: int = 500
    """Largest number of detections of a sample."""
    by_class: bool = False
    """Suppress within each class alone, so that boxes of different classes may overlap."""

    goal = "max ap"

    def __post_init__(self) -> None:
        if not self.anchors:
            raise ValueError("task.anchors must hold the anchors of at least one class.")
        for name in ("x_range", "y_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"task.{name} must rise; got {low} to {high}.")
        if not (0 <= self.least < 1 and 0 <= self.overlap <= 1):
            raise ValueError(
                "task.least must be in [0, 1) and task.overlap in [0, 1]; got "
                f"{self.least} and {self.overlap}."
            )
        if not 1 <= self.keep <= self.top:
            raise ValueError(
                "task.keep must be at least 1 and at most task.top; got "
                f"{self.keep} and {self.top}."
            )

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

    def loss(self, out: AnchorMaps, target: Target) -> tuple[Array, Array]:
        one = partial(self._sample_loss, self._grid(out))
        sums = jax.vmap(one)(*self._rows(out), target.boxes, target.kind)
        return sums, jnp.ones_like(sums)

    def score(self, out: AnchorMaps, target: Target, weight: Array) -> Sums:
        top, keep = (min(self.top, _FEW[0]), min(self.keep, _FEW[1]))
        found = self._detect(out, top, keep) if target.train else self.outputs(out)
        overlap = jnp.asarray([c.overlap for c in self.anchors])
        counted = jnp.where(target.ignore >= 0, -1, target.kind)
        sums: Sums = {OVERFLOW: jnp.asarray(out.overflow, jnp.int32).sum()}
        for name, space in (("3d", True), ("bev", False)):
            one = partial(hits, overlap=overlap, bins=BINS, space=space)
            right, wrong = jax.vmap(one)(found, target.boxes, counted, target.ignore)
            sums[f"right_{name}"] = jnp.einsum("b,bkn->kn", weight, right)
            sums[f"wrong_{name}"] = jnp.einsum("b,bkn->kn", weight, wrong)
        classes = jnp.arange(len(self.anchors))
        sums["objects"] = jnp.einsum(
            "b,bmk->k", weight, (counted[..., None] == classes).astype(weight.dtype)
        )
        return sums

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        objects = np.asarray(sums["objects"])
        present = objects > 0
        ap = {
            name: binned_precision(sums[f"right_{name}"], sums[f"wrong_{name}"], objects)
            for name in ("3d", "bev")
        }
        found = np.asarray(sums["right_3d"]).sum(-1)
        share = found.sum() / max(float(objects.sum()), 1.0)
        means = {name: float(v[present].mean()) if present.any() else 0.0 for name, v in ap.items()}
        return {"ap": means["3d"], "ap_bev": means["bev"], "recall": float(share)}

    def outputs(self, out: AnchorMaps) -> Detections:
        """The detections of each sample, in `keep` rows."""
        return self._detect(out, self.top, self.keep)

    def check(self, info: DataInfo, out: Any) -> None:
        classes, anchors = len(info.class_names), len(anchor_labels(self.anchors))
        if classes != len(self.anchors):
            raise ValueError(
                f"task.anchors must have one entry for each of the {classes} classes "
                f"{', '.join(info.class_names)}; got {len(self.anchors)}."
            )
        if not isinstance(out, AnchorMaps):
            raise ValueError(
                "detection needs a model that returns snnjax.models.AnchorMaps; got "
                f"{type(out).__name__}."
            )
        need = [anchors * width for width in (classes, 7, 2)]
        if [part.shape[-1] for part in out[:3]] != need:
            raise ValueError(
                f"with {anchors} anchors per cell and {classes} classes the channels of scores, "
                f"boxes and directions must be {need}; got {[p.shape[-1] for p in out[:3]]}. Build "
                f"the model with {anchors} anchors."
            )

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        kind, boxes = batch.get("box_class"), batch.get("boxes")
        if kind is None or boxes is None:
            return
        classes = len(info.class_names)
        bad = (kind < -1) | (kind >= classes)
        bad |= (kind >= 0) & ~(np.isfinite(boxes).all(-1) & (boxes[..., 3:6] > 0).all(-1))
        if bad.any():
            row, m = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"boxes must be finite, larger than 0, and of a class in 0..{classes - 1} or -1 in "
                f"padded rows; row {m} of sample {row} of the batch has class {int(kind[row, m])} "
                f"and box {np.round(boxes[row, m], 3).tolist()}. Correct the labels, or drop them."
            )

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        objects = np.asarray(sums["objects"])
        ap = [
            binned_precision(sums[f"right_{name}"], sums[f"wrong_{name}"], objects)
            for name in ("3d", "bev")
        ]
        rows = tuple(
            (kind, str(round(float(n))), f"{solid:.1f}", f"{flat:.1f}")
            for kind, n, solid, flat in zip(info.class_names, objects, *ap, strict=True)
        )
        return (Table("Average precision", ("class", "objects", "3-D", "from above"), rows),)

    def answer(self, outputs: Detections, info: DataInfo) -> list[tuple[str, float]]:
        """One line a box with its score, the best first."""
        return [
            (_line(info.class_names[int(label)], box), float(score))
            for box, score, label in zip(*(np.asarray(a) for a in outputs), strict=True)
            if label >= 0
        ]

    def _grid(self, out: AnchorMaps) -> np.ndarray:
        """The anchors of the map, [N, 7]."""
        cells = out.scores.shape[1], out.scores.shape[2]
        return anchor_grid(self.anchors, cells, self.x_range, self.y_range).reshape(-1, 7)

    def _rows(self, out: AnchorMaps) -> tuple[Array, Array, Array]:
        """Predictions by anchor in float32: scores [B, N, K], codes [B, N, 7], turns [B, N, 2]."""
        scores, codes, turns = (
            part.astype(jnp.float32).reshape(len(part), -1, width)
            for part, width in zip(out[:3], (len(self.anchors), 7, 2), strict=True)
        )
        return scores, codes, turns

    def _sample_loss(
        self,
        anchors: np.ndarray,
        scores: Array,
        codes: Array,
        turns: Array,
        boxes: Array,
        kind: Array,
    ) -> Array:
        """The loss of one sample: predictions by anchor, labelled boxes and their classes."""
        label = np.resize(anchor_labels(self.anchors), len(anchors))
        limits = {
            name: np.array([getattr(c, name) for c in self.anchors], np.float32)[label]
            for name in ("positive", "negative")
        }
        found = assign(anchors, label, boxes, kind, **limits)
        positive = found.positive
        own = jnp.where(positive[:, None], boxes[found.box], anchors)  # padded boxes have no codes
        classes = positive[:, None] & (label[:, None] == np.arange(len(self.anchors)))
        focal = jnp.where((positive | found.negative)[:, None], focal_loss(scores, classes), 0.0)
        code = code_loss(codes, encode_boxes(own, anchors))
        turn = cross_entropy(turns, direction_bin(own[:, 6]), weight=positive)
        total = self.class_weight * focal.sum()
        total += self.box_weight * jnp.where(positive, code, 0.0).sum()
        total += self.direction_weight * turn.sum()
        return total / jnp.maximum(positive.sum(), 1)

    def _detect(self, out: AnchorMaps, top: int, keep: int) -> Detections:
        """Decoded boxes after suppression, [B, keep, ...]."""
        anchors = self._grid(out)
        scores, codes, turns = self._rows(out)
        boxes = decode_boxes(codes, jnp.asarray(anchors))
        yaw = with_direction(boxes[..., 6], turns.argmax(-1))
        boxes = boxes.at[..., 6].set(wrap(yaw))
        scores = jax.nn.sigmoid(scores)
        options = {"top": top, "keep": keep, "limit": self.overlap, "least": self.least}
        if self.by_class:
            return jax.vmap(partial(suppress_by_class, **options))(boxes, scores)
        best, label = scores.max(-1), scores.argmax(-1)  # a NaN is the largest, and left out
        return jax.vmap(partial(suppress, **options))(boxes, best, label)


def _line(kind: str, box: np.ndarray) -> str:
    """One detection in words."""
    x, y, z, length, width, height = (float(v) for v in box[:6])
    return (
        f"{kind} at ({x:.2f}, {y:.2f}, {z:.2f}) m, {length:.2f} x {width:.2f} x {height:.2f} m, "
        f"heading {np.degrees(float(box[6])):.0f} degrees"
    )
