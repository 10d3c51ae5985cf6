"""Labelled scans as a data set: read when they are needed, one file after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.source import Sample

from .binary import check_length, check_scan, read_byte_labels, read_labels, read_points
from .classes import ClassMap

log = logging.getLogger(__name__)


class Scan(Protocol):
    """One scan of a split."""

    @property
    def name(self) -> str: ...
    def points(self) -> np.ndarray:
        """x, y, z and reflectance in 0..1, float32 [P, 4]."""
        ...

    def label(self, classes: ClassMap) -> np.ndarray:
        """The class of each point, int32 [P], -1 where ignored."""
        ...

    def check(self) -> None:
        """Raise a DataError if the sizes of its files do not fit, without reading them."""
        ...


@dataclass(frozen=True)
class FileScan:
    """A scan in raw files.

    Attributes:
      path: the points. labels: their labels.
      columns: numbers of a point in the file, of which four are used.
      brightest: value of the fourth column that stands for a reflectance of 1.
      bytes_per_label: 4 as in SemanticKITTI, or 1 as in nuScenes.
    """

    path: Path
    labels: Path
    columns: int = 4
    brightest: float = 1.0
    bytes_per_label: int = 4

    @property
    def name(self) -> str:
        return str(self.path)

    def points(self) -> np.ndarray:
        points = read_points(self.path, self.columns)[:, :4]
        if self.brightest != 1:
            points = points / np.array([1, 1, 1, self.brightest], np.float32)
        return points

    def label(self, classes: ClassMap) -> np.ndarray:
        count = check_scan(self.path, self.columns)
        if self.bytes_per_label == 1:
            return classes.to_classes(read_byte_labels(self.labels, count), self.labels)
        return classes.to_classes(read_labels(self.labels, count)[0], self.labels)

    def check(self) -> None:
        count = check_scan(self.path, self.columns)
        try:
            size = self.labels.stat().st_size
        except OSError as error:
            problem = f"cannot be read ({error.strerror}); {self.path.name} has no labels"
            raise DataError.at(self.labels, problem, fix="add the labels of the scan") from error
        check_length(self.labels, size // self.bytes_per_label, count)


class ScanSet:
    """Labelled scans of one split.

    Args:
      scans: the scans, in order. classes: the table of classes.
      mix: whether a sample of training comes with a second scan, for Mix3D.
      skipped: scans left out.
    """

    sample_shape = None
    in_channels = 4

    def __init__(
        self, scans: Sequence[Scan], classes: ClassMap, *, mix: bool = False, skipped: int = 0
    ):
        self.scans, self.classes, self.mix, self.skipped = list(scans), classes, mix, skipped
        self.class_names = classes.names

    def __len__(self) -> int:
        return len(self.scans)

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """`points` [P, 4], `point_label` [P] and `name` of scan i.

        With `rng`, if scans are mixed, those of a random other scan as `other` too.
        """
        found = self._one(i)
        if rng is not None and self.mix:
            step = int(rng.integers(1, max(len(self.scans), 2)))
            found["other"] = self._one((i + step) % len(self.scans))
        return found

    def name(self, i: int) -> str:
        return self.scans[i].name

    def class_counts(self) -> np.ndarray:
        """Points of each class, int64 [K + 1]; the last entry counts ignored points.

        Reads the labels of all scans. `class_shares` divides by the sum.
        """
        total = np.zeros(len(self.class_names) + 1, np.int64)
        for scan in self.scans:
            total += np.bincount(scan.label(self.classes) + 1, minlength=len(total))
        return np.roll(total, -1)

    def class_shares(self) -> np.ndarray:
        """The share of each class among all points, ignored ones included, float64 [K].

        The published shares of the full training set where the table of classes has them.
        """
        if self.classes.shares:
            return np.array(self.classes.shares)
        counts = self.class_counts()
        return counts[:-1] / max(int(counts.sum()), 1)

    def _one(self, i: int) -> Sample:
        scan = self.scans[i]
        points, label = scan.points(), scan.label(self.classes)
        check_length(scan.name, len(label), len(points))
        return {"points": points, "point_label": label, "name": scan.name}


def usable_scans(
    scans: Sequence[Scan], classes: ClassMap, place: Path, *, size: int | None, skip_bad: bool
) -> tuple[list[Scan], int]:
    """At most `size` scans spread over their order, and how many bad ones were left out.

    The sizes of their files are compared now, so that a long run does not stop at a truncated
    one. With `skip_bad` every scan is read once, which takes minutes for a large set.

    Raises:
      DataError: a scan is bad, or none can be used.
    """
    chosen = [scans[i] for i in spread(len(scans), size)]
    good: list[Scan] = []
    for scan in chosen:
        try:
            scan.check()
            if skip_bad:
                check_length(scan.name, len(scan.label(classes)), len(scan.points()))
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)
            continue
        good.append(scan)
    if not good:
        problem = f"none of {len(chosen)} scans can be used"
        raise DataError.at(place, problem, fix="see the log for each")
    return good, len(chosen) - len(good)
