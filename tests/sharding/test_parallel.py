"""Rules of pairs and of parts, and products whose loops the partitioner does not see through."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import (
    bytes_by_kind,
    collectives,
    cut_product,
    pair_rules,
    parse_mesh,
    rules_under,
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


def local(cut, x, kernel, weights):
    """Value, gradients and a tangent on one device of "data"."""
    product = partial(cut_product, looped, cut=cut, kernel=1)
    value, pull = jax.vjp(product, x, kernel, weights)
    dx, *whole = pull(jnp.cos(value))
    tangent = jax.jvp(product, (x, kernel, weights), (x, kernel, weights))[1]
    return value, dx, lax.psum(whole, "data"), tangent


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
    dx, *whole = pull(jnp.cos(value))
    return value, dx, whole, jax.jvp(looped, (x, kernel, weights), (x, kernel, weights))[1]


@pytest.mark.parametrize(
    ("cut", "kernel", "joined"),
    [("inputs", P(None, "model"), B // 2 * O), ("outputs", P(None, None, "model"), B // 2 * I)],
)
def test_a_loop_is_joined_once(arrays, cut, kernel, joined):
    """By inputs: the result; by outputs: the gradient by x."""
    specs = (P("data"), kernel, P())
    got, _ = over_mesh(partial(local, cut), 2, specs, arrays, ALL)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, got, plainly(*arrays))
    two, sent = over_mesh(lambda *args: local(cut, *args)[:2], 2, specs, arrays, ALL[:2])
    jax.tree.map(close, two, got[:2])
    assert sent == {"all-reduce": 4 * joined}


@pytest.mark.parametrize("cut", [None, "inputs", "outputs"])
def test_channels_that_the_axis_does_not_divide_stay_whole(arrays, cut):
    x, kernel, weights = arrays
    fewer = x[:, :6], kernel[:, :6], weights
    got, _ = over_mesh(partial(local, cut), 4, (P("data"), P(), P()), fewer, ALL)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, plainly(*fewer))


def test_without_a_mesh_the_product_is_itself(arrays):
    np.testing.assert_array_equal(
        cut_product(looped, *arrays, cut="inputs", kernel=1), looped(*arrays)
    )


def test_rules_compose_by_prefix():
    pair = pair_rules("^fc1/kernel$", "^fc1/bias$", "^fc2/kernel$")
    rules = (*rules_under(r"blocks/\d+", pair), (".*", P()))
    shapes = {"fc1": {"kernel": (2, 4), "bias": (4,)}, "fc2": {"kernel": (4, 2), "bias": (2,)}}
    block = jax.tree.map(jnp.zeros, shapes, is_leaf=lambda a: isinstance(a, tuple))
    specs = specs_by_rules(rules, {"blocks": [block]}, parse_mesh("model=2"))["blocks"][0]
    assert specs["fc1"] == {"kernel": P(None, "model"), "bias": P("model")}
    assert specs["fc2"] == {"kernel": P("model"), "bias": P()}
    with pytest.raises(ValueError, match="begin with"):
        rules_under("head", (("kernel$", P()),))
