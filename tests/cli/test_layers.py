from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.cli.layers import forward, function_cost, gradient, layer_calls
from snnjax.nn import LIF, Module, Repeat, Sequential, probe


class Small(Module):
    """Two linear layers round a population of neurons; the first is used twice."""

    def __init__(self, rngs: nnx.Rngs):
        self.blocks = nnx.List([nnx.Linear(5, 5, rngs=rngs)])
        self.neurons = LIF(5)
        self.head = nnx.Linear(5, 2, rngs=rngs)

    def forward(self, run, x):
        x = run(self.blocks[0], run(self.blocks[0], x))
        return run(self.head, run(self.neurons, x))


@pytest.fixture(scope="module")
def calls():
    x = jax.random.normal(jax.random.key(0), (3, 4, 5))
    return layer_calls(Small(nnx.Rngs(0)), {"x": x})


def test_calls_come_in_order_with_their_paths(calls):
    assert [(c.path, c.kind) for c in calls] == [
        ("blocks.0", "Linear"),
        ("blocks.0", "Linear"),
        ("neurons", "LIF"),
        ("head", "Linear"),
    ]


def test_a_layer_alone_computes_what_it_did_in_the_model(calls):
    first, second = calls[:2]
    (out,) = forward(first)(first.state, first.arrays)
    np.testing.assert_allclose(out, second.arrays[0], rtol=1e-6)
    assert [a.shape for a in calls[2].arrays] == [(3, 4, 5)]


def test_gradients_of_a_layer_alone(calls):
    head = calls[3]
    shapes = {g.shape: g for g in gradient(head)(head.state, head.arrays)}
    spikes = np.asarray(head.arrays[0], np.float64).reshape(-1, 5)
    np.testing.assert_allclose(shapes[(5, 2)], np.repeat(spikes.sum(0)[:, None], 2, 1), rtol=1e-6)
    assert set(shapes) == {(5, 2), (2,), (3, 4, 5)}


def test_equal_calls_share_a_program(calls):
    first, second, _, head = calls
    assert first.same_program() == second.same_program()
    assert hash(first.same_program()) == hash(second.same_program())
    assert first.same_program() != head.same_program()


def test_cost_counts_the_matrix_product():
    cost = function_cost(jnp.matmul, jnp.ones((16, 32)), jnp.ones((32, 8)), runs=2)
    assert cost.flops == pytest.approx(2 * 16 * 32 * 8)
    assert cost.bytes_accessed >= 4 * (16 * 32 + 32 * 8 + 16 * 8)
    assert cost.milliseconds > 0


class Deep(Module):
    """Repeated blocks with a state, and a head."""

    def __init__(self, rngs: nnx.Rngs):
        self.blocks = Repeat(
            lambda rngs: Sequential(nnx.Linear(5, 5, rngs=rngs), LIF(5)), 2, rngs=rngs
        )
        self.head = nnx.Linear(5, 2, rngs=rngs)

    def forward(self, run, x):
        return run(self.head, run(self.blocks, x))


def test_calls_inside_repeated_blocks_have_the_block_in_their_path():
    net, x = Deep(nnx.Rngs(0)), 2 * jax.random.normal(jax.random.key(0), (3, 4, 5))
    calls = layer_calls(net, {"x": x})
    names = [f"blocks.{i}.layers.{j}" for i in range(2) for j in range(2)]
    assert [c.path for c in calls] == [*names, "head"]
    assert calls[0].same_program() == calls[2].same_program()
    _, seen = probe(net, names)(None, x)
    for call in calls[:4]:
        *_, out = forward(call)(call.state, call.arrays)
        expected = jax.tree.leaves(seen[call.path])[-1]
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
