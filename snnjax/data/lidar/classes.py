"""Classes of points: raw numbers of the files to training classes, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError

IGNORED = -1
_UNKNOWN = -2
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class ClassMap:
    """Training classes 0..K-1, the raw numbers that belong to each, and those left out.

    Attributes:
      names: names of the classes, in order.
      raw: raw numbers of each class; the first is written for predictions.
      ignored: raw numbers without a class, -1 after mapping.
      colours: red, green and blue of each class in 0..255, or empty.
      shares: share of each class among all points of the training set, or empty.
    """

    names: tuple[str, ...]
    raw: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...] = ()
    shares: tuple[float, ...] = ()

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.full(1 << 16, _UNKNOWN, np.int32)
        table[list(self.ignored)] = IGNORED
        for k, numbers in enumerate(self.raw):
            table[list(numbers)] = k
        return table

    def to_classes(self, raw: np.ndarray, path: str | Path = "labels") -> np.ndarray:
        """Training classes of raw numbers, int32 [P], -1 where ignored.

        Args:
          raw: integers in 0..65535, [P]. path: the file they come from, for the message.

        Raises:
          DataError: a number belongs to no class and is not ignored either.
        """
        classes = self._table[raw]
        if (classes == _UNKNOWN).any():
            wrong, count = np.unique(raw[classes == _UNKNOWN], return_counts=True)
            worst = ", ".join(f"{w} ({c} points)" for w, c in zip(wrong[:5], count, strict=False))
            problem = f"holds raw classes that are not in the table of classes: {worst}"
            fix = "check that this is the right data set, or extend the table of classes"
            raise DataError.at(path, problem, fix=fix)
        return classes

    def to_raw(self, classes: np.ndarray) -> np.ndarray:
        """The raw number that is written for each training class, int32 [P]; 0 for -1.

        Raises:
          ValueError: a number is not a class.
        """
        classes = np.asarray(classes)
        if classes.dtype.kind not in "iu":
            raise ValueError(f"classes must be integers; got {classes.dtype}.")
        if classes.size and not (classes.min() >= -1 and classes.max() < len(self.raw)):
            raise ValueError(
                f"classes must be in 0..{len(self.raw) - 1}, or -1 for none; got "
                f"{int(classes.min())} to {int(classes.max())}."
            )
        return np.array([*(numbers[0] for numbers in self.raw), 0], np.int32)[classes]


def class_weights(shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Weights of classes in the loss from their shares of all points: w = -ln f.

    Shares are limited from below by 1e-6, so that a class without points gets 13.8, not infinity.

    >>> class_weights((0.5, 0.0)).round(2).tolist()
    [0.69, 13.82]
    """
    return -np.log(np.maximum(np.asarray(shares, np.float64), _LEAST_SHARE))


def _class_map(rows: str, ignored: tuple[int, ...]) -> ClassMap:
    """A table of lines `name; raw numbers; r g b; share`."""
    fields = [[part.strip() for part in line.split(";")] for line in rows.strip().splitlines()]
    colours = []
    for row in fields:
        r, g, b = (int(n) for n in row[2].split())
        colours.append((r, g, b))
    return ClassMap(
        names=tuple(row[0] for row in fields),
        raw=tuple(tuple(int(n) for n in row[1].split()) for row in fields),
        ignored=ignored,
        colours=tuple(colours),
        shares=tuple(float(row[3]) for row in fields if len(row) > 3),
    )


