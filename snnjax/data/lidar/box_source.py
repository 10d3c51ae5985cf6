"""Frames of KITTI with boxes as a source of training for detection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from snnjax.data.checks import at_least_one
from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.source import Batch, Dataset, Sample
from snnjax.data.text import check_lists, read_names

from .augment import LidarAugment, move_boxes, move_points
from .binary import check_scan, read_points
from .calib import Calibration, homogeneous, read_calibration
from .grid import LidarGrid
from .kitti import (
    IMAGE_SIZE,
    TYPES,
    class_numbers,
    difficulty,
    in_image,
    read_image_size,
    read_objects,
    to_boxes,
)
from .paste import ObjectStore, paste
from .voxel_source import VoxelSource, pad

log = logging.getLogger(__name__)
GRID = LidarGrid((0.0, -40.0, -3.0), (70.4, 40.0, 1.0), (0.05, 0.05, 0.1), (41, 1600, 1408))


@dataclass(frozen=True)
class BoxFrame:
    """A frame: its points on disk, and its objects, without those of type DontCare.

    Attributes:
      path: the points. calib: its calibration. image_size: width and height.
      boxes: float64 [M, 7]. kind: class of each, int32 [M], -1 for other types.
      ignore: class whose detections on the object are no errors, int32 [M], or -1.
      level: difficulty of each, int32 [M], 3 for none.
      has_image: whether the size is that of an image.
    """

    path: Path
    calib: Calibration
    image_size: tuple[int, int]
    boxes: np.ndarray
    kind: np.ndarray
    ignore: np.ndarray
    level: np.ndarray
    has_image: bool

    def points(self, in_view: bool) -> np.ndarray:
        """x, y, z and reflectance; only what the camera sees, if `in_view`."""
        points = read_points(self.path)
        return points[in_image(points, self.calib, self.image_size)] if in_view else points


class Frame(Protocol):
    """What a frame gives: a file, or a scan that is generated. See `BoxFrame`."""

    @property
    def path(self) -> Path: ...
    @property
    def calib(self) -> Calibration: ...
    @property
    def image_size(self) -> tuple[int, int]: ...
    @property
    def boxes(self) -> np.ndarray: ...
    @property
    def kind(self) -> np.ndarray: ...
    @property
    def ignore(self) -> np.ndarray: ...
    @property
    def level(self) -> np.ndarray: ...
    @property
    def has_image(self) -> bool: ...
    def points(self, in_view: bool) -> np.ndarray: ...


class BoxSet:
    """Frames of one split.

    Args:
      frames: the frames. class_names: the classes to find. in_view: use what the camera sees.
      store: objects to paste in training, or None. count: candidates of each sample.
      skipped: frames left out because they are bad.
    """

    sample_shape = None
    in_channels = 4

    def __init__(
        self,
        frames: Sequence[Frame],
        class_names: tuple[str, ...],
        *,
        in_view: bool,
        store: ObjectStore | None = None,
        count: int = 0,
        skipped: int = 0,
    ):
        self.frames, self.class_names, self.in_view = list(frames), class_names, in_view
        self.store, self.count, self.skipped = store, count, skipped

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, i: int) -> str:
        return str(self.frames[i].path)

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """Frame i: `points`, `boxes`, `box_class`, `box_ignore`, `box_level`, `camera`, ...

        With `rng`, objects of the store are pasted into it.
        """
        frame = self.frames[i]
        points, boxes = frame.points(self.in_view), frame.boxes
        kind, ignore, level = frame.kind, frame.ignore, frame.level
        if rng is not None and self.store is not None:
            chosen = self.store.draw(boxes, self.count, rng)
            points = paste(points, self.store, chosen)
            boxes = np.concatenate([boxes, self.store.boxes[chosen]])
            kind = np.concatenate([kind, self.store.kind[chosen]])
            ignore = np.concatenate([ignore, np.full(len(chosen), -1, np.int32)])
            level = np.concatenate([level, self.store.level[chosen]])
        return {
            "points": points,
            "boxes": boxes,
            "box_class": kind,
            "box_ignore": ignore,
            "box_level": level,
            "camera": frame.calib.camera,
            "image_size": np.array(frame.image_size, np.int32),
            "name": self.name(i),
        }


@dataclass(frozen=True)
class LidarBoxSource(VoxelSource):
    """Frames of the KITTI object set as voxels with boxes.

    The folder holds `training/velodyne`, `calib` and `label_2`, and `ImageSets/train.txt` and
    `val.txt` (or `test.txt`) with the frames of the splits; `training/image_2` gives the sizes of
    images. The package docstring lists the arrays of a batch.
    """

    grid: LidarGrid = GRID
    voxels: int = 40000
    mean_of: int | None = 5
    class_names: tuple[str, ...] = ("Car",)
    """Types of objects to find. Van counts as no error for Car, Person_sitting for Pedestrian."""
    boxes: int = 64
    """Objects of a sample, at most; pasted ones included."""
    in_view: bool = True
    """Leave out points that the camera does not see: objects there have no labels."""
    augment: LidarAugment = field(default_factory=LidarAugment)
    """Random changes of the training frames; boxes follow."""
    paste: int = 0
    """Objects of other training frames that are pasted into a frame, as far as they find room."""
    paste_points: int = 5
    """Points that an object needs to be pasted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("boxes", "paste_points"):
            at_least_one(f"data.{name}", getattr(self, name))
        if self.paste < 0:
            raise ValueError(f"data.paste must be at least 0; got {self.paste}.")
        known = [name for name in TYPES if name != "DontCare"]
        names = self.class_names
        if not names or len(set(names)) < len(names) or not set(names) <= set(known):
            raise ValueError(
                f"data.class_names must be different types among {', '.join(known)}; got {names}."
            )

    @classmethod
    def kitti(cls, folder: str = "", **options: Any) -> LidarBoxSource:
        """KITTI with the changes of the Voxel R-CNN recipe: 15 pasted objects, turns, scales."""
        return cls(folder, **({"augment": LidarAugment.detection(), "paste": 15} | options))

    def open(self, split: str) -> BoxSet:
        """The frames of a split. Labels and calibrations are read now, points when they are used.

        Training frames without an object of the classes are left out.

        Raises:
          DataError: the layout is not there, or a frame is bad (all are, with skip_bad).
        """
        size = self.size(split)
        root = Path(self.path).expanduser()
        names = list_frames(root, split)
        names = [names[i] for i in spread(len(names), size)]
        frames, skipped = [], 0
        for name in names:
            try:
                frames.append(read_frame(root / "training", name, self.class_names))
                if self.skip_bad:
                    frames[-1].points(self.in_view)
            except DataError as error:
                if not self.skip_bad:
                    raise
                log.warning("skipped: %s", error)
                skipped += 1
        if split == "train":
            frames = [frame for frame in frames if (frame.kind >= 0).any()]
        if not frames:
            problem = f"none of {len(names)} {split} frames can be used for {self.class_names}"
            raise DataError.at(root, problem, fix="see the log, or set data.class_names")
        return self.frame_set(frames, split, skipped=skipped)

    def frame_set(self, frames: Sequence[Frame], split: str, *, skipped: int = 0) -> BoxSet:
        """These frames as a split; objects to paste in training are collected now."""
        store = None
        if split == "train" and self.paste:
            contents = ((f.points(self.in_view), f.boxes, f.kind, f.level) for f in frames)
            store = ObjectStore.of(contents, self.paste_points)
        return BoxSet(
            frames,
            self.class_names,
            in_view=self.in_view,
            store=store,
            count=self.paste,
            skipped=skipped,
        )

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """The arrays of the package docstring; those of voxels and image only without labels."""
        moved = [
            sample if rngs is None else self._changed(sample, rngs[b])
            for b, sample in enumerate(samples)
        ]
        voxels = [
            self.voxelise(sample["points"], rngs[b] if rngs else None, sample["name"])
            for b, sample in enumerate(moved)
        ]
        batch = self.stack_voxels(voxels)
        if "camera" in moved[0]:
            batch["camera"] = np.stack([s["camera"] for s in moved]).astype(np.float32)
            batch["image_size"] = np.stack([s["image_size"] for s in moved])
        if "boxes" in moved[0]:
            for sample in moved:
                self._check_room(sample)
            stacked = [pad(s["boxes"].astype(np.float32), self.boxes, 0) for s in moved]
            batch["boxes"] = np.stack(stacked)
            for name, value in (("box_class", -1), ("box_ignore", -1), ("box_level", 3)):
                rows = [pad(s[name].astype(np.int32), self.boxes, value) for s in moved]
                batch[name] = np.stack(rows)
        return batch

    def read(self, path: str | Path) -> Sample:
        """A scan file without labels; with its calibration, if `../calib` has it."""
        path = Path(path)
        calib = path.parent.parent / "calib" / f"{path.stem}.txt"
        points = read_points(path)
        if not calib.is_file():
            return {"points": points, "name": str(path)}
        found, size = read_calibration(calib), _image_size(path.parent.parent, path.stem)
        size = size or IMAGE_SIZE
        if self.in_view:
            points = points[in_image(points, found, size)]
        sizes = np.array(size, np.int32)
        return {
            "points": points,
            "camera": found.camera,
            "calibration": found,
            "image_size": sizes,
            "name": str(path),
        }

    def notices(self, *splits: Dataset) -> list[str]:
        """A notice about frames without an image."""
        frames = [frame for split in splits if isinstance(split, BoxSet) for frame in split.frames]
        without = sum(not frame.has_image for frame in frames)
        if not without:
            return []
        width, height = IMAGE_SIZE
        return [
            f"{without} of {len(frames)} frames have no image in training/image_2; {width} x "
            f"{height} pixels are assumed to decide what the camera sees."
        ]

    def _changed(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A training sample after its random changes; boxes that leave the grid are dropped."""
        matrix = self.augment.matrix(rng)
        points, _ = self.augment.scatter(move_points(sample["points"], matrix), rng)
        boxes = move_boxes(sample["boxes"], matrix)
        low, high = np.array(self.grid.low[:2]), np.array(self.grid.high[:2])
        keep = ((boxes[:, :2] >= low) & (boxes[:, :2] < high)).all(axis=1)
        rows = {name: sample[name][keep] for name in ("box_class", "box_ignore", "box_level")}
        camera = sample["camera"] @ np.linalg.inv(homogeneous(matrix))
        return {**sample, **rows, "points": points, "boxes": boxes[keep], "camera": camera}

    def _check_room(self, sample: Sample) -> None:
        if len(sample["boxes"]) > self.boxes:
            count = len(sample["boxes"])
            problem = f"has {count} objects, but data.boxes allows {self.boxes}"
            raise DataError.at(sample["name"], problem, fix=f"raise it to at least {count}")


def list_frames(root: Path, split: str) -> list[str]:
    """The names of the frames of a split, such as "000134".

    Raises:
      DataError: a list is missing, names a frame twice, or one that both splits have.
    """
    lists = {"train": [root / "ImageSets" / "train.txt"]}
    lists["test"] = [root / "ImageSets" / name for name in ("val.txt", "test.txt")]
    found = {s: next((p for p in paths if p.is_file()), None) for s, paths in lists.items()}
    path = found[split]
    if path is None:
        problem = f"has no list of the {split} frames"
        fix = f"write their names, one a line, to {lists[split][0]}"
        raise DataError.at(root, problem, fix=fix)
    rows = {p: read_names(p) for p in found.values() if p is not None}
    check_lists(rows)
    if not rows[path]:
        raise DataError.at(path, "names no frames", fix="write one name in a line")
    return [name for _, name in rows[path]]


def read_frame(folder: Path, name: str, class_names: tuple[str, ...]) -> BoxFrame:
    """A frame of a folder with `velodyne`, `calib` and `label_2`.

    Raises:
      DataError: a file is missing or bad.
    """
    path = folder / "velodyne" / f"{name}.bin"
    check_scan(path, 4)
    objects = read_objects(folder / "label_2" / f"{name}.txt")
    calib_path = folder / "calib" / f"{name}.txt"
    if not calib_path.is_file():
        problem = f"is missing, so the labels of {name} have no place in the scan"
        raise DataError.at(calib_path, problem, fix="add the calibration of the frame")
    calib = read_calibration(calib_path)
    objects = objects.take(objects.kind != "DontCare")
    kind, ignore = class_numbers(objects.kind.tolist(), class_names)
    return BoxFrame(
        path,
        calib,
        _image_size(folder, name) or IMAGE_SIZE,
        to_boxes(objects, calib),
        kind,
        ignore,
        difficulty(objects),
        _image_size(folder, name) is not None,
    )


def _image_size(folder: Path, name: str) -> tuple[int, int] | None:
    """Width and height of a frame's image, None if it is not there."""
    path = folder / "image_2" / f"{name}.png"
    return read_image_size(path) if path.is_file() else None
