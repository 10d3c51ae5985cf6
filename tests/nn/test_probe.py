"""Probes show what layers return, and change nothing."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from snnjax.nn import LIF, Module, probe

T, B, N = 6, 2, 3


class Net(Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.blocks = nnx.List([nnx.Linear(N, N, rngs=rngs), nnx.Linear(N, N, rngs=rngs)])
        self.cells = LIF(N, tau=3.0)

    def forward(self, run, x):
        z = run(self.cells, 3 * run(self.blocks[0], x))
        return run(self.blocks[1], run(self.blocks[1], z))


@pytest.fixture(scope="module")
def net():
    return Net()


def inputs(net):
    x = jax.random.normal(jax.random.key(0), (T, B, N))
    return net.init_state(x), x


def test_layers_and_states_are_seen_and_the_result_is_the_same(net):
    state, x = inputs(net)
    want_state, want = net(state, x)
    paths = ["blocks.0", "blocks.1", "cells", "cells:v"]
    (after, out), seen = jax.jit(probe(net, paths))(state, x)
    np.testing.assert_allclose(out, want, rtol=1e-5)
    np.testing.assert_allclose(after["cells"].v, want_state["cells"].v, rtol=1e-5)
    assert set(seen) == set(paths)
    np.testing.assert_allclose(seen["blocks.0"], net.blocks[0](x), rtol=1e-5, atol=1e-6)
    assert seen["cells:v"].shape == (T, B, N)
    np.testing.assert_array_equal(seen["cells:v"][-1], after["cells"].v)
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
    with pytest.raises(ValueError, match="'cell' names no layer of Net; did you mean 'cells'"):
        probe(net, ["cell"])
    with pytest.raises(ValueError, match=r"'blocks\.7' names no layer of Net; .*'blocks\.[01]'"):
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
    class Outer(Module):
        def __init__(self):
            self.inner = Net()

        def forward(self, run, x):
            return run(self.inner, x)

    outer = Outer()
    x = jax.random.normal(jax.random.key(0), (T, B, N))
    (after, out), seen = probe(outer, paths)(None, x)
    assert set(seen) == set(paths)
    np.testing.assert_array_equal(seen["inner"], out)  # a module gives what its forward returns
    np.testing.assert_array_equal(seen["inner.cells"][0].v, after["inner.cells"].v)


def test_layers_called_inside_a_checkpoint_are_seen():
    """A block that is computed again hands out what was seen; nothing of the trace leaks."""

    class Again(Net):
        rematerialised = True

    class Outer(Module):
        def __init__(self):
            self.inner = Again()

        def forward(self, run, x):
            return run(self.inner, x)

    net, x = Outer(), jax.random.normal(jax.random.key(0), (T, B, N))
    paths = ["inner.cells", "inner.cells:v", "inner.blocks.1"]
    run = jax.jit(partial(probe(net, paths), None, train=True), static_argnames="remat")
    want = run(x, remat="none")
    for remat in ("products", "layers"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), run(x, remat=remat), want
        )


def test_layers_that_a_module_calls_itself_are_not_seen():
    """A part that is called without `run`, in a loop of the module's own, is left out."""

    class Alone(Net):
        def forward(self, run, x):
            start = self.cells.init_state((B,))
            return jax.lax.scan(lambda state, x: self.cells(state, x[None]), start, x)[1]

    net, x = Alone(), jax.random.normal(jax.random.key(0), (T, B, N))
    with pytest.warns(UserWarning, match=r"'cells', a LIF, was called past the run"):
        (state, _), seen = jax.jit(probe(net, ["cells"]))(None, x)
    assert state == seen == {}
