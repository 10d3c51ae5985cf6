"""Only what is trained is counted."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx

from snnjax.metrics import count_parameters, parameter_table


class _Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.stack = nnx.List([nnx.Linear(3, 4, rngs=rngs) for _ in range(11)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.tied = self.stack[0].kernel
        self.seen = nnx.Variable(jnp.zeros(100))


def test_params_are_counted_and_statistics_are_not():
    assert count_parameters(_Net()) == 11 * (3 * 4 + 4) + 2 * 4


def test_the_table_names_each_array_once():
    rows = {row.path: row for row in parameter_table(_Net())}
    assert rows["stack/10/kernel"].shape == (3, 4)
    assert rows["norm/scale"][1:] == ((4,), "float32", 4)
    assert len(rows) == 11 * 2 + 2
    assert not any("mean" in path or "seen" in path for path in rows)
