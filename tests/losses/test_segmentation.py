"""Losses of segmentation: values by hand, a loop over rows, finite differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from snnjax.losses import lovasz_softmax, masked_cross_entropy

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]])
Y = np.array([0, 1, 2, -1])


def lovasz_loop(p, y):
    """The definition, row by row in sorted order."""
    losses = []
    for kind in range(p.shape[1]):
        rows = [
            (abs((y[i] == kind) - p[i, kind]), y[i] == kind) for i in range(len(y)) if y[i] >= 0
        ]
        rows.sort(key=lambda row: -row[0])
        total = sum(hit for _, hit in rows)
        if not total:
            continue
        loss, before, own_seen, other_seen = 0.0, 0.0, 0, 0
        for error, hit in rows:
            own_seen, other_seen = own_seen + hit, other_seen + (not hit)
            now = 1 - (total - own_seen) / (total + other_seen)
            loss, before = loss + error * (now - before), now
        losses.append(loss)
    return np.mean(losses) if losses else 0.0


def random_rows(n=40, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), n)
    return p, rng.integers(-1, classes - 1, n)  # the last class is absent


def test_values_by_hand():
    z = jnp.log(P)
    total, count = masked_cross_entropy(z, Y)
    np.testing.assert_allclose(total / count, 0.825646, atol=1e-6)
    total, count = masked_cross_entropy(z, Y, jnp.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(total / count, 1.116583, atol=1e-6)
    assert count == 7
    np.testing.assert_allclose(lovasz_softmax(P, Y), 0.516667, atol=1e-6)
    for kind, want in enumerate((0.35, 0.4, 0.8)):
        one = np.where(kind == Y, kind, np.where(Y < 0, -1, 9))  # only this class is present
        np.testing.assert_allclose(lovasz_softmax(P, one), want, atol=1e-6)


def test_lovasz_equals_the_loop():
    with jax.enable_x64(True):
        for seed in range(3):
            p, y = random_rows(seed=seed)
            np.testing.assert_allclose(lovasz_softmax(p, y), lovasz_loop(p, y), rtol=1e-12)


def test_lovasz_of_one_hot_predictions_is_1_minus_the_mean_iou():
    rng = np.random.default_rng(0)
    y, found = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    iou = [((y == k) & (found == k)).sum() / ((y == k) | (found == k)).sum() for k in range(3)]
    np.testing.assert_allclose(lovasz_softmax(np.eye(3)[found], y), 1 - np.mean(iou), rtol=1e-6)
    assert lovasz_softmax(np.eye(3)[y], y) == 0
    np.testing.assert_allclose(lovasz_softmax(np.eye(3)[(y + 1) % 3], y), 1, rtol=1e-6)


def test_order_ties_and_padding_do_not_change_the_value():
    p, y = random_rows()
    p = np.round(p, 1)  # many equal errors
    order = np.random.default_rng(1).permutation(len(y))
    with jax.enable_x64(True):
        want = lovasz_softmax(p, y)
        np.testing.assert_allclose(lovasz_softmax(p[order], y[order]), want, rtol=1e-13)
        padded = np.concatenate([p, np.full((9, 5), 0.2)]), np.concatenate([y, np.full(9, -1)])
        np.testing.assert_allclose(lovasz_softmax(*padded), want, rtol=1e-13)
        pairs = masked_cross_entropy(jnp.log(p + 0.1), y), None
        more = masked_cross_entropy(jnp.log(padded[0] + 0.1), padded[1])
        np.testing.assert_allclose(more, pairs[0], rtol=1e-13)


def test_samples_are_separate():
    p, y = random_rows(60)
    p, y = p.reshape(3, 20, 5), y.reshape(3, 20)
    for function in (lovasz_softmax, lambda p, y: masked_cross_entropy(jnp.log(p), y)[0]):
        each = [function(p[b], y[b]) for b in range(3)]
        np.testing.assert_allclose(function(p, y), each, rtol=1e-6)


def test_nothing_labelled_gives_0_and_no_gradient():
    none = np.full(4, -1)
    assert [float(v) for v in masked_cross_entropy(jnp.log(P), none)] == [0, 0]
    assert lovasz_softmax(P, none) == 0
    for function in (lovasz_softmax, lambda z, y: masked_cross_entropy(z, y)[0]):
        gradient = jax.grad(lambda z, f=function: f(z, none))(jnp.asarray(P))
        assert not np.asarray(gradient).any()


def test_gradients_against_finite_differences():
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(0).normal(0, 1, (8, 3)))
        y = jnp.array([0, 1, 2, -1, 1, 1, 0, 2])
        weights = jnp.array([1.0, 2.0, 4.0])
        check_grads(lambda z: masked_cross_entropy(z, y, weights)[0], (z,), order=1, modes=["rev"])
        check_grads(  # no two errors are equal: the order is constant nearby
            lambda z: lovasz_softmax(jax.nn.softmax(z), y), (z,), order=1, modes=["rev"]
        )


def test_labels_beyond_the_classes_give_nan():
    assert np.isnan(masked_cross_entropy(jnp.log(P), np.array([0, 3, 1, 1]))[0])


@pytest.mark.parametrize(
    ("scores", "label", "match"),
    [
        (P, Y[:3], "label int"),
        (P, Y.astype(np.float32), "float32"),
        (P[0], Y[0], "scores must be"),
    ],
)
def test_wrong_shapes_are_refused(scores, label, match):
    for function in (lovasz_softmax, masked_cross_entropy):
        with pytest.raises(ValueError, match=match):
            function(scores, label)


def test_weights_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"class_weights must be \[K\] = \[3\]"):
        masked_cross_entropy(P, Y, np.ones(2))
