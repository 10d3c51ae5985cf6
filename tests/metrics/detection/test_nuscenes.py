"""The nuScenes scores: perfect detections, cases by hand, errors of matches."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.metrics.detection import (
    NUSCENES_RANGES,
    NuScenesObjects,
    distance_precision,
    nuscenes_scores,
)


def frame(n, kind="car", seed=0):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform((-20, -20, -1, 1, 1, 1, -3), (20, 20, 0, 4, 2, 2, 3), (n, 7))
    return NuScenesObjects([kind] * n, boxes, rng.normal(size=(n, 2)), np.zeros(n, int))


def as_found(truth, scores=None, **changes):
    scores = np.linspace(0.9, 0.5, len(truth.kinds)) if scores is None else np.asarray(scores)
    return truth._replace(scores=scores, **changes)


def moved(truth, dx, column=0):
    boxes = truth.boxes.copy()
    boxes[:, column] += dx
    return boxes


def test_perfect_detections_of_all_classes_reach_1():
    truth = []
    for i, kind in enumerate(NUSCENES_RANGES):
        truth += [frame(5, kind, i), frame(1, kind, 20 + i)]
    scores = nuscenes_scores(truth, [as_found(t) for t in truth])
    assert scores.mean_precision == pytest.approx(1)
    assert scores.nds == pytest.approx(1)
    assert scores.errors == pytest.approx(dict.fromkeys(scores.errors, 0))


def test_precision_by_hand():
    """One of two found, after an error: precision 1/2 up to recall 1/2, 0 beyond."""
    truth = NuScenesObjects(
        ["car"] * 2, np.array([[0, 0, 0, 4, 2, 1, 0], [9, 0, 0, 4, 2, 1, 0.0]]), np.zeros((2, 2))
    )
    found = truth._replace(
        boxes=truth.boxes + [[30, 0, 0, 0, 0, 0, 0], [0.8, 0, 0, 0, 0, 0, 0]],
        scores=np.array([0.9, 0.5]),
    )
    levels = np.linspace(0, 1, 101)
    precision = np.interp(levels, [0, 0.5], [0, 0.5], right=0)
    expected = np.maximum(precision[11:] - 0.1, 0).mean() / 0.9
    assert distance_precision([truth], [found], "car", 1.0) == pytest.approx(expected)
    assert distance_precision([truth], [found], "car", 0.5) == 0
    assert distance_precision([truth], [found], "bus", 1.0) == 0
    assert distance_precision([truth], [found], "car", 1.0, reach=5.0) == 0


def test_detections_take_the_nearest_free_object_in_order_of_scores():
    truth = NuScenesObjects(
        ["car"] * 2, np.array([[0, 0, 0, 4, 2, 1, 0], [1, 0, 0, 4, 2, 1, 0.0]]), np.zeros((2, 2))
    )
    both = truth._replace(boxes=moved(truth, [0.9, 0.0]), scores=np.array([0.5, 0.9]))
    # The second is surer and takes the object at 1; the first is left with that at 0, 0.9 m away.
    assert distance_precision([truth], [both], "car", 1.0) == pytest.approx(1)
    assert distance_precision([truth], [both], "car", 0.8) < 0.6


def test_errors_of_matches():
    truth = [frame(8, seed=s) for s in range(4)]
    found = []
    for t in truth:
        boxes = t.boxes + [0.3, 0, 0, 0, 0, 0, -0.5]
        boxes[:, 3] *= 0.8
        found.append(
            as_found(t, boxes=boxes, velocity=t.velocity + [3, 4], attribute=t.attribute + 1)
        )
    scores = nuscenes_scores(truth, found, {"car": 50.0})
    expected = [0.3, 0.2, 0.5, 5.0, 1.0]
    np.testing.assert_allclose(list(scores.errors.values()), expected, rtol=1e-9)
    total = 5 * scores.mean_precision + 0.7 + 0.8 + 0.5
    assert scores.nds == pytest.approx(total / 10)


def test_a_barrier_has_no_front_and_a_cone_no_heading():
    for kind, expected in (("barrier", 0.0), ("bus", np.pi), ("traffic_cone", 0.0)):
        truth = [frame(12, kind)]
        found = [as_found(truth[0], boxes=moved(truth[0], np.pi, 6))]
        scores = nuscenes_scores(truth, found, {kind: 50.0})
        assert scores.errors["orientation"] == pytest.approx(expected)


def test_nothing_found_and_nothing_labelled():
    truth, none = frame(3), frame(0)
    missed = nuscenes_scores([truth], [as_found(none)], {"car": 50.0})
    assert missed.nds == missed.mean_precision == 0
    assert set(missed.errors.values()) == {1.0}
    assert nuscenes_scores([none], [as_found(truth)], {"car": 50.0}).mean_precision == 0


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="frame 0 has others"):
        nuscenes_scores([frame(1)], [as_found(frame(1), [np.nan])])
    with pytest.raises(ValueError, match="same frames; got 1 and 0"):
        nuscenes_scores([frame(1)], [])
