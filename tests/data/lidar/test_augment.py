"""Random changes keep points inside their boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnjax.data.lidar import LidarAugment, move_boxes, move_points, points_in_box

from .test_geometry import random_boxes

ALL = LidarAugment(180.0, 1.0, (0.5, 2.0), 0.5, 0.5)


@pytest.mark.parametrize("seed", range(12))
def test_the_points_in_a_box_are_those_in_the_moved_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-6, 6, (40000, 4)).astype(np.float32)
    boxes = random_boxes(rng, 6)
    matrix = ALL.matrix(rng)
    moved, moved_boxes = move_points(points, matrix), move_boxes(boxes, matrix)
    np.testing.assert_array_equal(moved[:, 3], points[:, 3])
    assert (np.abs(moved_boxes[:, 6]) <= np.pi).all()
    for box, new in zip(boxes, moved_boxes, strict=True):
        before, after = points_in_box(points, box), points_in_box(moved, new)
        larger = box.copy()
        larger[3:6] += 1e-4
        smaller = box.copy()
        smaller[3:6] -= 1e-4
        sure = points_in_box(points, larger) == points_in_box(points, smaller)  # not on a face
        np.testing.assert_array_equal(before[sure], after[sure])
        assert before.any()


def test_headings_follow_flips() -> None:
    box = np.array([[1.0, 2, 3, 4, 2, 1, 0.3]])
    flipped = move_boxes(box, np.diag([-1.0, 1, 1]))
    np.testing.assert_allclose(flipped, [[-1, 2, 3, 4, 2, 1, np.pi - 0.3]])
    turned = move_boxes(box, np.array([[0.0, -2, 0], [2, 0, 0], [0, 0, 2]]))
    np.testing.assert_allclose(turned, [[-4, 2, 6, 8, 4, 2, np.pi / 2 + 0.3]])


def test_each_change_stays_in_its_range() -> None:
    matrices = [ALL.matrix(np.random.default_rng(k)) for k in range(400)]
    scales = np.array([np.cbrt(abs(np.linalg.det(m))) for m in matrices])
    assert 0.5 <= scales.min() < 0.55
    assert 1.9 < scales.max() <= 2
    assert 0.4 < np.mean([np.linalg.det(m) < 0 for m in matrices]) < 0.6
    some = LidarAugment(30.0, 0.5)
    angles = [np.arctan2(*some.matrix(np.random.default_rng(k))[[1, 0], 0]) for k in range(400)]
    assert 25 < np.rad2deg(np.max(np.abs(angles))) <= 30
    assert 0.4 < np.mean(np.array(angles) == 0) < 0.6
    np.testing.assert_array_equal(LidarAugment().matrix(np.random.default_rng(0)), np.eye(3))


def test_jitter_is_limited_and_drops_keep_the_order() -> None:
    points = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    before = points.copy()
    moved, index = LidarAugment(jitter=0.02, jitter_limit=0.03).scatter(
        points, np.random.default_rng(1)
    )
    change = np.abs(moved - points).max(axis=0)
    assert change[3] == 0
    assert 0.0299 < change[:3].max() < 0.0301
    assert len(index) == 500
    kept, index = LidarAugment(drop=0.5).scatter(points, np.random.default_rng(1))
    assert 250 < len(kept) < 500
    np.testing.assert_array_equal(kept, points[index])
    assert (np.diff(index) > 0).all()
    np.testing.assert_array_equal(points, before)
    assert len(LidarAugment(drop=0.9).scatter(points[:1], np.random.default_rng(2))[0]) == 1


def test_equal_generators_give_equal_changes() -> None:
    a, b = (ALL.matrix(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert replace(ALL, drop=0.3).keeping_all == ALL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turn": 200.0}, r"augment\.turn must be in \[0, 180\]"),
        ({"scale": (1.1, 0.9)}, r"augment\.scale"),
        ({"scale": (0.0, 1.0)}, r"augment\.scale"),
        ({"flip_y": 1.5}, r"augment\.flip_y is a chance"),
        ({"jitter": -1.0}, r"augment\.jitter must be at least 0"),
        ({"drop": 1.0}, r"augment\.drop"),
    ],
)
def test_impossible_settings_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        LidarAugment(**options)
