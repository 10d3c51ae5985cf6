"""nuScenes: its tables, key frames of the LiDAR, point labels, and boxes in the LiDAR's frame."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.text import read_names

from .geometry import wrap_angle
from .scans import FileScan

COLUMNS, BRIGHTEST = 5, 255.0
MINI = {
    "train": (
        *("scene-0061", "scene-0553", "scene-0655", "scene-0757"),
        *("scene-0796", "scene-1077", "scene-1094", "scene-1100"),
    ),
    "test": ("scene-0103", "scene-0916"),
}
"""The scenes of the splits of v1.0-mini."""

DETECTION = {
    "car": ("vehicle.car",),
    "truck": ("vehicle.truck",),
    "construction_vehicle": ("vehicle.construction",),
    "bus": ("vehicle.bus.bendy", "vehicle.bus.rigid"),
    "trailer": ("vehicle.trailer",),
    "barrier": ("movable_object.barrier",),
    "motorcycle": ("vehicle.motorcycle",),
    "bicycle": ("vehicle.bicycle",),
    "pedestrian": (
        "human.pedestrian.adult",
        "human.pedestrian.child",
        "human.pedestrian.construction_worker",
        "human.pedestrian.police_officer",
    ),
    "traffic_cone": ("movable_object.trafficcone",),
}
"""The ten classes of the detection task, and the categories of each."""


class Frame(NamedTuple):
    """A key frame of the LiDAR.

    Attributes:
      token: of its `sample_data`. sample: token of its `sample`. path: the points.
      to_global: from the LiDAR to the map, float64 [4, 4].
    """

    token: str
    sample: str
    path: Path
    to_global: np.ndarray


class Tables:
    """The tables of one version of the data set.

    Args:
      folder: with a folder such as `v1.0-mini`, and `samples/LIDAR_TOP`.

    Raises:
      DataError: there is no version or more than one, or a table is missing or damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        versions = [p for p in sorted(self.folder.glob("v1.0-*")) if (p / "sample.json").is_file()]
        if len(versions) != 1:
            names = ", ".join(p.name for p in versions) or "none"
            problem = f"needs one folder v1.0-* with the tables; found {names}"
            raise DataError.at(self.folder, problem, fix="give the folder of one version")
        self.version = versions[0]

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        path = self.version / f"{name}.json"
        try:
            rows = json.loads(path.read_bytes())
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise DataError.at(path, problem, fix="unpack this table too") from error
        except (ValueError, RecursionError) as error:
            problem = f"is not valid JSON ({error})"
            raise DataError.at(path, problem, fix="copy it again") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError.at(path, "is not a list of records", fix="copy the table again")
        return rows

    def by_token(self, name: str) -> dict[str, dict[str, Any]]:
        """The rows of a table by token."""
        return {self.get(row, "token", name): row for row in self.table(name)}

    def get(self, row: dict[str, Any], field: str, table: str) -> Any:
        """A field of a record."""
        if field not in row:
            path = self.version / f"{table}.json"
            problem = f"the record {row.get('token', '?')} has no '{field}'"
            raise DataError.at(path, problem, fix="copy the table again")
        return row[field]

    def frames(self, split: str) -> list[Frame]:
        """The key frames of the LiDAR in the scenes of a split, in the order of the table."""
        wanted = self._scenes(split)
        scenes = {row["token"]: self.get(row, "name", "scene") for row in self.table("scene")}
        inside = {
            row["token"]
            for row in self.table("sample")
            if scenes.get(self.get(row, "scene_token", "sample")) in wanted
        }
        found = []
        for row in self.table("sample_data"):
            name, sample = (self.get(row, f, "sample_data") for f in ("filename", "sample_token"))
            if row.get("is_key_frame") and "LIDAR_TOP" in name and sample in inside:
                sensor = _row(self._sensors, row, "calibrated_sensor_token", self.version)
                pose = _row(self._poses, row, "ego_pose_token", self.version)
                path = self.folder / name
                if self.folder.resolve() not in path.resolve().parents:
                    problem = f"names a file outside the data set: {name}"
                    raise DataError.at(self.version / "sample_data.json", problem)
                motion = rigid(pose, self.version) @ rigid(sensor, self.version)
                found.append(Frame(row["token"], sample, path, motion))
        if not found:
            problem = f"has no key frames of the {split} scenes {', '.join(sorted(wanted)[:5])}"
            fix = f"list the names of your scenes, one a line, in {self.folder / 'splits'}/{split}"
            raise DataError.at(self.version, problem, fix=fix + ".txt")
        return found

    def boxes(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """The boxes of a frame in the LiDAR's frame, float64 [M, 7], and their categories [M]."""
        back = np.linalg.inv(frame.to_global)
        boxes, kinds = [], []
        for row in self._annotations.get(frame.sample, []):
            motion = back @ rigid(row, self.version)
            width, length, height = self.get(row, "size", "sample_annotation")
            if not min(width, length, height) > 0:
                problem = f"the box {row.get('token', '?')} has the size {row['size']}"
                path = self.version / "sample_annotation.json"
                raise DataError.at(path, problem, fix="remove it or give it a size")
            yaw = wrap_angle(np.arctan2(motion[1, 0], motion[0, 0]))
            boxes.append([*motion[:3, 3], length, width, height, yaw])
            kinds.append(self._category(row))
        return np.array(boxes, np.float64).reshape(-1, 7), np.array(kinds, "U64")

    def _category(self, row: dict[str, Any]) -> str:
        instance = _row(self._instances, row, "instance_token", self.version)
        return str(_row(self._categories, instance, "category_token", self.version)["name"])

    @cached_property
    def _sensors(self) -> dict[str, dict[str, Any]]:
        return self.by_token("calibrated_sensor")

    @cached_property
    def _poses(self) -> dict[str, dict[str, Any]]:
        return self.by_token("ego_pose")

    @cached_property
    def _instances(self) -> dict[str, dict[str, Any]]:
        return self.by_token("instance")

    @cached_property
    def _categories(self) -> dict[str, dict[str, Any]]:
        return self.by_token("category")

    @cached_property
    def _annotations(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.table("sample_annotation"):
            key = self.get(row, "sample_token", "sample_annotation")
            found.setdefault(key, []).append(row)
        return found

    def _scenes(self, split: str) -> set[str]:
        """Names of the scenes of a split: those of `splits/NAME.txt`, or of v1.0-mini."""
        listed = self.folder / "splits" / f"{split}.txt"
        if listed.is_file():
            return {name for _, name in read_names(listed)}
        if self.version.name == "v1.0-mini":
            return set(MINI[split])
        problem = f"needs the names of the {split} scenes"
        fix = f"list them, one a line, in {listed}"
        raise DataError.at(self.folder, problem, fix=fix)


def list_scans(folder: str | Path, split: str) -> list[FileScan]:
    """The key frames of a split with their point labels.

    Raises:
      DataError: a table is missing or damaged, or a frame has no labels.
    """
    tables = Tables(folder)
    labels = {}
    for row in tables.table("lidarseg"):
        key, name = (tables.get(row, f, "lidarseg") for f in ("sample_data_token", "filename"))
        labels[key] = name
    scans = []
    for frame in tables.frames(split):
        if frame.token not in labels:
            problem = f"has no labels of the frame {frame.token}"
            path = tables.version / "lidarseg.json"
            raise DataError.at(path, problem, fix="unpack nuScenes-lidarseg of this version")
        where = tables.folder / labels[frame.token]
        scans.append(FileScan(frame.path, where, COLUMNS, BRIGHTEST, bytes_per_label=1))
    return scans


def rigid(row: dict[str, Any], place: Path) -> np.ndarray:
    """The motion of a record with `translation` and `rotation` (w, x, y, z), float64 [4, 4].

    >>> turn = {"translation": [1, 2, 3], "rotation": [0.5**0.5, 0, 0, 0.5**0.5]}
    >>> (rigid(turn, Path())[:3].round(6) + 0.0).tolist()
    [[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0]]
    """
    try:
        t = np.array(row["translation"], np.float64).reshape(3)
        q = np.array(row["rotation"], np.float64).reshape(4)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"a record needs `translation` [3] and `rotation` [4] ({error})"
        raise DataError.at(place, problem, fix="copy the tables again") from error
    norm = float(np.linalg.norm(q))
    if not (np.isfinite(t).all() and 0.5 < norm < 2):
        found = f"{t.tolist()}, {q.tolist()}"
        problem = f"the record {row.get('token', '?')} has no valid pose: {found}"
        raise DataError.at(place, problem, fix="copy the tables again")
    w, x, y, z = q / norm
    motion = np.eye(4)
    motion[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    motion[:3, 3] = t
    return motion


def _row(
    table: dict[str, dict[str, Any]], row: dict[str, Any], field: str, place: Path
) -> dict[str, Any]:
    """The record that a field refers to."""
    if row.get(field) not in table:
        problem = f"the record {row.get('token', '?')} has a {field} that no table holds"
        raise DataError.at(place, problem, fix="use tables of one version")
    return table[row[field]]
