"""Many scans in one .npz file: arrays of all points, one scan after the other, and offsets.

Two kinds of files are recognised by their arrays:

- voxels of SemanticKITTI: `x`, `y`, `z` integers in units of 0.1 m, `reflectance` uint8,
  `label` uint8 (0 ignored, 1..19), `offset`, and `sequence` and `frame` for names. A voxel
  becomes a point at its centre.
- sweeps of nuScenes: `x`, `y`, `z` in 1/256 m, `intensity` uint8, `label` uint8 (0..9, 10
  ignored), `offset`.

Files are `voxels_train.npz` or `train.npz`, and `voxels_val.npz`, `val.npz` or `test.npz`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npz
from snnjax.data.errors import DataError

from .classes import PACKED_KITTI, PACKED_NUSCENES, ClassMap

FILES = {
    "train": ("voxels_train.npz", "train.npz"),
    "test": ("voxels_val.npz", "val.npz", "voxels_test.npz", "test.npz"),
}
_BRIGHTNESS = ("reflectance", "intensity")


@dataclass(frozen=True)
class PackedScan:
    """One scan of a packed file: its name, its points [P, 4], and raw labels int [P]."""

    name: str
    stored: np.ndarray
    raw: np.ndarray
    path: Path

    def points(self) -> np.ndarray:
        return self.stored

    def label(self, classes: ClassMap) -> np.ndarray:
        return classes.to_classes(self.raw, f"{self.path}, {self.name}")

    def check(self) -> None:
        """The arrays were checked when the file was opened."""


def find_packed(folder: str | Path, split: str) -> Path:
    """The packed file of a split.

    Raises:
      DataError: there is none.
    """
    folder = Path(folder).expanduser()
    for name in FILES[split]:
        if (folder / name).is_file():
            return folder / name
    problem = f"has no packed {split} split; it would be called {' or '.join(FILES[split])}"
    raise DataError.at(folder, problem, fix="check data.path and data.layout")


def read_packed(path: str | Path) -> tuple[list[PackedScan], ClassMap]:
    """The scans of a packed file and their table of classes.

    Raises:
      DataError: an array is missing, has the wrong type or length, or offsets do not rise.
    """
    path = Path(path)
    arrays = read_npz(path)
    kind = [name for name in _BRIGHTNESS if name in arrays]
    if len(kind) != 1:
        problem = f"needs an array 'reflectance' or 'intensity'; found {sorted(arrays)}"
        raise DataError.at(path, problem, fix="see snnjax.data.lidar.packed for what is understood")
    total = _check(arrays, kind[0], path)
    offset = _offset(arrays, path, total)
    xyz = np.stack([arrays[name].astype(np.float64) for name in "xyz"], axis=1)
    kitti = kind[0] == "reflectance"
    xyz = (xyz + 0.5) * 0.1 if kitti else xyz / 256
    bright = arrays[kind[0]].astype(np.float64)[:, None] / 255
    points = np.concatenate([xyz, bright], axis=1).astype(np.float32)
    raw = arrays["label"].astype(np.int64)
    scans = [
        PackedScan(name, points[a:b], raw[a:b], path)
        for name, a, b in zip(_names(arrays, path), offset[:-1], offset[1:], strict=True)
    ]
    return scans, PACKED_KITTI if kitti else PACKED_NUSCENES


def _check(arrays: dict[str, np.ndarray], brightness: str, path: Path) -> int:
    """Raise unless all arrays of points are integers of one length; the length."""
    length = None
    for name in ("x", "y", "z", brightness, "label"):
        array = arrays.get(name)
        if array is None or array.ndim != 1 or array.dtype.kind not in "iu":
            found = "it is missing" if array is None else f"got {array.dtype} {array.shape}"
            problem = f"`{name}` must be integers [M]; {found}"
            raise DataError.at(path, problem, fix="pack one integer for each point")
        length = len(array) if length is None else length
        if len(array) != length:
            problem = f"`{name}` has {len(array)} entries, `x` has {length}"
            raise DataError.at(path, problem, fix="pack one entry for each point")
    label = arrays["label"]
    if len(label) and not (label.min() >= 0 and label.max() < 1 << 16):
        problem = f"`label` goes from {label.min()} to {label.max()}"
        raise DataError.at(path, problem, fix="pack raw classes in 0..65535")
    bright = arrays[brightness]
    if len(bright) and not (bright.min() >= 0 and bright.max() <= 255):
        problem = f"`{brightness}` goes from {bright.min()} to {bright.max()}"
        raise DataError.at(path, problem, fix="pack it in 0..255")
    return len(arrays["x"])


def _offset(arrays: dict[str, np.ndarray], path: Path, total: int) -> np.ndarray:
    offset = arrays.get("offset")
    if offset is None or offset.ndim != 1 or offset.dtype.kind not in "iu" or len(offset) < 2:
        found = "it is missing" if offset is None else f"got {offset.dtype} {offset.shape}"
        problem = f"`offset` must be integers [N + 1] with N >= 1; {found}"
        raise DataError.at(path, problem, fix="save the running sum of the scan sizes")
    ends = offset.astype(np.int64)
    if ends[0] != 0 or ends[-1] != total or (np.diff(ends) <= 0).any():
        problem = f"`offset` must rise from 0 to {total} without empty scans"
        raise DataError.at(path, problem, fix="save the running sum of the scan sizes")
    return ends


def _names(arrays: dict[str, np.ndarray], path: Path) -> list[str]:
    count = len(arrays["offset"]) - 1
    sequence, frame = arrays.get("sequence"), arrays.get("frame")
    if sequence is not None and frame is not None:
        if sequence.shape != (count,) or frame.shape != (count,):
            problem = f"`sequence` and `frame` must be integers [{count}]"
            raise DataError.at(path, problem, fix="pack one entry for each scan")
        return [f"{int(s):02}/{int(f):06}" for s, f in zip(sequence, frame, strict=True)]
    return [f"scan {i}" for i in range(count)]
