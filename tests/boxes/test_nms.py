"""Suppression against the sorted loop, padding, classes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import nms, suppress, suppress_by_class
from tests.reference import boxes as slow


def crowd(n, seed=0):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform((0, 0, -1, 3, 1.4, 1, -4), (9, 9, 0, 5, 2, 2, 4), (n, 7))
    scores = rng.choice(np.linspace(0.05, 0.95, 40), n)  # with ties
    return boxes.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("limit", [0.05, 0.4])
def test_equals_the_sorted_loop(limit):
    boxes, scores = crowd(60)
    scores[[3, 17]] = np.nan, -np.inf
    expected = slow.nms(boxes, scores, limit)
    found = np.asarray(jax.jit(lambda b, s: nms(b, s, limit=limit, keep=60))(boxes, scores))
    assert 5 < len(expected) < 55
    assert found[: len(expected)].tolist() == expected
    assert (found[len(expected) :] == -1).all()


def test_the_best_boxes_of_all_classes():
    boxes, scores = crowd(40, 1)
    label = np.arange(40, dtype=np.int32) % 3
    found = suppress(
        jnp.asarray(boxes), jnp.asarray(scores), jnp.asarray(label),
        top=30, limit=0.1, keep=25, least=0.3,
    )  # fmt: skip
    order = sorted(range(40), key=lambda i: (-scores[i], i))[:30]
    best = np.where(np.isin(np.arange(40), order) & (scores >= 0.3), scores, np.nan)
    expected = slow.nms(boxes, best, 0.1)
    n = len(expected)
    assert 0 < n < 25
    np.testing.assert_array_equal(found.boxes[:n], boxes[expected])
    assert found.scores[:n].tolist() == scores[expected].tolist()
    assert found.label.tolist() == label[expected].tolist() + [-1] * (25 - n)
    assert not np.asarray(found.boxes[n:]).any()
    assert not np.asarray(found.scores[n:]).any()


def test_classes_do_not_suppress_each_other():
    boxes, first = crowd(20, 2)
    scores = np.stack([first, first[::-1]], -1)
    found = suppress_by_class(
        jnp.asarray(boxes), jnp.asarray(scores), top=20, limit=0.05, keep=12, least=0.2
    )
    expected = []
    for k in (0, 1):
        kept = slow.nms(boxes, np.where(scores[:, k] >= 0.2, scores[:, k], np.nan), 0.05)[:12]
        expected += [(scores[i, k], k, i) for i in kept]
    expected = sorted(expected, key=lambda e: (-e[0], e[1]))[:12]
    np.testing.assert_array_equal(found.scores, [e[0] for e in expected])
    assert found.label.tolist() == [e[1] for e in expected]
    np.testing.assert_array_equal(found.boxes, boxes[[e[2] for e in expected]])


def test_a_batch_may_be_sharded():
    """Inside shard_map, where values differ between devices."""
    boxes, scores = crowd(16, 4)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def half(boxes, scores):
        return nms(boxes, scores, limit=0.1, keep=8)

    spec = jax.sharding.PartitionSpec("data")
    run = jax.shard_map(half, mesh=mesh, in_specs=spec, out_specs=spec)
    found = jax.jit(run)(boxes, scores).reshape(2, 8)
    for rows, part in zip(found.tolist(), (slice(0, 8), slice(8, 16)), strict=True):
        expected = slow.nms(boxes[part], scores[part], 0.1)
        assert rows == expected + [-1] * (8 - len(expected))


def test_batches_are_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"boxes must be \[K, 7\].*jax.vmap"):
        nms(jnp.zeros((2, 3, 7)), jnp.zeros((2, 3)), limit=0.5, keep=1)
    with pytest.raises(ValueError, match="`keep` must be at least 1; got 0"):
        nms(jnp.zeros((3, 7)), jnp.zeros(3), limit=0.5, keep=0)
