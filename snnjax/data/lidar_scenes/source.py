"""Labelled LiDAR scans of generated streets, as a source of training data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snnjax.data.checks import at_least_one
from snnjax.data.source import SPLITS, Batch, Sample, SourceBase

from .classes import BOX_CLASSES, POINT_CLASSES
from .kitti import write_frame
from .render import Sensor, cast, measure
from .street import SPACING, Range, build

SIZES = {"train": 300, "test": 60}
_COUNTS = ("driving", "stray", "pedestrians", "cyclists", "poles", "plants")


class Scan(NamedTuple):
    """One scan with its exact labels.

    Attributes:
      points: x, y, z in metres (x forward, y left, z up) and reflectance, float32 [P, 4].
      label: class of each point, an index into `POINT_CLASSES`; int32 [P].
      instance: number of the box that a point belongs to, from 1; 0 for none; int32 [P].
      boxes: centre, length, width, height, heading (from x to y), float32 [M, 7].
      box_class: index into `BOX_CLASSES`, int32 [M].
      points_in_box: points of each object, int32 [M]; may be 0 where others hide it.
      visible: share of an object's rays that no other object stops, float32 [M].
    """

    points: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    boxes: np.ndarray
    box_class: np.ndarray
    points_in_box: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class LidarScenes(SourceBase):
    """Ray-cast scans of random streets, each a pure function of (seed, split, index).

    A batch holds `points` [B, P, 4] and `n` [B], `point_label` [B, P] (-1 beyond n), `boxes`
    [B, M, 7], `box_class` [B, M] (-1 beyond the boxes), `box_points` and `box_visible` [B, M].

    >>> scan = LidarScenes(beams=8, columns=128).scan(0)
    >>> scan.points.shape[1], scan.boxes.shape[1], len(scan.label) == len(scan.points)
    (4, 7, True)
    """

    beams: int = 32
    """Elevations, evenly from +2 to -24.8 degrees."""
    columns: int = 1024
    """Azimuths of a full turn."""
    fov: float = 180.0
    """Azimuths within this angle to either side of straight ahead are kept, in degrees."""
    range: float = 50.0
    """Largest distance of a point, in metres."""
    noise: float = 0.02
    """Standard deviation of the distance, in metres."""
    dropout: float = 0.02
    """Share of returns that are lost at any distance; dark and distant surfaces lose more."""
    driving: Range = (3, 8)
    """Least and largest number of driving vehicles that are tried."""
    stray: Range = (0, 3)
    """The same of vehicles at any place with any heading."""
    pedestrians: Range = (3, 10)
    """The same of pedestrians on the sidewalks."""
    cyclists: Range = (0, 3)
    """The same of cyclists at the edge of the road."""
    poles: Range = (4, 13)
    """The same of poles, signs and street trees on each side."""
    plants: Range = (10, 44)
    """The same of trees and bushes on the terrain."""
    seed: int = 0
    """Seed of the data set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path or self.skip_bad:
            raise ValueError(
                "embedded scenes are generated: data.path and data.skip_bad have no effect. "
                "Leave them unset."
            )
        at_least_one("data.beams", self.beams)
        at_least_one("data.columns", self.columns)
        if not 0 < self.fov <= 180 or self.columns * self.fov < 180:
            raise ValueError(
                f"data.fov must be in (0, 180] degrees and contain an azimuth of the "
                f"{self.columns} columns; got {self.fov}."
            )
        if not 5 <= self.range <= 200:
            raise ValueError(f"data.range must be in [5, 200] metres; got {self.range}.")
        if not 0 <= self.noise <= 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                "data.noise must be in [0, 1] metres and data.dropout in [0, 1); got "
                f"{self.noise} and {self.dropout}."
            )
        for name in _COUNTS:
            limits = getattr(self, name)
            if len(limits) != 2 or not all(map(_is_int, limits)) or not 0 <= limits[0] <= limits[1]:
                raise ValueError(
                    f"data.{name} must be two integers (least, largest) with 0 <= least <= "
                    f"largest; got {limits!r}."
                )
        if not _is_int(self.seed) or not 0 <= self.seed < 2**63:
            raise ValueError(f"data.seed must be an integer in [0, 2^63); got {self.seed!r}.")

    @property
    def reach(self) -> float:
        """Objects stand up to this distance along the street."""
        return self.range

    @cached_property
    def sensor(self) -> Sensor:
        return Sensor.of(self.beams, self.columns, self.fov)

    @property
    def max_points(self) -> int:
        """P of a batch: the rays of a scan."""
        return int(np.prod(self.sensor.rays.shape))

    @property
    def max_boxes(self) -> int:
        """M of a batch: no scene has more objects with boxes."""
        drawn = (self.driving, self.stray, self.pedestrians, self.cyclists)
        return int(2 * self.range / SPACING[0]) + 1 + sum(high for _, high in drawn)

    def scan(self, index: int, split: str = "train") -> Scan:
        """Scan `index` (from 0) of a split; the splits are independent.

        Raises:
          IndexError: the index is negative.
        """
        self.size(split)
        if index < 0:
            raise IndexError(f"scans are numbered from 0; got {index}.")
        rng = np.random.default_rng([self.seed, SPLITS.index(split), index])
        ground, things = build(rng, self)
        depth = cast(rng, self.sensor, ground, things, self.range)
        boxed = np.array([thing.box is not None for thing in things], bool)
        found = measure(
            rng,
            self.sensor,
            depth,
            boxed,
            limit=self.range,
            noise=self.noise,
            dropout=self.dropout,
        )
        hits = depth.thing[np.isfinite(depth.t)]
        hits = np.bincount(hits[hits >= 0], minlength=len(things))
        listed = np.flatnonzero(boxed & (depth.alone > 0))
        number = np.zeros(len(things) + 1, np.int32)
        number[listed] = np.arange(1, len(listed) + 1)
        instance = number[depth.thing[found.row, found.col]]
        return Scan(
            points=found.points,
            label=depth.label[found.row, found.col].astype(np.int32),
            instance=instance,
            boxes=np.array([things[i].box for i in listed], np.float32).reshape(-1, 7),
            box_class=np.array([things[i].kind for i in listed], np.int32),
            points_in_box=np.bincount(instance, minlength=len(listed) + 1)[1:].astype(np.int32),
            visible=(hits[listed] / np.maximum(depth.alone[listed], 1)).astype(np.float32),
        )

    def open(self, split: str) -> SceneSet:
        return SceneSet(self, split, size_of(self, split))

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """Pad to `max_points` points and `max_boxes` boxes; nothing is drawn."""
        points, boxes = self.max_points, self.max_boxes
        count = np.array([len(sample["points"]) for sample in samples], np.int32)
        return {
            "points": _pad(samples, "points", points, 0),
            "n": count,
            "point_label": _pad(samples, "point_label", points, -1),
            "boxes": _pad(samples, "boxes", boxes, 0),
            "box_class": _pad(samples, "box_class", boxes, -1),
            "box_points": _pad(samples, "box_points", boxes, 0),
            "box_visible": _pad(samples, "box_visible", boxes, 0),
        }

    def write_kitti(
        self, folder: str | Path, indices: Iterable[int], split: str = "train"
    ) -> list[str]:
        """Write scans as frames of KITTI's object layout; returns the names of the frames.

        Files are velodyne/NAME.bin, label_2/NAME.txt, calib/NAME.txt and image_size.txt.
        """
        names = []
        for index in indices:
            names.append(f"{index:06d}")
            scan = self.scan(index, split)
            write_frame(
                Path(folder), names[-1], scan.points, scan.boxes, scan.box_class, scan.visible
            )
        return names


