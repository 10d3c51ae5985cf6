"""Probes show what layers return, and change nothing."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx

from snnjax.nn import LIF, probe

T, B, N = 6, 2, 3


class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.blocks = nnx.List([nnx.Linear(N, N, rngs=rngs), nnx.Linear(N, N, rngs=rngs)])
        self.cells = LIF(N, tau=3.0)

    def __call__(self, state, x):
        state, z = self.cells(state, 3 * self.blocks[0](x))
        return state, self.blocks[1](self.blocks[1](z))


@pytest.fixture(scope="module")
def net():
    return Net()


def inputs(net):
    x = jax.random.normal(jax.random.key(0), (T, B, N))
    return net.cells.init_state((B,)), x


def test_layers_and_states_are_seen_and_the_result_is_the_same(net):
    state, x = inputs(net)
    want_state, want = net(state, x)
    paths = ["blocks.0", "blocks.1", "cells", "cells:v"]
    (after, out), seen = jax.jit(probe(net, paths))(state, x)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)  # two programs
    np.testing.assert_allclose(after.v, want_state.v, rtol=1e-5, atol=1e-6)
    assert set(seen) == set(paths)
    np.testing.assert_allclose(seen["blocks.0"], net.blocks[0](x), rtol=1e-5, atol=1e-6)
    assert seen["cells:v"].shape == (T, B, N)
    np.testing.assert_array_equal(seen["cells:v"][-1], after.v)
    assert seen["cells"][1].shape == (T, B, N)
    first, second = seen["blocks.1"]  # called twice
    np.testing.assert_array_equal(second, out)
    assert (np.asarray(first) != np.asarray(second)).any()
    assert type(net.cells) is LIF


def test_gradients_pass_through(net):
    state, x = inputs(net)
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)

    def loss(params):
        (_, out), seen = probe(nnx.merge(graphdef, params, rest), ["cells:v"])(state, x)
        return out.sum() + seen["cells:v"].sum()

    gradient = jax.grad(loss)(params)
    assert all((np.asarray(g) != 0).any() for g in jax.tree.leaves(gradient))


def test_a_wrong_path_names_the_nearest(net):
    with pytest.raises(ValueError, match="'cell' names no layer: Net has no 'cell'; did you mean"):
        probe(net, ["cell"])
    with pytest.raises(ValueError, match=r"'blocks\.7' names no layer: List has no '7'"):
        probe(net, ["blocks.7"])
    state, x = inputs(net)
    with pytest.raises(ValueError, match="`record` names 'w', but the state has no 'w'"):
        probe(net, ["cells:w"])(state, x)


def test_a_field_of_a_layer_that_records_none_is_refused(net):
    with pytest.raises(
        ValueError, match=r"'blocks.0', a Linear, records no.*Layers that do: cells"
    ):
        probe(net, ["blocks.0:v"])


@pytest.mark.parametrize("paths", [["inner", "inner.cells"], ["inner.cells", "inner"]])
def test_a_layer_and_one_inside_it_are_both_seen(paths):
    class Outer(nnx.Module):
        def __init__(self):
            self.inner = Net()

        def __call__(self, state, x):
            return self.inner(state, x)

    outer = Outer()
    result, seen = probe(outer, paths)(*inputs(outer.inner))
    assert set(seen) == set(paths)
    np.testing.assert_array_equal(seen["inner"][1], result[1])


@pytest.mark.parametrize("inside", ["scan", "checkpoint"])
def test_layers_called_inside_a_transformation_are_refused(inside):
    class Inside(Net):
        def __call__(self, state, x):
            if inside == "checkpoint":
                return jax.checkpoint(lambda state, x: self.cells(state, x))(state, x)
            return jax.lax.scan(lambda state, x: self.cells(state, x[None]), state, x)

    net = Inside()
    run = probe(net, ["cells"])
    for function in (run, jax.jit(run)):
        with pytest.raises(ValueError, match=r"'cells' cannot be seen: .* inside jax\.lax\.scan"):
            function(*inputs(net))
