"""The nuScenes scores of a trained detector on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnjax.data import Dataset
from snnjax.metrics.detection import NUSCENES_RANGES, NuScenesObjects, nuscenes_scores


@dataclass(frozen=True)
class DistancePrecision:
    """Precision by distance of centres, errors of matches, and the nuScenes detection score.

    A batch holds `boxes` [B, M, 7], or [B, M, 9] with velocities along x and y, and `box_class`.
    Detections with nine columns have velocities too; without them the velocity error is 1, and so
    is that of the attribute, which is not predicted.

    Labelled objects without points do not count in the benchmark: the source leaves them out.
    """

    reach: float = 50.0
    """Distance from the sensor in metres up to which objects count, for classes without one of
    their own in nuScenes."""

    def __post_init__(self) -> None:
        if not self.reach > 0:
            raise ValueError(f"distance_precision.reach must be above 0; got {self.reach}.")

    def run(self, trained: Any, dataset: Dataset) -> dict[str, float]:
        """`mean_precision`, `nds`, the errors by name and `CLASS_precision`, all in 0..1."""
        names = trained.session.info.class_names
        truth, found = [], []
        for batch, out in trained.outputs(dataset):
            for b in np.flatnonzero(batch["weight"] > 0):
                real, full = batch["box_class"][b] >= 0, out.label[b] >= 0
                truth.append(_objects(names, batch["boxes"][b, real], batch["box_class"][b, real]))
                dets = _objects(names, out.boxes[b, full], out.label[b, full])
                found.append(dets._replace(scores=np.asarray(out.scores[b, full], np.float64)))
        ranges = {name: NUSCENES_RANGES.get(name, self.reach) for name in names}
        scores = nuscenes_scores(truth, found, ranges)
        numbers = {"mean_precision": scores.mean_precision, "nds": scores.nds}
        numbers |= {f"{name}_error": value for name, value in scores.errors.items()}
        return numbers | {f"{k.lower()}_precision": v for k, v in scores.precision.items()}


def _objects(names: tuple[str, ...], boxes: np.ndarray, label: np.ndarray) -> NuScenesObjects:
    """Rows of one sample in float64; unknown velocities are NaN."""
    boxes = np.asarray(boxes, np.float64)
    velocity = boxes[:, 7:9] if boxes.shape[1] >= 9 else np.full((len(boxes), 2), np.nan)
    return NuScenesObjects([names[k] for k in label], boxes[:, :7], velocity)
