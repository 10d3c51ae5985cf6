"""The second stage: how proposals are drawn, their targets, and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import (
    Detections,
    corners,
    iou_3d,
    proposals,
    refine_rois,
    roi_targets,
    sample_rois,
)

SIZE = 40
BOX = np.array([10.0, 2, -1, 4, 1.8, 1.5, 0.3], np.float32)
SHIFT = {"fore": 0.3, "hard": 2.0, "easy": 30.0}


def rois_of(**counts):
    """Proposals along a line from the box, of each sort; the rows after them are empty."""
    rng = np.random.default_rng(0)
    rows = [
        BOX + [SHIFT[k] + rng.uniform(0, 0.2), 0, 0, 0, 0, 0, 0]
        for k, n in counts.items()
        for _ in range(n)
    ]
    boxes = np.zeros((64, 7), np.float32)
    boxes[: len(rows)] = np.reshape(rows, (-1, 7))
    label = np.where(np.arange(64) < len(rows), 0, -1)
    return Detections(*(jnp.asarray(a) for a in (boxes, np.zeros(64, np.float32), label)))


TRUTH = jnp.asarray(np.stack([BOX + [0, 90, 0, 0, 0, 0, 0], BOX, np.full(7, np.nan)]), jnp.float32)
KIND = jnp.array([0, 0, -1])


@pytest.fixture(scope="module")
def draw():
    return jax.jit(lambda key, rois: sample_rois(key, rois, TRUTH, KIND, size=SIZE))


def sorts(sample):
    iou = np.asarray(sample.iou)
    return [int(m.sum()) for m in (iou >= 0.55, (iou >= 0.1) & (iou < 0.55), iou < 0.1)]


CASES = [
    ({"fore": 5, "hard": 40, "easy": 12}, (5, 28, 7)),
    ({"fore": 40, "hard": 4, "easy": 12}, (20, 4, 16)),  # hard ones only once each on average
    ({"fore": 3, "hard": 6}, (3, 37, 0)),
    ({"fore": 3, "easy": 6}, (3, 0, 37)),
    ({"hard": 40, "easy": 10}, (0, 32, 8)),
    ({"fore": 6}, (40, 0, 0)),
    ({"easy": 1}, (0, 0, 40)),
]


@pytest.mark.parametrize(("counts", "expected"), CASES)
def test_shares_of_the_sample(counts, expected, draw):
    rois = rois_of(**counts)
    for seed in (0, 1):
        sample = draw(jax.random.key(seed), rois)
        assert sorts(sample) == list(expected)
        assert bool(sample.used.all())
        rows = np.asarray(sample.rois)
        given = {tuple(row) for row in np.asarray(rois.boxes)[: sum(counts.values())].tolist()}
        assert {tuple(row) for row in rows.tolist()} <= given
        if 0 < expected[0] < SIZE:  # foreground is not repeated
            assert len({tuple(r) for r in rows[: expected[0]].tolist()}) == expected[0]
            np.testing.assert_array_equal(
                sample.boxes[: expected[0]], np.stack([BOX] * expected[0])
            )
        overlap = iou_3d(rows.astype(float), np.asarray(sample.boxes, float))
        near = np.asarray(sample.iou) > 0
        np.testing.assert_allclose(np.asarray(sample.iou)[near], overlap[near], atol=1e-5)
    other = draw(jax.random.key(5), rois).rois
    if sum(counts.values()) > 6:
        assert not np.array_equal(other, sample.rois)


def test_no_proposals_are_not_learned(draw):
    sample = draw(jax.random.key(0), rois_of())
    targets = roi_targets(sample)
    assert not bool(sample.used.any() | targets.positive.any())
    assert bool(jnp.isfinite(targets.codes).all())


def test_only_boxes_of_the_class_count(draw):
    rois = rois_of(fore=5)._replace(label=jnp.where(jnp.arange(64) < 5, 1, -1))
    sample = draw(jax.random.key(0), rois)
    assert sorts(sample) == [0, 0, SIZE]


def test_targets_return_to_the_box():
    rng = np.random.default_rng(2)
    rois = rng.uniform((0, -9, -1, 3, 1, 1, -3), (50, 9, 1, 5, 2, 2, 3), (30, 7))
    boxes = rois + rng.normal(0, 0.1, (30, 7))
    boxes[::3, 6] += np.pi  # backwards: the same corners in another order
    iou = np.linspace(0, 1, 30)
    sample = type("S", (), {"rois": jnp.float32(rois), "boxes": jnp.float32(boxes)})
    sample.iou, sample.used = jnp.float32(iou), jnp.arange(30) != 29
    targets = roi_targets(sample)
    np.testing.assert_allclose(targets.confidence, np.clip(2 * iou - 0.5, 0, 1), atol=1e-6)
    positive = (iou > 0.55) & (np.arange(30) != 29)
    assert targets.positive.tolist() == positive.tolist()
    assert np.abs(targets.codes[:, 6]).max() < 0.5
    again = np.asarray(refine_rois(targets.codes, sample.rois))[positive]
    expected = boxes[positive]
    np.testing.assert_allclose(again[:, :6], expected[:, :6], atol=1e-4)
    np.testing.assert_allclose(np.sin(again[:, 6] - expected[:, 6]), 0, atol=1e-4)
    sets = [np.sort(corners(b.astype(float)), axis=1) for b in (again, expected)]
    np.testing.assert_allclose(sets[0], sets[1], atol=1e-3)


def test_proposals_stop_gradients_and_have_no_least_score():
    boxes = jnp.asarray(np.stack([BOX, BOX + [9, 0, 0, 0, 0, 0, 0]]))
    found = proposals(boxes, jnp.array([-40.0, -50.0]), top=2, limit=0.7, keep=3)
    assert found.label.tolist() == [0, 0, -1]
    grad = jax.grad(lambda b: proposals(b, jnp.zeros(2), top=2, limit=0.7, keep=3).boxes.sum())
    assert not bool(grad(boxes).any())
