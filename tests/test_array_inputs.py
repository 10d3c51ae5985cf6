"""Functions that take arrays take NumPy arrays and lists as well."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.losses import cross_entropy
from snnjax.metrics import accuracy, top_k_accuracy
from snnjax.nn import Dropout, DropPath
from snnjax.unroll import online_gradient, online_update, unroll, unroll_truncated

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
LOGITS, LABELS, WEIGHT = X[0], np.array([2, 0]), np.array([1.0, 0.5], np.float32)


def add(state, x):
    return state + x, 2 * state


def error(weight, state, x):
    return state + x, jnp.sum((weight - x) ** 2)


def descend(weight, memory, gradient):
    return weight - 0.1 * gradient, memory


CALLS = {
    "cross_entropy": (lambda z, y, w: cross_entropy(z, y, weight=w), LOGITS, LABELS, WEIGHT),
    "cross_entropy, soft labels": (cross_entropy, LOGITS, np.eye(4, dtype=np.float32)[:2]),
    "accuracy": (accuracy, LOGITS, LABELS, WEIGHT),
    "top_k_accuracy": (lambda z, y, w: top_k_accuracy(z, y, 2, w), LOGITS, LABELS, WEIGHT),
    "Dropout": (Dropout(0.5), X),
    "Dropout, training": (lambda x: Dropout(0.5)(x, key=KEY, train=True), X),
    "DropPath, training": (lambda x: DropPath(0.5)(x, key=KEY, train=True), X),
    "unroll": (lambda x: unroll(add, jnp.zeros((2, 4)), x), X),
    "unroll, a tree": (lambda x: unroll(lambda s, x: add(s, x["a"]), 0.0, {"a": x}), X[:, 0, 0]),
    "unroll, segments": (lambda x: unroll(add, 0.0, x, checkpoint=2), X[:, 0, 0]),
    "unroll_truncated": (lambda x: unroll_truncated(add, 0.0, x, window=2), X[:, 0, 0]),
    "online_gradient": (lambda x: online_gradient(error, 1.0, 0.0, x), X[:, 0, 0]),
    "online_update": (lambda x: online_update(error, descend, 1.0, None, 0.0, x), X[:, 0, 0]),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_arrays_and_lists_equal_jax_arrays(name):
    call, *arrays = CALLS[name]
    want = call(*map(jnp.asarray, arrays))
    for given in (arrays, [array.tolist() for array in arrays]):
        jax.tree.map(np.testing.assert_array_equal, call(*given), want)


def test_a_list_of_arrays_is_a_tree_of_inputs():
    last, _ = unroll(lambda s, x: (s + x[0] * x[1], None), 0.0, [jnp.ones(3), np.arange(3.0)])
    assert float(last) == 3
