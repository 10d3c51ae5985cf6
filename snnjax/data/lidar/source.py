"""Labelled scans as a source of training for semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from snnjax.data.checks import at_least_one
from snnjax.data.draws import subset
from snnjax.data.errors import DataError
from snnjax.data.source import Batch, Sample

from . import nuscenes, semantic_kitti
from .augment import LidarAugment, move_points, rotation
from .binary import read_points
from .classes import IGNORED, NUSCENES, SEMANTIC_KITTI
from .grid import LidarGrid, Voxels, majority_labels, nearest_rows
from .packed import find_packed, read_packed
from .scans import ScanSet, usable_scans
from .voxel_source import VoxelSource, pad

ScanLayout = Literal["semantic_kitti", "nuscenes", "packed"]


@dataclass(frozen=True)
class LidarSource(VoxelSource):
    """Labelled scans of SemanticKITTI, nuScenes or packed files, as voxels with labels.

    The package docstring lists the arrays of a batch.
    """

    layout: ScanLayout = "semantic_kitti"
    """How the files are arranged: `semantic_kitti`, `nuscenes` or `packed`."""
    train_sequences: tuple[str, ...] = semantic_kitti.TRAIN
    """SemanticKITTI: sequences to train on."""
    test_sequences: tuple[str, ...] = semantic_kitti.VALIDATION
    """SemanticKITTI: sequences to test on."""
    points: int = 131072
    """Points of a scan. A larger one loses random points in training, and is an error in a test."""
    augment: LidarAugment = field(default_factory=LidarAugment)
    """Random changes of the training scans."""
    mix: float = 0.0
    """Chance of adding the points of a second training scan (Mix3D). Both count against `points`
    and `voxels`."""
    train_radius: float | None = None
    """Leave out training points whose |x| or |y| exceeds this many metres, after the turn."""
    voxel_label: Literal["majority", "representative"] = "majority"
    """The label of a voxel: that of most of its points, or of the point that gives its feature."""
    outside: Literal["nearest", "none"] = "nearest"
    """In evaluation, the voxel of a point that has none: the nearest point's, or -1."""
    turn: float = 0.0
    """In evaluation, degrees by which scans are turned about the sensor's vertical axis."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("data.points", self.points)
        for name, known in (
            ("layout", ("semantic_kitti", "nuscenes", "packed")),
            ("voxel_label", ("majority", "representative")),
            ("outside", ("nearest", "none")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"data.{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )
        if not 0 <= self.mix <= 1:
            raise ValueError(f"data.mix is a chance in [0, 1]; got {self.mix}.")
        if not np.isfinite(self.turn):
            raise ValueError(f"data.turn must be a finite angle in degrees; got {self.turn}.")
        if self.train_radius is not None and not self.train_radius > 0:
            raise ValueError(f"data.train_radius must be positive; got {self.train_radius}.")

    @classmethod
    def semantic_kitti(cls, folder: str = "", **options: Any) -> Self:
        """Scans of SemanticKITTI, 5 cm voxels of 160 x 160 x 8 m, trained within 35.2 m."""
        given = {"train_radius": 35.2, "augment": LidarAugment.segmentation()} | options
        return cls(folder, layout="semantic_kitti", **given)

    @classmethod
    def nuscenes(cls, folder: str = "", **options: Any) -> Self:
        """Key frames of nuScenes with lidarseg labels, 10 cm voxels of 108 x 108 x 8 m."""
        grid = LidarGrid((-54.0, -54.0, -5.0), (54.0, 54.0, 3.0), (0.1, 0.1, 0.1))
        given = {"grid": grid, "points": 40960, "voxels": 40960} | options
        return cls(folder, layout="nuscenes", **given)

    @classmethod
    def packed(cls, folder: str = "", **options: Any) -> Self:
        """Packed scans, 20 cm voxels of 160 x 160 x 9.6 m.

        The height reaches from 4.8 m below the sensor to 4.8 m above it.
        """
        grid = LidarGrid((-80.0, -80.0, -4.8), (80.0, 80.0, 4.8), (0.2, 0.2, 0.2))
        given = {"grid": grid, "points": 81920, "voxels": 49152} | options
        return cls(folder, layout="packed", **given)

    def open(self, split: str) -> ScanSet:
        """The scans of a split; sizes of files are checked, their contents when they are used.

        Raises:
          DataError: the layout is not there, or a scan is bad (all are, with skip_bad).
        """
        size = self.size(split)
        place, classes = Path(self.path).expanduser(), SEMANTIC_KITTI
        if not place.is_dir():
            problem = f"is not a folder; data.layout is '{self.layout}'"
            raise DataError.at(place, problem, fix="set data.path to the folder of the data set")
        if self.layout == "packed":
            place = find_packed(place, split)
            scans, classes = read_packed(place)
        elif self.layout == "nuscenes":
            scans, classes = nuscenes.list_scans(place, split), NUSCENES
        else:
            wanted = self.train_sequences if split == "train" else self.test_sequences
            scans = semantic_kitti.list_scans(place, wanted)
        good, skipped = usable_scans(scans, classes, place, size=size, skip_bad=self.skip_bad)
        mix = split == "train" and self.mix > 0
        return ScanSet(good, classes, mix=mix, skipped=skipped)

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """The arrays of the package docstring; all but `label` and `point_label` without labels."""
        rows = [
            self._rows(sample, None if rngs is None else rngs[b])
            for b, sample in enumerate(samples)
        ]
        batch = self.stack_voxels([voxels for voxels, *_ in rows])
        batch["point_voxel"] = np.stack([pad(v.inverse, self.points, -1) for v, *_ in rows])
        for name, length, found in (
            ("label", self.voxels, [kinds for _, kinds, _ in rows if kinds is not None]),
            ("point_label", self.points, [label for *_, label in rows if label is not None]),
        ):
            if found:
                batch[name] = np.stack([pad(labels, length, IGNORED) for labels in found])
        return batch

    def read(self, path: str | Path) -> Sample:
        """A scan file without labels: nuScenes' `.pcd.bin`, or KITTI's `.bin`."""
        nuscenes_file = str(path).endswith(".pcd.bin")
        columns, brightest = (nuscenes.COLUMNS, nuscenes.BRIGHTEST) if nuscenes_file else (4, 1.0)
        points = read_points(path, columns)[:, :4]
        return {"points": points / np.array([1, 1, 1, brightest], np.float32), "name": str(path)}

    def for_voting(self) -> Self:
        """The same turns, scales, flips and noise, without leaving out or adding points."""
        augment = self.augment.keeping_all
        if augment == LidarAugment():
            raise ValueError(
                "votes are over changed copies, and data.augment changes nothing but the choice "
                "of points: the copies would be equal. Evaluate without votes."
            )
        return replace(self, augment=augment, mix=0.0, train_radius=None)

    def turned(self, degrees: float) -> Self:
        """The same source, whose evaluation turns every scan about the sensor."""
        return replace(self, turn=degrees)

    def _rows(
        self, sample: Sample, rng: np.random.Generator | None
    ) -> tuple[Voxels, np.ndarray | None, np.ndarray | None]:
        """The voxels of a sample, their labels, and the labels of its points."""
        points, label = self._changed(sample, rng)
        name = sample.get("name", "the scan")
        if len(points) > self.points:
            if rng is None:
                problem = f"has {len(points)} points, but data.points allows {self.points}"
                raise DataError.at(name, problem, fix=f"raise it to at least {len(points)}")
            kept = np.sort(subset(len(points), self.points, rng))
            points, label = points[kept], None if label is None else label[kept]
        voxels = self.voxelise(points, rng, name)
        kinds = None
        if label is not None:
            kinds = self._voxel_labels(points, label, voxels)
        if rng is None and self.outside == "nearest":
            voxels = voxels._replace(inverse=nearest_rows(points, voxels.inverse))
        return voxels, kinds, label

    def _changed(
        self, sample: Sample, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Points and labels after the random changes of training."""
        if rng is None:
            points = sample["points"]
            points = move_points(points, rotation(self.turn)) if self.turn else points
            return points, sample.get("point_label")
        parts = [sample]
        if self.mix and "other" in sample and rng.random() < self.mix:
            parts.append(sample["other"])
        points, labels = [], []
        for part in parts:
            moved = move_points(part["points"], self.augment.matrix(rng))
            moved, index = self.augment.scatter(moved, rng)
            label = part.get("point_label")
            if self.train_radius is not None:
                near = (np.abs(moved[:, :2]) <= self.train_radius).all(axis=1)
                moved, index = moved[near], index[near]
            points.append(moved)
            labels.append(None if label is None else label[index])
        return np.concatenate(points), None if labels[0] is None else np.concatenate(labels)

    def _voxel_labels(self, points: np.ndarray, label: np.ndarray, voxels: Voxels) -> np.ndarray:
        rows = len(voxels.coords)
        if self.voxel_label == "majority":
            return majority_labels(label, voxels.inverse, rows, int(label.max(initial=0)) + 1)
        return label[voxels.chosen]
