"""Average precision against the loops of the development kit, and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.metrics.detection import Frame, average_precision, recall_11, recall_40, thresholds
from tests.reference import kitti_ap


def perfect(n):
    return Frame(np.eye(n), np.linspace(0.2, 0.9, n), np.zeros(n, int), np.zeros(n, int))


@pytest.mark.parametrize(
    ("n", "r40", "r11"), [(1, 0, 9.09), (10, 22.5, 27.27), (41, 100, 100), (200, 100, 100)]
)
def test_a_perfect_detector_needs_41_objects(n, r40, r11):
    found = average_precision([perfect(n)], 0.7)
    assert found.count == n
    assert found.r40 == pytest.approx(r40)
    assert found.r11 == pytest.approx(r11, abs=0.01)


def random_frame(rng):
    d, g = rng.integers(0, 9), rng.integers(0, 6)
    overlap = rng.choice([0, 0.3, 0.71, 0.8, 0.9], (d, g), p=[0.55, 0.15, 0.1, 0.1, 0.1])
    overlap += rng.uniform(0, 1e-3, (d, g))
    return Frame(
        overlap=overlap,
        scores=rng.choice(np.linspace(0.1, 0.9, 30), d),
        found=rng.choice([0, 1, -1], d, p=[0.8, 0.1, 0.1]),
        truth=rng.choice([0, 1, -1], g, p=[0.7, 0.2, 0.1]),
        similarity=rng.uniform(0, 1, (d, g)),
        covered=rng.random(d) < 0.1,
    )


def as_loops(frame):
    """The same frame for the transcription; similarities become angles for each pair."""
    return {
        "objects": [{"flag": int(f), "alpha": 0.0} for f in frame.truth],
        "detections": [
            {"flag": int(f), "score": float(s), "alpha": 0.3 * j}
            for j, (f, s) in enumerate(zip(frame.found, frame.scores, strict=True))
        ],
        "iou": frame.overlap.tolist(),
        "cover": [[0.99] if c else [0.0] for c in frame.covered],
    }


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_loops_of_the_development_kit(seed):
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng) for _ in range(40)]
    turns = [0.3 * np.arange(len(f.scores))[:, None] for f in frames]
    frames = [
        f._replace(similarity=(1 + np.cos(t + 0 * f.overlap)) / 2)
        for f, t in zip(frames, turns, strict=True)
    ]
    found = average_precision(frames, 0.7)
    values, aos = kitti_ap.precision([as_loops(f) for f in frames], 0.7)
    assert 0.05 < np.mean(values) < 0.95
    np.testing.assert_allclose(found.values, values)
    np.testing.assert_allclose(found.aos, aos)


def one(overlap, scores, found, truth, **more):
    return Frame(*(np.asarray(a) for a in (overlap, scores, found, truth)), **more)


def at_last(frame, filler=60):
    """Precision at full recall, of the frame and of many perfect ones with high scores."""
    rest = perfect(filler)._replace(scores=np.linspace(5, 9, filler))
    return average_precision([frame, rest], 0.7).values[-1]


def test_single_cases():
    assert at_last(one([[0.9]], [0.5], [0], [0])) == 1
    duplicate = one([[0.9, 0], [0.8, 0], [0, 0.9]], [0.5, 0.6, 0.3], [0] * 3, [0, 0])
    assert at_last(duplicate) == pytest.approx(62 / 63)
    on_van = one([[0.9, 0], [0, 0.9]], [0.5, 0.6], [0, 0], [0, 1])
    assert at_last(on_van) == 1
    second_on_van = one([[0.9, 0], [0, 0.9], [0, 0.8]], [0.5, 0.6, 0.7], [0] * 3, [0, 1])
    assert at_last(second_on_van) == pytest.approx(61 / 62)
    small = one([[0.9], [0.0]], [0.5, 0.6], [0, 1], [0])
    assert at_last(small) == 1
    other_class = one([[0.9], [0.0]], [0.5, 0.6], [0, -1], [0])
    assert at_last(other_class) == 1
    elsewhere = one([[0.9], [0.0]], [0.5, 0.6], [0, 0], [0])
    assert at_last(elsewhere) == pytest.approx(61 / 62)
    covered = elsewhere._replace(covered=np.array([False, True]))
    assert at_last(covered) == 1


def test_a_match_must_exceed_the_limit():
    frame = perfect(60)
    assert average_precision([frame._replace(overlap=0.7 * np.eye(60))], 0.7).r40 == 0
    assert average_precision([frame._replace(overlap=0.701 * np.eye(60))], 0.7).r40 == 100


def test_a_small_detection_is_taken_only_if_there_is_no_other():
    """In the second pass; in the first the better score wins, and the pair leaves."""
    frame = one([[0.95], [0.8]], [0.9, 0.6], [1, 0], [0])
    found = average_precision([frame, perfect(60)], 0.7)
    assert found.count == 61
    assert found.values[0] == 1


def test_thresholds_follow_recall():
    scores = np.linspace(1, 0, 400)
    found = thresholds(list(scores), 400)
    assert len(found) == 41
    recall = np.searchsorted(-scores, -np.array(found), side="right") / 400
    np.testing.assert_allclose(recall, np.maximum(np.arange(41) / 40, 1 / 400), atol=0.003)
    assert thresholds([], 5) == []
    assert len(thresholds(list(scores[:100]), 400)) == 11


def test_means_over_recall():
    values = np.zeros(41)
    values[0], values[4], values[5] = 1, 0.5, 0.25
    assert recall_11(values) == pytest.approx(100 * 1.5 / 11)
    assert recall_40(values) == pytest.approx(100 * 0.75 / 40)


def test_no_objects_and_no_detections():
    empty = one(np.zeros((2, 0)), [0.3, 0.4], [0, 0], np.zeros(0, int))
    assert average_precision([empty], 0.7).r40 == 0
    missed = one(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), [0, 0, 0])
    assert average_precision([missed], 0.7).count == 3
    assert average_precision([], 0.7).count == 0


def test_bad_frames_are_refused():
    with pytest.raises(ValueError, match=r"scores of detections must be finite; got \[nan\]"):
        average_precision([one([[0.9]], [np.nan], [0], [0])], 0.7)
    with pytest.raises(ValueError, match=r"overlaps must be \[D, G\] = \(1, 2\)"):
        average_precision([one([[0.9]], [0.5], [0], [0, 0])], 0.7)
