"""Embedded scenes as voxels with boxes, the way frames of KITTI are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from snnjax.data.lidar import BoxSet, Calibration, LidarBoxSource, LidarGrid, in_image, level_of
from snnjax.data.lidar.kitti import class_numbers

from .classes import BOX_CLASSES
from .kitti import IMAGE, P2, VELO_TO_CAM, appearance
from .source import LidarScenes, Scan, check_generated, size_of

CALIBRATION = Calibration(P2, np.vstack([VELO_TO_CAM, [0, 0, 0, 1]]))
NONE = 3
"""Level of an object that does not count."""


@dataclass(frozen=True)
class SceneBoxes(LidarBoxSource):
    """Embedded scenes for detection: no files, everything else as in `LidarBoxSource`.

    The sensor looks ahead, 64 beams over 90 degrees. A level of difficulty follows from the image
    of a camera at the sensor, the share of an object that nothing hides and, other than in KITTI,
    its points: objects of fewer than `least_points` do not count. A scan is generated when it is
    first needed, and kept: 0.5 MB each.
    """

    scenes: LidarScenes = field(
        default_factory=lambda: LidarScenes(beams=64, columns=2048, fov=45.0, range=60.0)
    )
    """The generator; sizes of the splits are set here, not there."""
    grid: LidarGrid = field(
        default_factory=lambda: LidarGrid(
            (0.0, -25.6, -3.0), (51.2, 25.6, 1.0), (0.2, 0.2, 0.2), (21, 256, 256)
        )
    )
    """Where voxels are, and their size."""
    voxels: int = 16384
    """Voxels of a scan. Of more, random ones are dropped in training and counted in the overflow;
    in evaluation they are an error."""
    least_points: int = 10
    """Points that an object needs to count in the scores."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_generated(self, ("path", "skip_bad"))
        if not set(self.class_names) <= set(BOX_CLASSES):
            raise ValueError(
                f"data.class_names must be among {', '.join(BOX_CLASSES)}; got {self.class_names}."
            )
        if self.least_points < 0:
            raise ValueError(f"data.least_points must be at least 0; got {self.least_points}.")

    def open(self, split: str) -> BoxSet:
        """The scans of a split."""
        frames = [SceneFrame(self, split, i) for i in range(size_of(self, split))]
        return self.frame_set(frames, split)


@dataclass(frozen=True)
class SceneFrame:
    """One scan with what `snnjax.data.lidar.BoxFrame` has, generated when it is needed."""

    source: SceneBoxes
    split: str
    index: int
    calib = CALIBRATION
    image_size = IMAGE
    has_image = True

    @property
    def path(self) -> Path:
        """A name in place of a file."""
        return Path(f"{self.split} scene {self.index}")

    @cached_property
    def _scan(self) -> Scan:
        return self.source.scenes.scan(self.index, self.split)

    @property
    def boxes(self) -> np.ndarray:
        return self._scan.boxes.astype(np.float64)

    @property
    def kind(self) -> np.ndarray:
        return self._numbers[0]

    @property
    def ignore(self) -> np.ndarray:
        return self._numbers[1]

    @property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        kinds = [BOX_CLASSES[k] for k in self._scan.box_class]
        return class_numbers(kinds, self.source.class_names)

    @property
    def level(self) -> np.ndarray:
        return self._level

    @cached_property
    def _level(self) -> np.ndarray:
        scan = self._scan
        levels = np.full(len(scan.boxes), NONE, np.int32)
        for m, (box, share) in enumerate(zip(scan.boxes, scan.visible, strict=True)):
            seen = appearance(box, float(share))
            if seen is not None and scan.points_in_box[m] >= self.source.least_points:
                region, truncated, occluded = seen
                height = np.array([region[3] - region[1]])
                levels[m] = level_of(height, np.array([occluded]), np.array([truncated]))[0]
        return levels

    def points(self, in_view: bool) -> np.ndarray:
        points = self._scan.points
        return points[in_image(points, CALIBRATION, IMAGE)] if in_view else points
