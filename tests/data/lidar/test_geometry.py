"""Boxes: points inside, corners, overlap from above."""

from __future__ import annotations

import numpy as np

from snnjax.data.lidar import box_corners, points_in_box
from snnjax.data.lidar.geometry import overlap_from_above, wrap_angle


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    centre, yaw = rng.uniform(-4, 4, (count, 3)), rng.uniform(-4, 4, (count, 1))
    return np.concatenate([centre, rng.uniform(0.3, 4, (count, 3)), yaw], axis=1)


def test_points_made_in_a_box_are_in_it_and_those_beyond_its_faces_are_not() -> None:
    rng = np.random.default_rng(0)
    for box in random_boxes(rng, 20):
        local = rng.uniform(-1, 1, (200, 3))
        cos, sin = np.cos(box[6]), np.sin(box[6])
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        half = local * box[3:6] / 2
        assert points_in_box(0.999 * half @ turn + box[:3], box).all()
        axis = rng.integers(0, 3, 200)
        half[np.arange(200), axis] = 1.001 * np.sign(half[np.arange(200), axis]) * box[3 + axis] / 2
        assert not points_in_box(half @ turn + box[:3], box).any()


def test_corners_are_the_farthest_points_inside() -> None:
    boxes = random_boxes(np.random.default_rng(1), 10)
    for box, corners in zip(boxes, box_corners(boxes), strict=True):
        inner = box[:3] + 0.9999 * (corners - box[:3])
        outer = box[:3] + 1.0001 * (corners - box[:3])
        assert points_in_box(inner, box).all()
        assert not points_in_box(outer, box).any()
        assert (np.sort(corners[:, 2])[:4] == corners[:4, 2]).all()


def test_overlap_from_above_agrees_with_many_points() -> None:
    rng = np.random.default_rng(2)
    a, b = random_boxes(rng, 12), random_boxes(rng, 12)
    got = overlap_from_above(a, b)
    spread = rng.uniform(-0.5, 0.5, (20000, 2))
    spread = np.concatenate([spread, np.zeros((20000, 1))], axis=1)
    flat = b.copy()
    flat[:, [2, 5]] = (0, 1)
    for i, box in enumerate(a):
        cos, sin = np.cos(box[6]), np.sin(box[6])
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        inside = (spread * (*box[3:5], 0)) @ turn + (*box[:2], 0)
        shared = np.array([points_in_box(inside, other).mean() for other in flat])
        assert got[i][shared > 0].all()
        assert (shared[got[i]] > 0).mean() > 0.8  # a corner may hold none of the points
    np.testing.assert_array_equal(got, overlap_from_above(b, a).T)
    assert overlap_from_above(a[:0], b).shape == (0, 12)


def test_angles_are_wrapped_into_one_turn() -> None:
    angles = np.array([-np.pi, np.pi, 3 * np.pi - 0.1, -7.0, 0.5])
    got = wrap_angle(angles)
    assert (got >= -np.pi).all()
    assert (got < np.pi).all()
    np.testing.assert_allclose(np.exp(1j * got), np.exp(1j * angles), atol=1e-12)
