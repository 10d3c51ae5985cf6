"""Oriented boxes on the host: points inside, corners, overlap seen from above.

A box is (x, y, z, dx, dy, dz, yaw): centre, length, width, height in metres, and the heading,
counter-clockwise from +x, in the frame of the LiDAR (x forward, y left, z up).
"""

from __future__ import annotations

import numpy as np

_FACE = ((1, 1), (1, -1), (-1, -1), (-1, 1))
_SIGNS = np.array([(*corner, side) for side in (-1, 1) for corner in _FACE])


def wrap_angle(angle: np.ndarray) -> np.ndarray:
    """Angles in [-pi, pi), by `floor`: remainders of negative numbers differ between libraries."""
    return angle - 2 * np.pi * np.floor((angle + np.pi) / (2 * np.pi))


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """The corners of boxes [M, 7], float64 [M, 8, 3]: the bottom face, then the top face.

    >>> box_corners(np.array([[10.0, 0, 0, 4, 2, 1, 0]]))[0, 0].tolist()
    [12.0, 1.0, -0.5]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 7)
    local = _SIGNS * (boxes[:, None, 3:6] / 2)
    cos, sin = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    x, y, z = local[..., 0], local[..., 1], local[..., 2]
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], -1) + boxes[:, None, :3]


def points_in_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which points [P, >= 3] are in one box [7], faces included: bool [P]."""
    x, y, z, dx, dy, dz, yaw = np.asarray(box, np.float64)
    d = np.asarray(points[:, :3], np.float64) - (x, y, z)
    along = np.cos(yaw) * d[:, 0] + np.sin(yaw) * d[:, 1]
    across = np.cos(yaw) * d[:, 1] - np.sin(yaw) * d[:, 0]
    inside = (np.abs(along) <= dx / 2) & (np.abs(across) <= dy / 2)
    return inside & (np.abs(d[:, 2]) <= dz / 2)


def overlap_from_above(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which pairs of boxes [M, 7] and [N, 7] overlap seen from above: bool [M, N].

    Two rectangles are apart if a side of one of them separates all their corners. Rectangles that
    only touch do not overlap.

    >>> one = np.array([[0.0, 0, 0, 2, 2, 1, 0]])
    >>> far = np.array([[2.0, 0, 5, 2, 2, 1, 0], [2.0, 0, 0, 2, 2, 1, 0.7]])
    >>> overlap_from_above(one, far).tolist()
    [[False, True]]
    """
    a, b = np.asarray(a).reshape(-1, 7), np.asarray(b).reshape(-1, 7)
    corners_a, corners_b = box_corners(a)[:, :4, :2], box_corners(b)[:, :4, :2]
    apart = np.zeros((len(a), len(b)), bool)
    angles = [yaw + k * np.pi / 2 for yaw in (a[:, 6, None], b[None, :, 6]) for k in range(2)]
    for angle in angles:
        normal = np.stack(np.broadcast_arrays(np.cos(angle), np.sin(angle)), -1)
        normal = np.broadcast_to(normal, (len(a), len(b), 2))
        of_a = np.einsum("mcx,mnx->mnc", corners_a, normal)
        of_b = np.einsum("ncx,mnx->mnc", corners_b, normal)
        apart |= of_a.max(-1) <= of_b.min(-1) + 1e-9
        apart |= of_b.max(-1) <= of_a.min(-1) + 1e-9
    return ~apart
