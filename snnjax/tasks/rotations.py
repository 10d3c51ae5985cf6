"""Test-time augmentation of segmentation: scans turned about the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnjax.data import Dataset
from snnjax.metrics import mean_iou, row_confusion


@dataclass(frozen=True)
class Rotations:
    """Mean IoU of the class probabilities summed over turned copies of each scan.

    A point takes the probabilities of its voxel in every copy; the class of the largest sum is the
    prediction. Copies are made by the source's `turned(degrees)`. Costs as many evaluations as
    there are angles, and their energy.
    """

    angles: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)
    """Angles in degrees."""

    def __post_init__(self) -> None:
        if not self.angles or not np.isfinite(self.angles).all():
            raise ValueError(f"rotations.angles must be finite numbers; got {self.angles}.")

    def run(self, trained: Any, dataset: Dataset) -> dict[str, float]:
        """Compute `rotated_miou` and `rotated_accuracy`.

        Raises:
          ValueError: the source cannot turn its samples, or gives no points with labels.
        """
        source = trained.session.source
        if not callable(getattr(source, "turned", None)):
            raise ValueError(
                f"rotations need a source with `turned(degrees)`; {type(source).__name__} has "
                "none. Evaluate without rotations."
            )
        sources = [source.turned(angle) for angle in self.angles]
        total: Any = 0
        for found in zip(*(trained.outputs(dataset, source=s) for s in sources), strict=True):
            batch = found[0][0]
            if "point_label" not in batch or "point_voxel" not in batch:
                raise ValueError(
                    "rotations compare points of turned copies, and need `point_voxel` and "
                    f"`point_label`; a batch holds {', '.join(batch)}."
                )
            for b in np.flatnonzero(batch["weight"] > 0):
                turned = [_at_points(out[b], copy["point_voxel"][b]) for copy, out in found]
                shares = np.sum(turned, axis=0)
                predicted = np.where(shares.any(axis=-1), shares.argmax(-1), -1)
                matrix = row_confusion(batch["point_label"][b], predicted, shares.shape[-1])
                total = total + np.asarray(matrix, np.int64)
        rule: Any = getattr(trained.experiment.task, "absent", "skip")
        return {
            "rotated_miou": mean_iou(total, absent=rule),
            "rotated_accuracy": float(np.trace(total) / max(total.sum(), 1)),
        }


def _at_points(logits: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Class probabilities of the rows [N, K] at points [P]; 0 for points without a row."""
    logits = np.asarray(logits, np.float32)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.where(row[:, None] >= 0, shares[np.maximum(row, 0)], 0)
