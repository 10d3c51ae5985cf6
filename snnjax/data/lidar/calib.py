"""Calibration and pose files: matrices by key, and one pose in a line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.text import read_bytes

SHAPES = {9: (3, 3), 12: (3, 4)}


def read_calib(path: str | Path, need: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The matrices of a calibration file by key, float64 [3, 3] or [3, 4].

    Args:
      path: lines `key: numbers`, row-major; 9 numbers or 12. Lines without a key are left out.
      need: keys that must be there.

    Raises:
      DataError: a key is missing or repeated, or a line does not hold 9 or 12 finite numbers.
    """
    found: dict[str, np.ndarray] = {}
    for number, line in _lines(path):
        key, colon, rest = line.partition(":")
        key = key.strip()
        if not colon:
            continue
        values = _numbers(rest, path, number)
        if key in found:
            raise DataError.at(path, f"has '{key}' twice", line=number, fix="keep one of them")
        if values.size not in SHAPES:
            problem = f"'{key}' has {values.size} numbers, not 9 or 12"
            raise DataError.at(path, problem, line=number, fix="copy the calibration again")
        found[key] = values.reshape(SHAPES[values.size])
    for key in need:
        if key not in found:
            problem = f"has no '{key}'; its keys are {', '.join(sorted(found)) or 'none'}"
            raise DataError.at(path, problem, fix=f"use the calibration that has a line '{key}: '")
    return found


def read_poses(path: str | Path, scans: int | None = None) -> np.ndarray:
    """The poses of camera 0 in the first frame, float64 [N, 4, 4].

    Args:
      path: 12 numbers in each line, a matrix [3, 4] row-major.
      scans: scans of the sequence, each of which must have a pose; None skips this check.

    Raises:
      DataError: a line does not hold 12 finite numbers, or there are fewer poses than scans.
    """
    poses = []
    for number, line in _lines(path):
        values = _numbers(line, path, number)
        if values.size != 12:
            problem = f"a pose has 12 numbers; found {values.size}"
            raise DataError.at(path, problem, line=number, fix="copy the poses again")
        poses.append(homogeneous(values.reshape(3, 4)))
    if scans is not None and len(poses) < scans:
        problem = f"holds {len(poses)} poses for {scans} scans"
        raise DataError.at(path, problem, fix="use the poses of this sequence")
    return np.array(poses).reshape(-1, 4, 4)


def lidar_poses(poses: np.ndarray, tr: np.ndarray) -> np.ndarray:
    """Poses of the LiDAR from those of the camera: Tr^-1 P Tr, float64 [N, 4, 4].

    Args:
      poses: of camera 0, [N, 4, 4]. tr: from the LiDAR to camera 0, [3, 4] (`Tr` of the file).
    """
    tr = homogeneous(tr)
    return np.linalg.inv(tr) @ poses @ tr


def homogeneous(matrix: np.ndarray) -> np.ndarray:
    """A matrix [3, 3] or [3, 4] completed to [4, 4]."""
    full = np.eye(4)
    full[:3, : matrix.shape[1]] = matrix
    return full


class Calibration(NamedTuple):
    """Calibration of a KITTI object frame.

    Attributes:
      p2: from rectified camera coordinates to the left colour image, [3, 4].
      rect: from the LiDAR to rectified camera coordinates, R0_rect Tr_velo_to_cam, [4, 4].
    """

    p2: np.ndarray
    rect: np.ndarray

    @property
    def camera(self) -> np.ndarray:
        """From the LiDAR to pixels, [3, 4]: (u w, v w, w) = camera (x, y, z, 1)."""
        return self.p2 @ self.rect

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the LiDAR in rectified camera coordinates."""
        return points @ self.rect[:3, :3].T + self.rect[:3, 3]

    def to_lidar(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] in rectified camera coordinates as the LiDAR sees them."""
        back = np.linalg.inv(self.rect)
        return points @ back[:3, :3].T + back[:3, 3]


def read_calibration(path: str | Path) -> Calibration:
    """The calibration of a KITTI object frame.

    Raises:
      DataError: a key is missing, or the matrices have the wrong size or cannot be inverted.
    """
    keys = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
    found = read_calib(path, tuple(keys))
    for key, shape in keys.items():
        if found[key].shape != shape:
            problem = f"'{key}' must be {list(shape)}; got {list(found[key].shape)}"
            raise DataError.at(path, problem, fix="copy the calibration again")
    rect = homogeneous(found["R0_rect"]) @ homogeneous(found["Tr_velo_to_cam"])
    if not abs(np.linalg.det(rect)) > 0.5:  # rotations have 1
        problem = "R0_rect and Tr_velo_to_cam are not rotations"
        raise DataError.at(path, problem, fix="copy the calibration again")
    return Calibration(found["P2"], rect)


def _lines(path: str | Path) -> list[tuple[int, str]]:
    text = read_bytes(Path(path)).decode("utf-8", errors="replace")
    return [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def _numbers(text: str, path: str | Path, line: int) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError as error:
        problem = f"holds something that is not a number ({error})"
        raise DataError.at(path, problem, line=line, fix="copy the file again") from error
    if not np.isfinite(values).all():
        raise DataError.at(path, "holds NaN or infinity", line=line, fix="copy the file again")
    return values
