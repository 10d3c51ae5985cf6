"""Geometry check values of real KITTI frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.boxes import corners, points_in_boxes
from tests.reference.kitti import lidar_boxes, read_frame


def test_boxes_of_real_frames(data_root: Path):
    folder = data_root / "lidar"
    if not folder.is_dir():
        pytest.skip(f"no frames in {folder}")
    points, camera, rigid, rows = read_frame(folder / "kitti_object_fov", "000134")
    car = lidar_boxes(rows, rigid)[0]
    golden = [12.98, 3.27, -0.80, 3.69, 1.78, 1.50, 0.0]
    np.testing.assert_allclose(car, golden, atol=6e-3)
    assert abs(int(points_in_boxes(points, car[None]).sum()) - 570) <= 1
    u, v, w = camera @ np.c_[corners(car), np.ones(8)].T
    extent = [(u / w).min(), (u / w).max(), (v / w).min(), (v / w).max()]
    # The published values divide by the depth, not by the third row of the camera matrix.
    np.testing.assert_allclose(extent, [333.4, 490.1, 177.5, 277.4], atol=0.2)
    points, _, rigid, rows = read_frame(folder / "kitti_object" / "training", "000000")
    person = lidar_boxes(rows, rigid, ("Pedestrian",))[0]
    np.testing.assert_allclose(person, [8.73, -1.86, -0.65, 1.20, 0.48, 1.89, -1.58], atol=6e-3)
    assert abs(int(points_in_boxes(points, person[None]).sum()) - 377) <= 1