SEMANTIC_KITTI = _class_map(
    """
    car; 10 252; 100 150 245; .04261
    bicycle; 11; 100 230 245; .00017
    motorcycle; 15; 30 60 150; .00040
    truck; 18 258; 80 30 180; .00216
    other-vehicle; 20 13 16 256 257 259; 0 0 255; .00181
    person; 30 254; 255 30 30; .00034
    bicyclist; 31 253; 255 40 200; .00013
    motorcyclist; 32 255; 150 30 90; .00004
    road; 40 60; 255 0 255; .19880
    parking; 44; 255 150 255; .01472
    sidewalk; 48; 75 0 75; .14392
    other-ground; 49; 175 0 75; .00390
    building; 50; 255 200 0; .13269
    fence; 51; 255 120 50; .07236
    vegetation; 70; 0 175 0; .26682
    trunk; 71; 135 60 0; .00604
    terrain; 72; 150 240 80; .07814
    pole; 80; 255 240 150; .00286
    traffic-sign; 81; 255 0 0; .00062
    """,
    ignored=(0, 1, 52, 99),
)
"""The 19 classes of the single-scan task; moving objects belong to the class of standing ones."""

_NUSCENES_GENERAL: Mapping[str, str] = {
    "barrier": "movable_object.barrier",
    "bicycle": "vehicle.bicycle",
    "bus": "vehicle.bus.bendy vehicle.bus.rigid",
    "car": "vehicle.car",
    "construction_vehicle": "vehicle.construction",
    "motorcycle": "vehicle.motorcycle",
    "pedestrian": "human.pedestrian.adult human.pedestrian.child "
    "human.pedestrian.construction_worker human.pedestrian.police_officer",
    "traffic_cone": "movable_object.trafficcone",
    "trailer": "vehicle.trailer",
    "truck": "vehicle.truck",
    "driveable_surface": "flat.driveable_surface",
    "other_flat": "flat.other",
    "sidewalk": "flat.sidewalk",
    "terrain": "flat.terrain",
    "manmade": "static.manmade",
    "vegetation": "static.vegetation",
}
_NUSCENES_RAW = (
    "noise",
    "animal",
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.other",
    "flat.sidewalk",
    "flat.terrain",
    "static.manmade",
    "static.other",
    "static.vegetation",
    "vehicle.ego",
)


def _nuscenes() -> ClassMap:
    number = {name: i for i, name in enumerate(_NUSCENES_RAW)}
    raw = tuple(tuple(number[n] for n in names.split()) for names in _NUSCENES_GENERAL.values())
    used = {n for numbers in raw for n in numbers}
    ignored = tuple(i for i in number.values() if i not in used)
    return ClassMap(tuple(_NUSCENES_GENERAL), raw, ignored)


NUSCENES = _nuscenes()
"""The 16 classes of the lidarseg challenge, from the 32 raw ones in the order of the data set."""

PACKED_KITTI = ClassMap(
    SEMANTIC_KITTI.names,
    tuple((k + 1,) for k in range(19)),
    (0,),
    SEMANTIC_KITTI.colours,
)
"""The 19 classes as the packed voxels number them: 1..19, 0 is not evaluated."""

PACKED_NUSCENES = ClassMap(
    (
        "road",
        "sidewalk",
        "building",
        "pole",
        "vegetation",
        "person",
        "two-wheeler",
        "car",
        "truck",
        "bus",
    ),
    tuple((k,) for k in range(10)),
    (10,),
)
"""The ten merged classes of the packed nuScenes sweeps; 10 is not evaluated."""


def raw_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """The raw number that stands for each class in files of predictions.

    Those of SemanticKITTI or nuScenes for their classes, also for some of them; else 1, 2, ...

    >>> raw_numbers(("road", "car")), raw_numbers(("tree", "car"))
    ((40, 10), (1, 2))
    """
    for table in (SEMANTIC_KITTI, NUSCENES):
        if set(names) <= set(table.names):
            return tuple(table.raw[table.names.index(name)][0] for name in names)
    return tuple(range(1, len(names) + 1))


def colours_of(names: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """The colours of classes of SemanticKITTI; empty if there are others among them.

    >>> colours_of(("car",)), colours_of(("tree",))
    (((100, 150, 245),), ())
    """
    table = SEMANTIC_KITTI
    if not set(names) <= set(table.names):
        return ()
    return tuple(table.colours[table.names.index(name)] for name in names)
