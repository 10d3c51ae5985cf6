"""Calibrations by key and poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import lidar_poses, read_calib, read_calibration, read_poses

from .scenes import CALIB


@pytest.fixture
def write(tmp_path: Path):
    def writer(text: str) -> Path:
        (tmp_path / "calib.txt").write_text(text)
        return tmp_path / "calib.txt"

    return writer


def test_matrices_are_found_by_key_in_any_order(write) -> None:
    lines = CALIB.splitlines()
    found = read_calibration(write("\n\n".join(reversed(lines))))
    assert found.p2[0].tolist() == [700, 0, 600, 40]
    point = np.array([[10.0, 2, 1]])
    np.testing.assert_allclose(found.to_camera(point), [[-1.99, -1.06, 9.7]])
    np.testing.assert_allclose(found.to_lidar(found.to_camera(point)), point)
    u, v, w = found.camera @ [10, 2, 1, 1]
    np.testing.assert_allclose([u / w, v / w], [600 + (40 - 1393 - 3) / 9.705, 180 - 743.2 / 9.705])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("P2", "P9"), r"has no 'P2'; its keys are P0, P9, R0_rect, Tr_velo_to_cam"),
        (("P0", "P2"), r"line 2: has 'P2' twice"),
        (("P2: 700", "P2:"), "line 2: 'P2' has 11 numbers, not 9 or 12"),
        (("700", "x7"), "line 1: holds something that is not a number"),
        (("700", "nan"), "line 1: holds NaN"),
        (("R0_rect: 1 0 0 0 1 0 0 0 1", "R0_rect: 0 0 0 0 0 0 0 0 0"), "are not rotations"),
        (("R0_rect: 1 0 0", "R0_rect: 1 0 0 0 0 0"), r"'R0_rect' must be \[3, 3\]"),
    ],
)
def test_bad_calibrations_are_refused(write, change, message) -> None:
    path = write(CALIB.replace(*change))
    with pytest.raises(DataError, match=message) as error:
        read_calibration(path)
    assert str(error.value).startswith(str(path))
    assert "Fix:" in str(error.value)


def test_poses_of_the_lidar_follow_from_those_of_the_camera(write) -> None:
    tr = read_calib(write(CALIB.replace("Tr_velo_to_cam", "Tr")), ("Tr",))["Tr"]
    move = "1 0 0 0 0 1 0 0 0 0 1 2.5\n"  # the camera moves forward along its z
    poses = read_poses(write("1 0 0 0 0 1 0 0 0 0 1 0\n" + move), scans=2)
    got = lidar_poses(poses, tr)
    np.testing.assert_allclose(got[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(got[1][:3, 3], [2.5, 0, 0], atol=1e-12)  # which is the LiDAR's x
    with pytest.raises(DataError, match="holds 2 poses for 3 scans"):
        read_poses(write(move + move), scans=3)
    with pytest.raises(DataError, match="line 2: a pose has 12 numbers; found 1"):
        read_poses(write(move + "7\n"))
