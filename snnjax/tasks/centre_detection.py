"""Detection of oriented boxes by their centres, as on nuScenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.boxes import CentreMap, CentreTarget, Detections, centre_detections, centre_targets
from snnjax.data import DataInfo
from snnjax.losses import centre_loss
from snnjax.models import CentreMaps
from snnjax.tasks.box_task import (
    BoxTask,
    Target,
    precision_means,
    precision_pictures,
    recall,
)
from snnjax.tasks.task import Sums
from snnjax.viz import Picture, Table

DISTANCES = {"half": 0.5, "1m": 1.0, "2m": 2.0, "4m": 4.0}
"""Distances of centres in metres within which a detection is right."""

NUSCENES_HEADS = ((0,), (1, 2), (3, 4), (5,), (6, 7), (8, 9))
"""Classes of each head: car; truck, construction vehicle; bus, trailer; barrier; motorcycle,
bicycle; pedestrian, cone."""


@dataclass(frozen=True)
class CentreDetection(BoxTask):
    """Boxes by their centres: heat maps of the classes, codes at the cell nearest to each object.

        loss = sum over heads of (Gaussian focal loss + box_weight * L1 of the codes) / objects

    The model's output is `snnjax.models.CentreMaps`. A batch holds `boxes` [B, M, 7], or [B, M, 9]
    with velocities, and `box_class` int [B, M], -1 in padded rows; see `Detection` for optional
    keys.

    The goal `ap` is the mean over classes and over the distances 0.5, 1, 2 and 4 m of the precision
    at 40 recall levels in percent, from scores in 200 bins. `DistancePrecision` computes the
    figures of the nuScenes benchmark.

    Chen et al., "VoxelNeXt: Fully sparse VoxelNet for 3D object detection and tracking", CVPR 2023.
    """

    heads: tuple[tuple[int, ...], ...] = NUSCENES_HEADS
    """The classes of each head, by their index."""
    x_range: tuple[float, float] = (-54.0, 54.0)
    """Range of the map along x in metres."""
    y_range: tuple[float, float] = (-54.0, 54.0)
    """Range of the map along y in metres."""
    pitch: tuple[float, float] = (0.6, 0.6)
    """Length of a cell along x and y in metres."""
    box_weight: float = 0.25
    """Weight of the loss of box codes."""
    radius_overlap: float = 0.1
    """Overlap of a moved box by which the width of a heat map is chosen."""
    least_radius: int = 2
    """Least radius of a heat map in cells."""
    least: float = 0.1
    """Boxes below this score are not detections."""
    top: int = 500
    """Boxes of a head that take part in the suppression."""
    overlap: float = 0.2
    """Largest overlap of two detections of one head, seen from above."""
    keep: int = 83
    """Largest number of detections of a head."""

    goal = "max ap"

    def __post_init__(self) -> None:
        classes = [k for head in self.heads for k in head]
        if not classes or sorted(classes) != list(range(len(classes))):
            raise ValueError(
                f"task.heads must hold each of the classes 0, 1, ... once; got {self.heads}."
            )
        for name in ("x_range", "y_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"task.{name} must rise; got {low} to {high}.")
        if min(self.pitch) <= 0 or not 0 < self.radius_overlap < 1:
            raise ValueError(
                "task.pitch must be above 0 and task.radius_overlap in (0, 1); got "
                f"{self.pitch} and {self.radius_overlap}."
            )
        if not 1 <= self.keep <= self.top:
            raise ValueError(
                "task.keep must be at least 1 and at most task.top; got "
                f"{self.keep} and {self.top}."
            )

    @property
    def where(self) -> CentreMap:
        """Where the cells lie."""
        return CentreMap(self.x_range, self.y_range, self.pitch)

    def loss(self, out: CentreMaps, target: Target) -> tuple[Array, Array]:
        sums = jnp.zeros(len(out.valid), jnp.float32)
        for head, heat, codes in zip(self.heads, out.heat, out.codes, strict=True):

            def one(heat, codes, cells, valid, boxes, kind, head=head):
                goal = self._targets(head, cells, valid, boxes[:, : codes.shape[-1] - 1], kind)
                heat, codes = heat.astype(jnp.float32), codes.astype(jnp.float32)
                return centre_loss(heat, codes, goal, valid, box_weight=self.box_weight)

            rows = heat, codes, out.cells, out.valid, target.boxes, target.kind
            sums += jax.vmap(one)(*rows)
        return sums, jnp.ones_like(sums)

    def score(self, out: CentreMaps, target: Target, weight: Array) -> Sums:
        found = self.outputs(out)
        apart = found.boxes[:, :, None, :2] - target.boxes[:, None, :, :2]
        squared = (apart**2).sum(-1)
        classes = sum(len(head) for head in self.heads)
        overlaps = {
            name: (-squared, jnp.full(classes, -(limit**2))) for name, limit in DISTANCES.items()
        }
        return self.sums(found, target, weight, overlaps, out.overflow)

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        means = precision_means(sums, tuple(DISTANCES))
        return {
            "ap": float(np.mean(list(means.values()))),
            "ap_2m": means["2m"],
            "recall": recall(sums, "2m"),
        }

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        headings = {name: f"{limit:g} m" for name, limit in DISTANCES.items()}
        return precision_pictures(sums, headings, info)

    def outputs(self, out: CentreMaps) -> Detections:
        """The detections of all heads, the best first, in `keep` rows for each head."""
        found = []
        for head, heat, codes in zip(self.heads, out.heat, out.codes, strict=True):

            def one(heat, codes, cells, valid):
                return centre_detections(
                    heat.astype(jnp.float32), codes.astype(jnp.float32), cells, valid, self.where,
                    top=self.top, least=self.least, limit=self.overlap, keep=self.keep,
                )  # fmt: skip

            dets = jax.vmap(one)(heat, codes, out.cells, out.valid)
            own = jnp.asarray(head, jnp.int32)[dets.label]
            found.append(dets._replace(label=jnp.where(dets.label >= 0, own, -1)))
        together = jax.tree.map(lambda *parts: jnp.concatenate(parts, 1), *found)
        live = jnp.where(together.label >= 0, together.scores, -jnp.inf)
        order = jnp.argsort(-live, axis=1, stable=True)
        return jax.tree.map(lambda a: jax.vmap(lambda row, at: row[at])(a, order), together)

    def check(self, info: DataInfo, out: Any) -> None:
        classes = sum(len(head) for head in self.heads)
        if classes != len(info.class_names):
            raise ValueError(
                f"task.heads must hold the {len(info.class_names)} classes "
                f"{', '.join(info.class_names)}; got {classes}."
            )
        if not isinstance(out, CentreMaps):
            raise ValueError(
                "centre detection needs a model that returns snnjax.models.CentreMaps; got "
                f"{type(out).__name__}."
            )
        need = [len(head) for head in self.heads]
        if [part.shape[-1] for part in out.heat] != need or len(out.codes) != len(need):
            raise ValueError(
                f"the heads of the model must have {need} classes; got "
                f"{[part.shape[-1] for part in out.heat]} and {len(out.codes)} with codes."
            )
        if any(part.shape[-1] not in (8, 10) for part in out.codes):
            raise ValueError(
                "codes of centres have 8 numbers, or 10 with velocities; got "
                f"{[part.shape[-1] for part in out.codes]}."
            )

    def _targets(
        self, head: tuple[int, ...], cells: Array, valid: Array, boxes: Array, kind: Array
    ) -> CentreTarget:
        """Targets of one head and sample."""
        classes = jnp.asarray(head)
        own = kind[:, None] == classes
        index = jnp.where(own.any(1), own.argmax(1), -1)
        return centre_targets(
            cells, valid, boxes, index, self.where,
            num_classes=len(head), overlap=self.radius_overlap, least=self.least_radius,
        )  # fmt: skip
