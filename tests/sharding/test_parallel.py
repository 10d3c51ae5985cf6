"""Rules that follow from layers, and products whose loops the partitioner does not see through."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.nn import LIF, BatchNorm, Conv, DelayedLinear, Sequential, SparseConv, pair, shard_as
from snnjax.sharding import (
    bytes_by_kind,
    collectives,
    parse_mesh,
    sharded_product,
    specs_by_rules,
)

B, K, I, O = 4, 5, 8, 6  # noqa: E741


def looped(x, kernel, weights):
    """A product in a loop: sum_k weights[k] x @ kernel[k]."""
    start = jnp.zeros((len(x), kernel.shape[2]), x.dtype)
    add = lambda total, k: (total + weights[k] * (x @ kernel[k]), None)  # noqa: E731
    return lax.scan(add, start, jnp.arange(K))[0]


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((B, I), (K, I, O), (K,)))


def local(parallel, x, kernel, weights):
    """Value, gradients and a tangent on one device of "data"."""
    product = partial(sharded_product, looped, parallel=parallel, kernel=1)
    value, pull = jax.vjp(product, x, kernel, weights)
    dx, *others = pull(jnp.cos(value))
    tangent = jax.jvp(product, (x, kernel, weights), (x, kernel, weights))[1]
    return value, dx, lax.psum(others, "data"), tangent


def over_mesh(function, devices, specs, arrays, out_specs):
    """The function where "data" is manual and "model" automatic, and what it sends."""
    mesh, rows = parse_mesh(f"data=2,model={devices}"), P("data")
    run = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(rows, P(), P()),
        out_specs=out_specs,
        axis_names={"data"},
        check_vma=False,
    )
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, specs, strict=True)]
    program = jax.jit(run).lower(*placed).compile()
    return program(*placed), bytes_by_kind(collectives(program.as_text()))


ALL = (P("data"), P("data"), P(), P("data"))


def plainly(x, kernel, weights):
    value, pull = jax.vjp(looped, x, kernel, weights)
    dx, *others = pull(jnp.cos(value))
    return value, dx, others, jax.jvp(looped, (x, kernel, weights), (x, kernel, weights))[1]


@pytest.mark.parametrize(
    ("parallel", "kernel", "joined"),
    [("row", P(None, "model"), B // 2 * O), ("column", P(None, None, "model"), B // 2 * I)],
)
def test_a_loop_is_joined_once(arrays, parallel, kernel, joined):
    """By inputs: the result; by outputs: the gradient by x."""
    specs = (P("data"), kernel, P())
    got, _ = over_mesh(partial(local, parallel), 2, specs, arrays, ALL)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, got, plainly(*arrays))
    two, sent = over_mesh(lambda *args: local(parallel, *args)[:2], 2, specs, arrays, ALL[:2])
    jax.tree.map(close, two, got[:2])
    assert sent == {"all-reduce": 4 * joined}


@pytest.mark.parametrize("parallel", [None, "row", "column"])
def test_channels_that_the_axis_does_not_divide_are_replicated(arrays, parallel):
    x, kernel, weights = arrays
    fewer = x[:, :6], kernel[:, :6], weights
    got, _ = over_mesh(partial(local, parallel), 4, (P("data"), P(), P()), fewer, ALL)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, plainly(*fewer))


def test_without_a_mesh_the_product_is_itself(arrays):
    np.testing.assert_array_equal(
        sharded_product(looped, *arrays, parallel="row", kernel=1), looped(*arrays)
    )


def specs_of(model, mesh="model=2"):
    """The spec of every parameter by its path."""
    params, others = (nnx.as_pure(part) for part in nnx.split(model, nnx.Param, ...)[1:])
    specs = specs_by_rules(model.tensor_rules(), params, parse_mesh(mesh), stats=others)
    found = jax.tree.leaves_with_path(specs, is_leaf=lambda leaf: isinstance(leaf, P))
    return {"/".join(str(k.key) for k in keys): spec for keys, spec in found}


def test_rules_follow_from_a_pair():
    """The first layer by outputs with its bias, those between by channels, the second by inputs."""
    rngs = nnx.Rngs(0)
    inner = Sequential(
        nnx.Linear(2, 4, rngs=rngs), BatchNorm(4), LIF(4), nnx.Linear(4, 2, rngs=rngs)
    )
    model = Sequential(inner, nnx.Linear(2, 2, rngs=rngs))
    assert model.tensor_rules() == ()
    first, norm, cells, second = inner.layers
    pair(first, [norm, cells], second)
    specs = specs_of(model)
    assert specs["layers/0/layers/0/kernel"] == P(None, "model")
    assert specs["layers/0/layers/0/bias"] == P("model")
    assert specs["layers/0/layers/1/scale"] == specs["layers/0/layers/1/shift"] == P("model")
    assert specs["layers/0/layers/3/kernel"] == P("model")
    replicated = {"layers/0/layers/3/bias", "layers/1/kernel", "layers/1/bias"}
    assert {specs[name] for name in replicated} == {P()}


@pytest.mark.parametrize("learn", [True, False])
def test_the_axes_of_every_kind_of_layer(learn):
    """Row shards inputs, column outputs, wherever the axes of the parameters are."""

    def layers():
        rngs = nnx.Rngs(0)
        yield (
            nnx.LinearGeneral(4, (2, 3, 8), rngs=rngs),
            {
                "column": {"kernel": P(None, "model"), "bias": P("model")},
                "row": {"kernel": P("model"), "bias": P()},
            },
        )
        yield (
            nnx.Conv(4, 4, (3, 3), rngs=rngs),
            {
                "column": {"kernel": P(None, None, None, "model"), "bias": P("model")},
                "row": {"kernel": P(None, None, "model"), "bias": P()},
            },
        )
        yield (
            Conv(4, 4, 3, rngs=rngs),
            {
                "column": {"weight": P(None, None, None, "model")},
                "row": {"weight": P(None, None, "model")},
            },
        )
        yield (
            SparseConv(4, 4, 3, use_bias=True, rngs=rngs),
            {
                "column": {"weight": P(None, None, "model"), "bias": P("model")},
                "row": {"weight": P(None, "model"), "bias": P()},
            },
        )
        delay = {"delays/delay": P(None, "model")}, {"delays/delay": P("model")}
        yield (
            DelayedLinear(4, 4, 4, trainable_delays=learn, rngs=rngs),
            {
                "column": {"weight": P(None, "model")} | (delay[0] if learn else {}),
                "row": {"weight": P("model")} | (delay[1] if learn else {}),
            },
        )

    for layer, wanted in layers():
        for parallel, specs in wanted.items():
            shard_as(layer, parallel)
            model = Sequential(layer)
            assert {k.removeprefix("layers/0/"): v for k, v in specs_of(model).items()} == specs


def test_a_layer_that_says_nothing_of_its_axes_is_named():
    class Odd(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.ones((2, 2)))

    odd = Odd()
    shard_as(odd, "row")
    with pytest.raises(ValueError, match=r"Odd cannot be sharded .* @snnjax\.nn\.channel_axes"):
        Sequential(odd).tensor_rules()
