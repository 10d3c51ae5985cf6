"""Rotation matrices for row vectors: x' = x R."""

from __future__ import annotations

import numpy as np


def uniform_rotations(q: np.ndarray) -> np.ndarray:
    """Uniformly random rotations of SO(3) from uniform numbers (Shoemake, 1992).

    Args:
      q: [B, 3], uniform in [0, 1).

    Returns:
      float32 [B, 3, 3].
    """
    a, b = np.sqrt(1 - q[:, 0]), np.sqrt(q[:, 0])
    s, t = 2 * np.pi * q[:, 1], 2 * np.pi * q[:, 2]
    x, y, z, w = a * np.sin(s), a * np.cos(s), b * np.sin(t), b * np.cos(t)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)


def about_axis(angle: np.ndarray, axis: int) -> np.ndarray:
    """Rotations by `angle` (radians, [B]) about a coordinate axis, float32 [B, 3, 3].

    >>> about_axis(np.array([np.pi / 2]), 2)[0].round().tolist()  # x turns into y
    [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((len(angle), 3, 3), np.float32)
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, i, j], out[:, j, i] = np.sin(angle), -np.sin(angle)
    return out
