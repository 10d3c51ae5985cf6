"""Detection of oriented boxes in point clouds with anchors, in one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

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
    bev_iou,
    decode_boxes,
    direction_bin,
    encode_boxes,
    iou_3d,
    suppress,
    suppress_by_class,
    with_direction,
    wrap,
)
from snnjax.data import DataInfo
from snnjax.losses import code_loss, cross_entropy, focal_loss
from snnjax.models import AnchorMaps
from snnjax.tasks.box_task import (
    BoxTask,
    Target,
    precision_means,
    precision_pictures,
    recall,
)
from snnjax.tasks.task import Sums
from snnjax.viz import Picture, Table

_FEW = (512, 64)  # boxes considered and kept in training, where precision is shown only


@dataclass(frozen=True)
class Detection(BoxTask):
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

    def loss(self, out: AnchorMaps, target: Target) -> tuple[Array, Array]:
        one = partial(self._sample_loss, self._grid(out))
        sums = jax.vmap(one)(*self._rows(out), target.boxes[..., :7], target.kind)
        return sums, jnp.ones_like(sums)

    def score(self, out: AnchorMaps, target: Target, weight: Array) -> Sums:
        top, keep = (min(self.top, _FEW[0]), min(self.keep, _FEW[1]))
        found = self._detect(out, top, keep) if target.train else self.outputs(out)
        limits = jnp.asarray([c.overlap for c in self.anchors])
        boxes = target.boxes[:, None, :, :7]
        overlaps = {"3d": iou_3d, "bev": bev_iou}
        return self.sums(
            found,
            target,
            weight,
            {name: (iou(found.boxes[:, :, None], boxes), limits) for name, iou in overlaps.items()},
            out.overflow,
        )

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        means = precision_means(sums, ("3d", "bev"))
        return {"ap": means["3d"], "ap_bev": means["bev"], "recall": recall(sums, "3d")}

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        return precision_pictures(sums, {"3d": "3-D", "bev": "from above"}, info)

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
