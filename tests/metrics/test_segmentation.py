"""Mean IoU: published conventions, a loop, sums over parts."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.metrics import class_iou, mean_iou, row_confusion

TOY = np.array([[5, 1, 0], [2, 3, 0], [0, 0, 0]])


def test_the_three_conventions():
    means = {rule: round(mean_iou(TOY, absent=rule), 4) for rule in ("zero", "one", "skip")}
    assert means == {"zero": 0.375, "one": 0.7083, "skip": 0.5625}


def test_a_class_that_is_only_predicted():
    confusion = np.array([[4, 1], [0, 0]])  # class 1 has no labels
    means = {rule: mean_iou(confusion, absent=rule) for rule in ("skip", "unlabelled", "one")}
    assert means == {"skip": 0.4, "unlabelled": 0.8, "one": 0.9}


def test_the_matrix_equals_a_loop_and_adds_up():
    rng = np.random.default_rng(0)
    label, found = rng.integers(-1, 4, (3, 50)), rng.integers(-1, 4, (3, 50))
    want = np.zeros((4, 5), int)
    for true, predicted in zip(label.ravel(), found.ravel(), strict=True):
        if true >= 0:
            want[true, predicted] += 1  # -1 is the last column
    np.testing.assert_array_equal(row_confusion(label, found, 4), want)
    parts = sum(np.asarray(row_confusion(a, b, 4)) for a, b in zip(label, found, strict=True))
    np.testing.assert_array_equal(parts, want)


def test_points_without_a_prediction_are_misses_of_their_class_only():
    confusion = row_confusion(np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1]), 2)
    np.testing.assert_array_equal(class_iou(np.asarray(confusion)), [0.5, 1.0])


def test_nothing_at_all():
    assert np.isnan(class_iou(np.zeros((2, 2)))).all()
    assert mean_iou(np.zeros((2, 2))) == 0
    assert mean_iou(np.zeros((2, 2)), absent="one") == 1


def test_large_counts_are_exact():
    big = 2**40
    assert class_iou(np.array([[big, 1], [0, 7]]))[0] == big / (big + 1)


def test_bad_arguments():
    with pytest.raises(ValueError, match="same shape"):
        row_confusion(np.zeros(3, int), np.zeros(2, int), 2)
    with pytest.raises(ValueError, match="absent must be"):
        mean_iou(TOY, absent="nan")
