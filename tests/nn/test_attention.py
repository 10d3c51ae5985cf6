"""Spiking self-attention and the block of Spikformer, against a slow loop in NumPy."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import count_parameters
from snnjax.nn import (
    BatchNorm,
    Neurons,
    SpikformerBlock,
    SpikingDense,
    SpikingSelfAttention,
    attention_product,
    kaiming_uniform,
)
from snnjax.surrogates import sigmoid, soft
from tests.reference import spikformer

T, B, N, D, H = 4, 3, 5, 8, 2


def drawn(key, shape, dtype=jnp.float32):
    """Kaiming-uniform kernels by their first axis, of one output axis or of several."""
    return kaiming_uniform(key, (1, shape[0], int(np.prod(shape[1:])))).reshape(shape).astype(dtype)


def block_of(seed=0, **options):
    """A block of kernels large enough that its neurons fire, scales and shifts not at rest."""
    options = {"kernel_init": drawn, "qkv_bias": True, "hidden": 12, **options}
    block = SpikformerBlock(D, H, rngs=nnx.Rngs(seed), **options)
    graph, params, rest = nnx.split(block, nnx.Param, ...)
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda a: jnp.asarray(np.abs(a) + rng.uniform(0, 0.9, a.shape)), params)
    return nnx.merge(graph, params, rest)


def tokens(dtype=np.float32):
    return jnp.asarray(np.random.default_rng(1).integers(0, 3, (T, B, N, D)), dtype)


def fresh(block):
    """A copy inside of a trace, whose statistics may move there."""
    graph, state = nnx.split(block)
    return nnx.merge(graph, nnx.as_pure(state))


def plain(layer):
    """The arrays of a dense layer and its norm, all outputs along one axis."""
    found = {
        "weight": np.asarray(layer.dense.kernel[...], np.float64),
        "scale": np.asarray(layer.norm.scale[...], np.float64),
        "shift": np.asarray(layer.norm.shift[...], np.float64),
    }
    found["weight"] = found["weight"].reshape(len(found["weight"]), -1)
    if layer.dense.bias is None:
        return found
    return {**found, "bias": np.asarray(layer.dense.bias[...], np.float64).reshape(-1)}


def apart(layer):
    """The queries, keys and values of one kernel: its outputs are (head, which of them, width)."""
    return {
        name: {key: a.reshape(*a.shape[:-1], H, 3, D // H)[..., index, :].reshape(*a.shape[:-1], D)
               for key, a in plain(layer).items()}
        for index, name in enumerate("qkv")
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    """The block in training mode, with its statistics after it, as one program."""
    block = block_of()

    @jax.jit
    def run(x):
        copy = fresh(block)
        _, out = copy(None, x, train=True)
        return out, nnx.as_pure(nnx.state(copy, nnx.BatchStat))

    return block, run(tokens())


def test_a_block_equals_the_slow_loop(whole):
    block, (out, _) = whole
    layers = {**apart(block.attention.qkv), "out": plain(block.attention.out)}
    layers |= {name: plain(getattr(block.mlp, name)) for name in ("first", "second")}
    want, margin = spikformer.block(np.asarray(tokens(), np.float64), layers, H, 0.125)
    assert margin > 1e-5  # no spike hangs on rounding
    np.testing.assert_array_equal(out, want)
    added = np.asarray(out - tokens())
    assert set(np.unique(added)) == {0, 1, 2}  # both branches spike, and neither always


def test_the_norms_move_towards_the_batch(whole):
    block, (_, stats) = whole
    qkv = plain(block.attention.qkv)
    y = (np.asarray(tokens()) @ qkv["weight"]).reshape(-1, 3 * D) + qkv["bias"]
    moved = stats["attention"]["qkv"]["norm"]
    np.testing.assert_allclose(moved["mean"], 0.1 * y.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moved["var"], 0.9 + 0.1 * y.var(0, ddof=1), rtol=1e-5)


@pytest.fixture(scope="module")
def evaluated():
    """In evaluation: a function of the state and x, to split sequences and permute tokens."""
    block = block_of()
    return block, jax.jit(lambda state, x: block(state, x))


def test_time_mixes_through_the_state_alone(evaluated):
    _, run = evaluated
    x = tokens()
    state, out = run(None, x)
    middle, first = run(None, x[:2])
    last, second = run(middle, x[2:])
    np.testing.assert_array_equal(jnp.concatenate([first, second]), out)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), last, state)


def test_tokens_are_a_set(evaluated):
    _, run = evaluated
    x, order = tokens(), np.random.default_rng(0).permutation(N)
    assert not np.array_equal(order, np.arange(N))
    out = run(None, x)[1]
    np.testing.assert_array_equal(run(None, x[:, :, order])[1], out[:, :, order])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(2, 300, 1, 4), (1, 3, 2, 300)])
def test_both_orders_are_equal_bit_for_bit(shape, dtype):
    """Sums above 256, which bfloat16 does not hold."""
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.random(shape) < 0.95, dtype) for _ in range(3))
    scores, context, chosen = (
        attention_product(q, k, v, scale=0.125, order=order)
        for order in ("scores", "context", None)
    )
    whole = np.einsum("bnhd,bmhd,bmhe->bnhe", *(np.asarray(a, np.int64) for a in (q, k, v)))
    assert scores.dtype == jnp.float32
    assert whole.max() > 256
    for out in (scores, context, chosen):
        np.testing.assert_array_equal(out, 0.125 * whole)


@pytest.mark.parametrize(("n", "d", "between"), [(5, 4, (2, 4, 4)), (4, 5, (2, 4, 4))])
def test_the_cheaper_order_is_taken(n, d, between):
    """Five tokens of width 4 meet as K^T V [4, 4], four of width 5 as Q K^T [4, 4]."""
    x = jnp.ones((n, 2, d))
    jaxpr = jax.make_jaxpr(partial(attention_product, scale=1.0))(x, x, x)
    products = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert products[0].outvars[0].aval.shape == between  # pyright: ignore


@pytest.mark.parametrize(("bias", "counted"), [(False, 24), (True, 27)])
def test_parameters_are_counted_as_published(bias, counted):
    """12 D^2 + 6 D of biases + 18 D of norms, and 3 D more for CIFAR."""
    block = nnx.eval_shape(lambda: SpikformerBlock(384, 12, qkv_bias=bias, rngs=nnx.Rngs(0)))
    assert count_parameters(block) == 12 * 384**2 + counted * 384
    assert count_parameters(block.attention.qkv) == 3 * (384**2 + 2 * 384 + bias * 384)


def test_gradients_equal_finite_differences_where_spikes_are_soft():
    """One step from rest, in which no reset matters, so that the soft block is smooth."""
    with jax.enable_x64(True):
        neurons = Neurons(spike=soft(partial(sigmoid, slope=4.0)))
        block = block_of(neurons=neurons)
        graph, params, rest = nnx.split(block, nnx.Param, ...)
        params = jax.tree.map(lambda a: a.astype(jnp.float64), nnx.as_pure(params))
        rest = jax.tree.map(lambda a: a.astype(jnp.float64), nnx.as_pure(rest))
        x = tokens(np.float64)[:1]
        upstream = jnp.asarray(np.random.default_rng(3).normal(size=x.shape))

        def loss(args):
            params, x = args
            net = nnx.merge(graph, params, rest)
            return (net(None, x, train=True)[1] * upstream).sum()

        rng = np.random.default_rng(2)
        direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), (params, x))

        def moved(h):
            return loss(jax.tree.map(lambda a, d: a + h * d, (params, x), direction))

        @jax.jit
        def slopes(h):
            both = jax.lax.map(moved, jnp.array([h, -h]))
            return (both[0] - both[1]) / (2 * h), *jax.jvp(jax.grad(moved), (0.0,), (1.0,))

        difference, slope, curvature = slopes(1e-5)
        np.testing.assert_allclose(difference, slope, rtol=1e-6)
        assert np.isfinite(curvature)  # forward mode over reverse mode


def test_gradients_reach_every_parameter():
    """But biases, which the norm of a batch undoes."""
    block = block_of()
    graph, params, rest = nnx.split(block, nnx.Param, ...)
    rest = nnx.as_pure(rest)
    x = tokens()
    upstream = jnp.asarray(np.random.default_rng(3).normal(size=x.shape), jnp.float32)

    @jax.jit
    @jax.grad
    def gradient(params):
        net = nnx.merge(graph, params, rest)
        return (net(None, x, train=True)[1] * upstream).sum()

    for keys, leaf in jax.tree.leaves_with_path(nnx.as_pure(gradient(params))):
        assert np.isfinite(leaf).all(), keys
        assert np.abs(leaf).max() > 1e-3 or "bias" in str(keys), keys


def test_dropped_branches_are_whole():
    block = block_of(drop_path=0.5)
    x = jnp.broadcast_to(tokens()[:, :1], (T, 16, N, D))
    key = jax.random.key(0)
    run = jax.jit(lambda key: fresh(block)(None, x, key=key, train=True))
    out = run(key)[1]
    added = np.asarray(out - x).swapaxes(0, 1).reshape(16, -1)
    assert set(np.unique(added)) <= {0, 2, 4}
    silent = (added == 0).all(1)
    assert silent.any()
    assert not silent.all()
    with pytest.raises(ValueError, match=r"drop_path: DropPath\(0\.5\) draws .* key="):
        block(None, x, train=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SpikingSelfAttention(10, 4, rngs=nnx.Rngs(0)), "features=12"),
        (lambda: SpikingSelfAttention(8, 2, order="kv", rngs=nnx.Rngs(0)), "scores"),  # pyright: ignore
        (lambda: SpikformerBlock(8, 2, drop_path=1.0, rngs=nnx.Rngs(0)), "rate must be in"),
        (lambda: SpikingDense(8, (2, 0), rngs=nnx.Rngs(0)), "features"),
        (lambda: BatchNorm(3)(jnp.ones((2, 4))), "Channels are the last axis"),
        (
            lambda: attention_product(*[jnp.ones((3, 2, 4))] * 2, jnp.ones((3, 2, 5)), scale=1.0),
            "must all be",
        ),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_images_are_not_tokens():
    block = block_of()
    with pytest.raises(ValueError, match="Merge places into N"):
        block(None, jnp.ones((T, B, 2, 2, D)))
    with pytest.raises(TypeError, match="share a floating dtype"):
        attention_product(*[jnp.ones((3, 2, 4))] * 2, jnp.ones((3, 2, 4), int), scale=1.0)
