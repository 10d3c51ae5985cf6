"""Frames of the KITTI object set as plain rows, for the golden numbers of real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_frame(folder: Path, frame: str):
    """Points [P, 4], the camera matrix [3, 4] from LiDAR to image, and the label rows."""
    points = np.fromfile(folder / "velodyne" / f"{frame}.bin", np.float32).reshape(-1, 4)
    calib = {}
    for line in (folder / "calib" / f"{frame}.txt").read_text().splitlines():
        if ":" in line:
            name, numbers = line.split(":")
            calib[name] = np.array(numbers.split(), float)
    rectify, to_camera = np.eye(4), np.eye(4)
    rectify[:3, :3] = calib["R0_rect"].reshape(3, 3)
    to_camera[:3] = calib["Tr_velo_to_cam"].reshape(3, 4)
    rigid = rectify @ to_camera
    rows = [line.split() for line in (folder / "label_2" / f"{frame}.txt").read_text().splitlines()]
    return points, calib["P2"].reshape(3, 4) @ rigid, rigid, rows


def lidar_boxes(rows, rigid, kinds=("Car",)):
    """Boxes [M, 7] of some types in the LiDAR frame."""
    boxes = []
    for row in rows:
        if row[0] in kinds:
            h, w, l, x, y, z, turn = map(float, row[8:15])  # noqa: E741
            centre = (np.linalg.inv(rigid) @ [x, y, z, 1])[:3]
            boxes.append([*centre[:2], centre[2] + h / 2, l, w, h, -turn - np.pi / 2])
    return np.array(boxes).reshape(-1, 7)
