"""Generated scans as files of KITTI's object layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .classes import BOX_CLASSES

IMAGE = (1242, 375)  # width, height in pixels
P2 = np.array([[721.54, 0, 609.56, 44.86], [0, 721.54, 172.85, 0.22], [0, 0, 1, 0.0027]])
VELO_TO_CAM = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
NEAREST = 0.1  # depth at which boxes are clipped before they are projected


def write_frame(
    folder: Path,
    name: str,
    points: np.ndarray,
    boxes: np.ndarray,
    box_class: np.ndarray,
    visible: np.ndarray,
) -> None:
    """Write velodyne, label_2 and calib of one frame, and image_size.txt ("width height")."""
    for part in ("velodyne", "label_2", "calib"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    points.astype("<f4").tofile(folder / "velodyne" / f"{name}.bin")
    lines = [
        line
        for box, kind, share in zip(boxes, box_class, visible, strict=True)
        if (line := label_line(box, int(kind), float(share)))
    ]
    (folder / "label_2" / f"{name}.txt").write_text("".join(lines))
    (folder / "calib" / f"{name}.txt").write_text(calibration())
    (folder / "image_size.txt").write_text(f"{IMAGE[0]} {IMAGE[1]}\n")


def calibration() -> str:
    """The text of a calibration file; all four cameras are the second."""
    rows = {f"P{i}": P2 for i in range(4)}
    rows |= {"R0_rect": np.eye(3), "Tr_velo_to_cam": VELO_TO_CAM, "Tr_imu_to_velo": np.eye(3, 4)}
    return "".join(f"{k}: {' '.join(f'{v:.12e}' for v in m.ravel())}\n" for k, m in rows.items())


def label_line(box: np.ndarray, kind: int, visible: float) -> str:
    """The 15 columns of label_2 for one box; empty where the image does not show it.

    Camera coordinates are (-y, -z, x), the location is the centre of the bottom face, and
    rotation_y = -heading - pi/2.
    """
    seen = appearance(box, visible)
    if seen is None:
        return ""
    x, y, z, length, width, height, yaw = (float(v) for v in box)
    clipped, truncated, occluded = seen
    rotation = _wrap(-yaw - np.pi / 2)
    alpha = _wrap(rotation - np.arctan2(-y, x))
    numbers = [alpha, *clipped, height, width, length, -y, height / 2 - z, x, rotation]
    columns = " ".join(f"{v:.2f}" for v in numbers)
    return f"{BOX_CLASSES[kind]} {truncated:.2f} {occluded} {columns}\n"


def appearance(box: np.ndarray, visible: float) -> tuple[np.ndarray, float, int] | None:
    """How the image shows a box: x1, y1, x2, y2, the share outside, and the occlusion 0..3.

    Args:
      box: [7]. visible: share of its rays that nothing else stops.

    Returns:
      None where the image does not show it.
    """
    image = project(box)
    if image is None:
        return None
    clipped = np.clip(image, 0, np.array([*IMAGE, *IMAGE]) - 1.0)
    shown = _area(clipped)
    if shown <= 0:
        return None
    occluded = 0 if visible > 0.7 else 1 if visible > 0.35 else 2 if visible > 0.1 else 3
    return clipped, 1 - shown / _area(image), occluded


def project(box: np.ndarray) -> np.ndarray | None:
    """x1, y1, x2, y2 of a box in the image plane, not clipped to the image; None behind it."""
    x, y, z, length, width, height, yaw = box.astype(np.float64)
    signs = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, -1)
    u, v, w = signs * np.array([[length], [width], [height]])
    c, s = np.cos(yaw), np.sin(yaw)
    corners = np.stack([x + c * u - s * v, y + s * u + c * v, z + w, np.ones(8)])
    camera = VELO_TO_CAM @ corners
    if camera[2].max() <= NEAREST:
        return None
    camera[2] = np.maximum(camera[2], NEAREST)
    uvw = P2 @ np.vstack([camera, np.ones(8)])
    pixels = uvw[:2] / uvw[2]
    return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)])


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def _wrap(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
