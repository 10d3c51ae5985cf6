"""Accuracy and the confusion matrix against loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.metrics import accuracy, confusion_matrix, top_k_accuracy


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_equals_a_sort(k):
    rng = np.random.default_rng(k)
    logits = rng.integers(0, 4, (60, 5)).astype(np.float32)  # many ties
    labels, weight = rng.integers(0, 5, 60), rng.integers(0, 2, 60).astype(np.float32)
    hits = 0.0
    for row, label, w in zip(logits, labels, weight, strict=True):
        order = sorted(range(5), key=lambda c: (-row[c], c))
        hits += w * (label in order[:k])
    got = jax.jit(top_k_accuracy, static_argnums=2)(logits, labels, k, weight)
    assert float(got) == pytest.approx(hits / weight.sum())


def test_accuracy_is_that_of_argmax():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)).astype(np.float32), rng.integers(0, 7, 50)
    got = accuracy(jnp.asarray(logits), jnp.asarray(labels))
    assert float(got) == pytest.approx((logits.argmax(1) == labels).mean())


def test_rows_of_weight_zero_do_not_count_even_when_nan():
    logits = jnp.array([[1.0, 0.0], [jnp.nan, jnp.nan]])
    weight = jnp.array([1.0, 0.0])
    assert float(accuracy(logits, jnp.array([0, 1]), weight)) == 1.0
    assert float(accuracy(logits, jnp.array([0, 1]))) == 0.5
    assert float(accuracy(logits, jnp.array([0, 1]), jnp.zeros(2))) == 0.0


def test_a_label_out_of_range_is_never_right():
    logits = jnp.array([[0.0, 1.0]] * 3)
    assert float(accuracy(logits, jnp.array([5, -1, -3]))) == 0.0


def test_confusion_counts_every_pair_once():
    rng = np.random.default_rng(3)
    predictions, labels = rng.integers(0, 4, 90), rng.integers(0, 4, 90)
    weight = rng.integers(0, 2, 90)
    expect = np.zeros((4, 4), int)
    for p, y, w in zip(predictions, labels, weight, strict=True):
        expect[y, p] += w
    got = confusion_matrix(predictions, labels, 4, weight)
    assert got.tolist() == expect.tolist()
    one_hot = np.eye(4)[predictions]
    assert confusion_matrix(one_hot, labels, 4, weight).tolist() == expect.tolist()


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\); got 0 to 3"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 2)
    with pytest.raises(TypeError, match="integers"):
        confusion_matrix(np.array([0.0, 1.0]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="agree in length"):
        confusion_matrix(np.array([0, 1, 1]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="over time first"):
        accuracy(jnp.ones((3, 2, 4)), jnp.zeros(2, int))
    with pytest.raises(ValueError, match="k must be between 1 and K=4"):
        top_k_accuracy(jnp.ones((2, 4)), jnp.zeros(2, int), 5)
    with pytest.raises(ValueError, match="weight must be"):
        accuracy(jnp.ones((2, 4)), jnp.zeros(2, int), jnp.ones(3))
