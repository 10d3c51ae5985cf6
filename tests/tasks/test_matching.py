"""Right and wrong detections against a loop, and binned precision against the exact one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.boxes import Detections, bev_iou, iou_3d
from snnjax.metrics.detection import Frame, average_precision
from snnjax.tasks.matching import binned_precision, hits

LIMITS = np.array([0.3, 0.5], np.float32)
BINS = 100


def crowd(rng, n):
    low, high = (0, 0, -0.2, 3.5, 1.5, 1.4, -0.2), (9, 3, 0.2, 4.2, 1.9, 1.7, 0.2)
    return rng.uniform(low, high, (n, 7)).astype(np.float32)


def slow_hits(found, boxes, kind, ignore, iou):
    right, wrong, used = np.zeros((2, BINS)), np.zeros((2, BINS)), set()
    for box, score, label in zip(*found, strict=True):
        if label < 0:
            continue
        overlaps = [float(iou(box, other)) for other in boxes]
        near = [m for m, o in enumerate(overlaps) if o > LIMITS[label]]
        own = [m for m in near if kind[m] == label and m not in used]
        place = min(int((1 - score) * BINS), BINS - 1)
        if own:
            used.add(max(own, key=lambda m: overlaps[m]))
            right[label, place] += 1
        elif not any(ignore[m] == label for m in near):
            wrong[label, place] += 1
    return right, wrong


def test_hits_equal_the_loop():
    rng = np.random.default_rng(0)
    run = {
        iou: jax.jit(
            lambda found, boxes, *a, iou=iou: hits(
                found, iou(found.boxes[:, None], boxes), *a, LIMITS, bins=BINS
            )
        )
        for iou in (iou_3d, bev_iou)
    }
    total = 0
    for _ in range(6):
        scores = np.sort(rng.uniform(0, 1, 14).astype(np.float32))[::-1]
        label = np.where(np.arange(14) < 12, rng.integers(0, 2, 14), -1)
        found = Detections(crowd(rng, 14), scores, label)
        boxes, kind = crowd(rng, 9), rng.integers(-1, 2, 9)
        ignore = np.where(kind < 0, rng.integers(-1, 2, 9), -1)
        for iou in (iou_3d, bev_iou):
            given = jax.tree.map(jnp.asarray, (found, boxes, kind, ignore))
            right, wrong = run[iou](*given)
            expected = slow_hits(found, boxes.astype(float), kind, ignore, iou)
            np.testing.assert_array_equal(right, expected[0])
            np.testing.assert_array_equal(wrong, expected[1])
            total += expected[0].sum()
    assert total > 10


def test_binned_precision_is_near_the_exact_one():
    rng = np.random.default_rng(1)
    for quality in (0.3, 0.7, 0.95):
        n, objects = 900, 560
        right = rng.random(n) < quality
        right[np.flatnonzero(right)[objects:]] = False
        scores = np.clip(0.3 * right + rng.uniform(0, 0.7, n), 0, 1)
        overlap = np.zeros((n, objects))
        overlap[np.flatnonzero(right), np.arange(right.sum())] = 1
        flags = np.zeros(n, int), np.zeros(objects, int)
        exact = average_precision([Frame(overlap, scores, *flags)], 0.5).r40
        place = np.clip(((1 - scores) * 400).astype(int), 0, 399)
        bins = [np.bincount(place[mask], minlength=400)[None] for mask in (right, ~right)]
        found = binned_precision(*bins, np.array([objects]))
        np.testing.assert_allclose(found, exact, atol=2.5)
        assert 10 < exact < 99


def test_no_objects_have_no_precision():
    zero = np.zeros((2, 5))
    assert binned_precision(zero, zero + 1, np.array([0, 3])).tolist() == [0, 0]
