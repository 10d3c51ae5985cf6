"""Embedded scenes as voxels with labels, the way files of scans are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from snnjax.data.lidar import ClassMap, LidarGrid, LidarSource, ScanSet

from .classes import MATERIALS
from .source import LidarScenes, Scan, check_generated, size_of

CLASSES = ClassMap(
    names=tuple(MATERIALS),
    raw=tuple((material.semantic_kitti,) for material in MATERIALS.values()),
    ignored=(0,),
)
"""The classes of points; raw numbers are those of SemanticKITTI."""


@dataclass(frozen=True)
class SceneVoxels(LidarSource):
    """Embedded scenes for semantic segmentation: no files, everything else as in `LidarSource`.

    A scan is generated when it is first needed, and kept: 0.5 MB each.
    """

    scenes: LidarScenes = field(default_factory=LidarScenes)
    """The generator; sizes of the splits are set here, not there."""
    grid: LidarGrid = field(
        default_factory=lambda: LidarGrid((-51.2, -51.2, -3.2), (51.2, 51.2, 3.2), (0.2, 0.2, 0.2))
    )
    """Where voxels are, and their size."""
    points: int = 32768
    """Points of a scan; at least the rays of the sensor."""
    voxels: int = 24576
    """Voxels of a scan. Of more, random ones are dropped in training and counted in the overflow;
    in evaluation they are an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        files = ("path", "layout", "train_sequences", "test_sequences", "skip_bad")
        check_generated(self, files)

    def open(self, split: str) -> ScanSet:
        """The scans of a split."""
        scans = [SceneScan(self.scenes, split, i) for i in range(size_of(self, split))]
        return ScanSet(scans, CLASSES, mix=split == "train" and self.mix > 0)


@dataclass(frozen=True)
class SceneScan:
    """One scan of a split of embedded scenes."""

    scenes: LidarScenes
    split: str
    index: int

    @property
    def name(self) -> str:
        return f"{self.split} scene {self.index}"

    @cached_property
    def _scan(self) -> Scan:
        return self.scenes.scan(self.index, self.split)

    def points(self) -> np.ndarray:
        return self._scan.points

    def label(self, classes: ClassMap) -> np.ndarray:
        if classes.names != CLASSES.names:
            raise ValueError(f"the classes of embedded scenes are {', '.join(CLASSES.names)}.")
        return self._scan.label

    def check(self) -> None:
        """There is no file to check."""