def size_of(source: SourceBase, split: str) -> int:
    """The number of scans of a split."""
    size = source.size(split)
    return SIZES[split] if size is None else size


def check_generated(source: Any, names: tuple[str, ...]) -> None:
    """Raise if an option is set that a source of embedded scenes does not use.

    Args:
      source: with `scenes`, the generator. names: options about files, which keep their defaults.
    """
    for name in names:
        if getattr(source, name) != getattr(type(source), name):
            raise ValueError(
                f"embedded scenes are generated: data.{name} has no effect. Leave it unset."
            )
    for split in SIZES:
        name = f"{split}_size"
        if getattr(source.scenes, name) is not None:
            raise ValueError(f"set data.{name} in place of data.scenes.{name}.")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pad(samples: list[Sample], name: str, rows: int, fill: float) -> np.ndarray:
    first = samples[0][name]
    out = np.full((len(samples), rows, *first.shape[1:]), fill, first.dtype)
    for i, sample in enumerate(samples):
        out[i, : len(sample[name])] = sample[name]
    return out


class SceneSet:
    """One split of `LidarScenes`; every scan is generated when it is asked for."""

    class_names = POINT_CLASSES
    box_class_names = BOX_CLASSES
    in_channels = 4
    skipped = 0
    sample_shape = None

    def __init__(self, source: LidarScenes, split: str, size: int):
        self.source, self.split, self.size = source, split, size

    def __len__(self) -> int:
        return self.size

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """Scan i; nothing is drawn from `rng`."""
        if not 0 <= i < self.size:
            raise IndexError(f"sample {i} of a split of {self.size}")
        scan = self.source.scan(i, self.split)
        return {
            "points": scan.points,
            "point_label": scan.label,
            "boxes": scan.boxes,
            "box_class": scan.box_class,
            "box_points": scan.points_in_box,
            "box_visible": scan.visible,
        }

    def name(self, i: int) -> str:
        return f"{self.split} scene {i}"
