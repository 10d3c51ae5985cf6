"""Pasted objects: where they find room, and what they replace."""

from __future__ import annotations

import numpy as np

from snnjax.data.lidar import points_in_box
from snnjax.data.lidar.geometry import overlap_from_above
from snnjax.data.lidar.paste import ObjectStore, paste


def frames(count: int = 12):
    """Frames with a car of 40 points, a car of 3, a van, and a car that is too hard to see."""
    rng = np.random.default_rng(0)
    for k in range(count):
        centre = np.array([6.0 * (k % 4) + 5, 7.0 * (k // 4) - 8, 0])
        boxes = np.zeros((4, 7))
        boxes[:, :3] = centre + np.arange(4)[:, None] * (0, 60, 0)
        boxes[:, 3:] = (4, 2, 1.5, 0.3 * k)
        clouds = [
            np.column_stack([box[:3] + rng.uniform(-0.4, 0.4, (size, 3)), np.full(size, k)])
            for box, size in zip(boxes, (40, 3, 40, 40), strict=True)
        ]
        scene = np.concatenate([*clouds, [[99, 99, 99, 0]]]).astype(np.float32)
        yield scene, boxes, np.array([0, 0, -1, 0]), np.array([1, 0, 0, 3])


STORE = ObjectStore.of(frames(), least=5)


def test_only_objects_of_the_classes_with_enough_points_are_stored() -> None:
    assert len(STORE.points) == 12
    assert [len(points) for points in STORE.points] == [40] * 12
    assert STORE.kind.tolist() == [0] * 12
    assert STORE.level.tolist() == [1] * 12
    for points, box in zip(STORE.points, STORE.boxes, strict=True):
        assert points_in_box(points, box).all()


def test_pasted_objects_overlap_nothing() -> None:
    scene_boxes = np.array([[5.0, -8, 0, 5, 5, 2, 0.5]])
    counts = set()
    for seed in range(10):
        chosen = STORE.draw(scene_boxes, 8, np.random.default_rng(seed))
        boxes = STORE.boxes[chosen]
        assert not overlap_from_above(boxes, scene_boxes).any()
        assert overlap_from_above(boxes, boxes).sum() == len(chosen)
        assert 0 not in chosen
        counts.add(tuple(chosen))
    assert len(counts) > 5
    again = [STORE.draw(scene_boxes, 8, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_scene_points_make_way() -> None:
    rng = np.random.default_rng(1)
    scene = np.column_stack([rng.uniform((0, -12, -1), (30, 12, 1), (3000, 3)), np.full(3000, -1)])
    chosen = STORE.draw(np.zeros((0, 7)), 5, rng)
    got = paste(scene.astype(np.float32), STORE, chosen)
    assert len(chosen) == 5
    for k in chosen:
        inside = got[points_in_box(got, STORE.boxes[k])]
        np.testing.assert_array_equal(inside, STORE.points[k])
    removed = sum(points_in_box(scene, STORE.boxes[k]).sum() for k in chosen)
    assert removed > 20
    assert len(got) == 3000 - removed + 5 * 40


def test_an_empty_store_pastes_nothing() -> None:
    empty = ObjectStore.of(frames(), least=1000)
    chosen = empty.draw(np.zeros((0, 7)), 15, np.random.default_rng(0))
    assert len(chosen) == 0
    assert len(paste(np.zeros((4, 4)), empty, chosen)) == 4
