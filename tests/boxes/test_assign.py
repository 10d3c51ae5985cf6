"""Anchors of the KITTI grid and their assignment, with the counts of real frames."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import (
    KITTI_ANCHORS,
    AnchorClass,
    aligned_iou,
    anchor_grid,
    anchor_labels,
    assign,
)
from tests.reference.kitti import lidar_boxes, read_frame

CAR = KITTI_ANCHORS["Car"]
COUNTS = {"002155": (55, 70264, 81), "000134": (17, 70358, 25), "007347": (10, 70374, 16)}
COUNTS |= {"000002": (6, 70387, 7)}


@pytest.fixture(scope="module")
def grid():
    return anchor_grid((CAR,), (200, 176), (0, 70.4), (-40, 40)).reshape(-1, 7)


@pytest.fixture(scope="module")
def assign_cars(grid):
    label = np.zeros(len(grid), np.int32)
    return jax.jit(
        lambda boxes, kind: assign(
            grid, label, boxes, kind, positive=CAR.positive, negative=CAR.negative
        )
    )


def padded(boxes, size=16):
    out, kind = np.full((size, 7), np.nan, np.float32), np.full(size, -1, np.int32)
    out[: len(boxes)], kind[: len(boxes)] = np.reshape(boxes, (-1, 7)), 0
    return jnp.asarray(out), jnp.asarray(kind)


@pytest.mark.parametrize("frame", COUNTS)
def test_counts_of_real_frames(frame, grid, assign_cars, data_root: Path):
    folder = (
        data_root / "lidar" / ("kitti_object/training" if frame < "000100" else "kitti_object_fov")
    )
    if not folder.is_dir():
        pytest.skip(f"no KITTI frames in {folder}")
    _, _, rigid, rows = read_frame(folder, frame)
    boxes = lidar_boxes(rows, rigid)
    found = assign_cars(*padded(boxes))
    positive, negative = (np.asarray(mask) for mask in (found.positive, found.negative))
    ignored = ~(positive | negative)
    assert (positive.sum(), negative.sum(), ignored.sum()) == COUNTS[frame]
    assert not (positive & negative).any()
    iou = aligned_iou(grid[:, None].astype(float), boxes)
    if frame == "002155":
        assert ((iou.max(1) < CAR.positive) & positive).sum() == 2
    np.testing.assert_array_equal(np.asarray(found.box)[positive], iou[positive].argmax(1))


def test_forced_anchors_learn_their_own_best_box():
    """A slow loop over anchors of two classes, ties and a box that no anchor touches."""
    small = AnchorClass((0.8, 0.6, 1.7), -0.6, 0.5, 0.35)
    classes = (CAR, small)
    anchors = anchor_grid(classes, (5, 6), (0, 10), (-4, 4)).reshape(-1, 7)
    label = np.tile(anchor_labels(classes), 30)
    assert label[:4].tolist() == [0, 0, 1, 1]
    boxes = np.array(
        [
            [4.0, 1.0, -1, 4.1, 1.7, 1.5, 0.2],
            [3.0, 0.0, -1, 3.0, 1.6, 1.5, 1.5],
            [5.0, 2.0, 0, 0.7, 0.6, 1.7, 0.0],  # half way between two cells: a tie
            [90.0, 0.0, -1, 4, 2, 1.5, 0],
        ]
    )
    kind = np.array([0, 0, 1, 0, -1])
    limits = {
        name: np.array([getattr(c, name) for c in classes])[label]
        for name in ("positive", "negative")
    }
    given = np.concatenate([boxes, [[4.0, 1.0, -1, 3.9, 1.6, 1.56, 0]]]).astype(np.float32)
    found = assign(anchors, label, jnp.asarray(given), jnp.asarray(kind), **limits)
    iou = np.asarray(aligned_iou(anchors[:, None], given.astype(np.float32)))
    best_of_box = [
        max(iou[a, m] for a in range(len(anchors)) if label[a] == kind[m]) for m in range(4)
    ]
    assert best_of_box[3] == 0
    forced = 0
    for a in range(len(anchors)):
        own = [iou[a, m] if kind[m] == label[a] else -1 for m in range(5)]
        best = int(np.argmax(own))
        force = any(own[m] == best_of_box[m] > 0 for m in range(4))
        forced += force and own[best] < limits["positive"][a]
        assert bool(found.positive[a]) == (own[best] >= limits["positive"][a] or force)
        assert bool(found.negative[a]) == (own[best] < limits["negative"][a] and not force)
        if found.positive[a]:
            assert int(found.box[a]) == best
    assert forced >= 2


def test_no_boxes_leave_background(grid, assign_cars):
    found = assign_cars(*padded([]))
    assert not bool(found.positive.any())
    assert bool(found.negative.all())


def test_impossible_anchors_are_refused():
    with pytest.raises(ValueError, match="three lengths above 0"):
        AnchorClass((3.9, 0, 1.5), 0, 0.6, 0.45)
    with pytest.raises(ValueError, match="negative <= positive"):
        AnchorClass((3.9, 1, 1.5), 0, 0.4, 0.45)
    with pytest.raises(ValueError, match="a map of 2 x 2 cells"):
        anchor_grid((CAR,), (1, 5), (0, 1), (0, 1))
