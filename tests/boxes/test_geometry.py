"""Corners, frames of boxes, points inside, nearest rectangles."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import corners, nearest_rectangle, points_in_boxes, to_box, to_world, wrap
from tests.reference.boxes import rectangle


def some_boxes(n, seed=0):
    rng = np.random.default_rng(seed)
    low, high = (-30, -30, -2, 0.5, 0.5, 0.5, -9), (30, 30, 1, 5, 3, 2, 9)
    return rng.uniform(low, high, (n, 7))


@pytest.mark.parametrize("xp", [np, jnp])
def test_corners_are_those_of_the_rectangle_at_bottom_and_top(xp):
    for box in some_boxes(5):
        found = np.asarray(corners(xp.asarray(box)))
        assert isinstance(corners(xp.asarray(box)), np.ndarray) == (xp is np)
        expected = np.array(rectangle(box))[[0, 3, 2, 1]]
        for face, sign in ((found[:4], -1), (found[4:], 1)):
            np.testing.assert_allclose(face[:, :2], expected, atol=1e-5)
            np.testing.assert_allclose(face[:, 2], box[2] + sign * box[5] / 2, atol=1e-6)


def test_the_frame_of_a_box_and_back():
    boxes, points = some_boxes(4), np.random.default_rng(1).normal(size=(6, 1, 3))
    np.testing.assert_allclose(to_world(to_box(points, boxes), boxes) - points, 0, atol=1e-12)
    own = to_box(corners(boxes), boxes[:, None])
    np.testing.assert_allclose(np.abs(own), np.broadcast_to(boxes[:, None, 3:6] / 2, own.shape))


def test_points_in_boxes_counts_faces_and_margin():
    box = np.array([[1.0, 2.0, 3.0, 4.0, 2.0, 1.0, np.pi / 2]])
    points = np.array([[1, 4, 3, 9], [1, 4.001, 3, 9], [2, 2, 3.5, 9], [2.2, 2, 3, 9]], float)
    assert points_in_boxes(points, box, margin=1e-9).tolist() == [[True, False, True, False]]
    assert points_in_boxes(points, box, margin=0.01).tolist() == [[True, True, True, False]]
    assert points_in_boxes(jnp.asarray(points)[None], jnp.asarray(box)[None]).shape == (1, 1, 4)


def test_angles_wrap_by_floor():
    angles = np.array([-np.pi, np.pi, 3.5, -3.5, 100.0])
    found = wrap(angles)
    assert ((found >= -np.pi) & (found < np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * angles), atol=1e-12)
    assert wrap(np.float64(-0.1), np.pi, 0.0) == pytest.approx(np.pi - 0.1)


def test_the_nearest_rectangle_exchanges_sides_from_45_degrees_on():
    yaw = np.array([0, 0.78, 0.79, 1.57, -0.79, 2.35, 2.36, 3.1, -2.4])
    boxes = np.array([[0, 0, 0, 4, 2, 1, a] for a in yaw])
    across = nearest_rectangle(boxes)[:, 3] == 4
    assert across.tolist() == [False, False, True, True, True, True, False, False, False]


def test_arrays_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"must be an array \[..., 7\].*got \(3, 6\)"):
        corners(np.zeros((3, 6)))
