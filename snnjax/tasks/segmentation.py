"""Semantic segmentation: a class for every point, through the voxels that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data import Batch, DataInfo
from snnjax.data.lidar import colours_of, raw_numbers
from snnjax.losses import lovasz_softmax, masked_cross_entropy
from snnjax.metrics import class_iou, mean_iou, row_confusion
from snnjax.tasks.class_weights import check_class_weights, check_weight_count
from snnjax.tasks.task import OVERFLOW, Sums, Task
from snnjax.viz import Picture, Table, iou_bars, segmentation_figure, worst_confusions

TARGETS = ("label", "point_voxel", "point_label")
"""Keys of a batch that are not inputs of the model."""


class Target(NamedTuple):
    """The labels of a batch.

    Attributes:
      label: class of each voxel, int32 [B, N], -1 ignored.
      point_voxel: row of each point, int32 [B, P], -1 for none; None without points.
      point_label: class of each point, int32 [B, P], -1 ignored; None without points.
      train: whether the model is being trained.
    """

    label: Array
    point_voxel: Array | None
    point_label: Array | None
    train: bool


@dataclass(frozen=True)
class Segmentation(Task):
    """Weighted cross-entropy of voxels, optionally with Lovász-softmax; mean IoU over points.

        loss = sum_i w[y_i] CE_i / sum_i w[y_i] + lovasz * mean of the samples' L

    over the voxels i that have a label. Lovász-softmax is computed for each sample, so that it does
    not depend on how samples are divided over devices, and weighs it like the cross-entropy. In
    evaluation classes are not weighted, and there is no Lovász term.

    A source's samples hold `label` [N] of the rows of the model's output. Where they hold
    `point_voxel` and `point_label`, test scores count points: a point has the class of its row, and
    a point without a row is missed. The scores are `miou`, of the summed confusion matrix;
    `labelled_miou`, over classes with labels alone; `accuracy`, the share of labelled points; and
    `voxel_miou`.
    """

    class_weights: tuple[float, ...] = ()
    """How much each class counts in the training loss, such as the `class_weights` of
    `snnjax.data.lidar`, -ln of its share; empty counts all alike."""
    lovasz: float = 0.0
    """Weight of the Lovász-softmax term."""
    absent: Literal["skip", "zero"] = "skip"
    """Classes without labels and predictions in the test split: left out of the mean, or 0, the
    rule of SemanticKITTI."""

    goal = "max miou"

    def __post_init__(self) -> None:
        check_class_weights(self.class_weights)
        if not 0 <= self.lovasz < float("inf"):
            raise ValueError(f"task.lovasz must be at least 0 and finite; got {self.lovasz}.")
        if self.absent not in ("skip", "zero"):
            raise ValueError(f"task.absent must be 'skip' or 'zero'; got {self.absent!r}.")

    def inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name not in TARGETS}

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Target]:
        if "label" not in batch:
            raise ValueError(
                "segmentation needs a `label` for each voxel, which the samples of this source do "
                f"not hold; they hold {', '.join(batch)}."
            )
        points = batch.get("point_voxel"), batch.get("point_label")
        return self.inputs(batch), Target(batch["label"], *points, train)

    def loss(self, out: Any, target: Target) -> tuple[Array, Array]:
        weights = jnp.asarray(self.class_weights) if self.class_weights and target.train else None
        sums, counts = masked_cross_entropy(out.logits, target.label, weights)
        if self.lovasz and target.train:
            share = jax.nn.softmax(out.logits.astype(sums.dtype))
            sums += self.lovasz * counts * lovasz_softmax(share, target.label)
        return sums, counts

    def score(self, out: Any, target: Target, weight: Array) -> Sums:
        predicted, classes = out.logits.argmax(-1), out.logits.shape[-1]
        kept = (weight > 0)[:, None]
        label = jnp.where(kept, target.label, -1)
        sums = {
            OVERFLOW: jnp.asarray(out.overflow, jnp.int32).sum(),
            "voxels": row_confusion(label, predicted, classes),
        }
        if target.train or target.point_label is None or target.point_voxel is None:
            return sums
        found = at_points(predicted, target.point_voxel, -1)
        point_label = jnp.where(kept, target.point_label, -1)
        return sums | {"points": row_confusion(point_label, found, classes)}

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        confusion = np.asarray(sums.get("points", sums["voxels"]))
        right, labelled = float(np.trace(confusion)), float(confusion.sum())
        return {
            "miou": mean_iou(confusion, absent=self.absent),
            "accuracy": right / max(labelled, 1.0),
            "labelled_miou": mean_iou(confusion, absent="unlabelled"),
            "voxel_miou": mean_iou(sums["voxels"], absent=self.absent),
            "classes": float((~np.isnan(class_iou(confusion))).sum()),
        }

    def outputs(self, out: Any) -> Array:
        """The scores of every row, [B, N, K]."""
        return out.logits

    def check(self, info: DataInfo, out: Any) -> None:
        classes, logits = len(info.class_names), getattr(out, "logits", None)
        if logits is None or getattr(out, "overflow", None) is None:
            raise ValueError(
                "segmentation needs a model whose output is a snnjax.models.SegmentationOutput, "
                f"scores of every row and an overflow; it is a {type(out).__name__}."
            )
        if len(logits.shape) != 3 or logits.shape[-1] != classes:
            raise ValueError(
                f"segmentation with {classes} classes needs scores [B, N, {classes}]; they are "
                f"{tuple(logits.shape)}. Build the model with num_classes={classes}."
            )
        check_weight_count(self.class_weights, classes)

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        classes = len(info.class_names)
        for name in ("label", "point_label"):
            label = batch.get(name, np.zeros(0))
            wrong = label[(label < -1) | (label >= classes)]
            if len(wrong):
                raise ValueError(
                    f"the {name} of a sample holds {int(wrong[0])}; classes are 0..{classes - 1}, "
                    "and -1 where ignored. Correct the labels, or the table of classes."
                )

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        confusion = np.asarray(sums.get("points", sums["voxels"]))
        iou, labelled = class_iou(confusion), confusion.sum(1)
        rows = tuple(
            (name, f"{int(count):,}", "" if np.isnan(value) else f"{100 * value:.1f} %")
            for name, count, value in zip(info.class_names, labelled, iou, strict=True)
        )
        worst = worst_confusions(confusion[:, : len(confusion)], info.class_names)
        mistakes = tuple((true, found, f"{count:,}") for true, found, count in worst)
        return (
            Table("Intersection over union on the test split", ("class", "points", "IoU"), rows),
            Picture("iou", "Intersection over union by class", iou_bars(iou, info.class_names)),
            Table("Most frequent mistakes", ("true", "predicted", "points"), mistakes),
        )

    def notes(self) -> tuple[str, ...]:
        used = ["weighted classes"] * bool(self.class_weights) + ["Lovász-softmax"] * bool(
            self.lovasz
        )
        if not used:
            return ()
        return (
            f"The training loss is computed with {' and '.join(used)}, the test loss is the plain "
            "cross-entropy: the two cannot be compared.",
        )

    def draw(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> Picture | None:
        """The classes of the points, and with labels their errors."""
        if "points" not in sample or "point_voxel" not in sample:
            return None
        points, label = sample["points"], sample.get("point_label")
        label = None if label is None else np.asarray(label)[: len(points)]
        figure = segmentation_figure(
            points,
            self._point_classes(outputs, sample),
            info.class_names,
            label=label,
            colours=colours_of(info.class_names),
        )
        return Picture("scan", "Classes of the points of a test scan", figure)

    def files(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> dict[str, bytes]:
        """`.label`: a raw class for each point as in SemanticKITTI, uint32, 0 for none."""
        if "points" not in sample or "point_voxel" not in sample:
            return {}
        raw = np.array([*raw_numbers(info.class_names), 0], "<u4")
        return {".label": raw[self._point_classes(outputs, sample)].tobytes()}

    def _point_classes(self, outputs: Any, sample: Mapping[str, Any]) -> np.ndarray:
        """The class of each point, int [P], -1 for points without a row."""
        row = np.asarray(sample["point_voxel"])[: len(sample["points"])]
        found = np.asarray(outputs).argmax(-1)[np.maximum(row, 0)]
        return np.where(row < 0, -1, found)

    def answer(self, outputs: Any, info: DataInfo) -> list[tuple[str, float]]:
        """The share of the voxels of each class that occurs, the largest first."""
        logits = np.asarray(outputs)
        used = logits.any(axis=-1)  # rows without a voxel have scores of 0
        count = np.bincount(logits[used].argmax(-1), minlength=logits.shape[-1])
        share = count / max(used.sum(), 1)
        order = np.argsort(-share, kind="stable")
        return [(info.class_names[k], float(share[k])) for k in order if share[k] > 0]


def at_points(rows: Array, point_voxel: Array, fill: int) -> Array:
    """Values of rows [B, N, ...] at points [B, P], `fill` where a point has no row (-1)."""
    row = jnp.where(point_voxel < 0, rows.shape[1], point_voxel)
    take = jax.vmap(lambda values, index: values.at[index].get(mode="fill", fill_value=fill))
    return take(rows, row)
