"""unroll against Python loops, for every way to remember and to record."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.neurons import LIFParams, LIParams, li_init, li_step, lif_init, lif_step
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, N = 7, 2, 3


class Net(NamedTuple):
    """A nested state."""

    hidden: Any
    readout: Any
    calls: jax.Array


def net_step(weight, state, x):
    hidden, z = lif_step(LIFParams(0.8, 1.0), state.hidden, x["a"] * x["b"][:, None])
    readout, v = li_step(LIParams(0.9), state.readout["li"], z @ weight)
    return Net(hidden, {"li": readout}, state.calls + 1), (z, v)


def net_state():
    return Net(lif_init((B, N)), {"li": li_init((B, 2))}, jnp.zeros((), jnp.int32))


@pytest.fixture(scope="module")
def weight():
    return jax.random.normal(jax.random.key(0), (N, 2))


@pytest.fixture(scope="module")
def xs():
    first, second = jax.random.split(jax.random.key(1))
    return {
        "a": jax.random.normal(first, (T, B, N)) + 0.5,
        "b": jax.random.uniform(second, (T, B)) + 0.5,
    }


@pytest.fixture(scope="module", params=[False, True], ids=["forward", "reverse"])
def loop(request, weight, xs):
    """Direction, and last state, outputs and membranes from a Python loop over a compiled step."""
    step = jax.jit(partial(net_step, weight))
    state, outs, traces = net_state(), [None] * T, [None] * T
    for t in reversed(range(T)) if request.param else range(T):
        state, outs[t] = step(state, jax.tree.map(lambda x, t=t: x[t], xs))
        traces[t] = state.hidden.v
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *outs)
    return request.param, state, stacked, np.stack(traces)


@pytest.mark.parametrize("checkpoint", [True, False, 1, 3, T - 1, T, 100])
def test_equals_the_loop(loop, weight, xs, checkpoint):
    reverse, want_state, want, trace = loop

    @jax.jit
    def run(weight, xs):
        return unroll(
            partial(net_step, weight),
            net_state(),
            xs,
            checkpoint=checkpoint,
            reverse=reverse,
            record=("hidden.v", "readout.li.v", "calls"),
        )

    state, (out, records) = run(weight, xs)
    jax.tree.map(np.testing.assert_array_equal, (state, out), (want_state, want))
    np.testing.assert_array_equal(records["hidden.v"], trace)
    np.testing.assert_array_equal(records["readout.li.v"], want[1])
    order = np.arange(1, T + 1)
    np.testing.assert_array_equal(records["calls"], order[::-1] if reverse else order)


def test_gradients_agree_and_segments_need_less_memory():
    """Without a stored T x state, the temporary memory of the backward pass is that of sqrt(T)."""
    steps, width = 512, 32
    x = jax.random.normal(jax.random.key(0), (steps, 4, width))
    weight = jax.random.normal(jax.random.key(1), (width, width)) * 0.2

    def loss(checkpoint, params):
        decay, weight = params

        def step(state, current):
            first, z = lif_step(LIFParams(decay, 1.0), state[0], current)
            second, _ = li_step(LIParams(0.95), state[1], z @ weight)
            return (first, second), None

        start = (lif_init((4, width)), li_init((4, width)))
        state, out = unroll(step, start, x, checkpoint=checkpoint)
        assert out is None
        return (state[1].v ** 2).sum()

    gradients, bytes_ = {}, {}
    for checkpoint in (True, False, 20):
        params = (jnp.full((width,), 0.9), weight)
        compiled = jax.jit(jax.grad(partial(loss, checkpoint))).lower(params).compile()
        gradients[checkpoint] = compiled(params)
        bytes_[checkpoint] = compiled.memory_analysis().temp_size_in_bytes
        for got, want in zip(gradients[checkpoint], gradients[True], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * jnp.abs(want).max())
            assert jnp.abs(got).max() > 0
    assert bytes_[True] < 0.7 * bytes_[False]
    assert bytes_[20] < 0.3 * bytes_[True]


@pytest.mark.parametrize("checkpoint", [True, False, 3])
def test_second_derivatives(checkpoint):
    """For a smooth recurrence, against finite differences of the first derivative."""

    def loss(a, steps=T):
        def step(s, x):
            s = jnp.tanh(a * s + x)
            return s, s

        return unroll(step, jnp.zeros(()), jnp.linspace(0, 1, steps), checkpoint=checkpoint)[
            1
        ].sum()

    with jax.enable_x64(True):
        a = jnp.array(0.7)
        got = jax.jit(jax.hessian(loss))(a)
        first = jax.jit(jax.grad(loss))
        want = (first(a + 1e-5) - first(a - 1e-5)) / 2e-5
        assert float(got) == pytest.approx(float(want), rel=1e-6)
        forward = jax.jit(jax.jacfwd(loss))(a)
        assert float(forward) == pytest.approx(float(first(a)), rel=1e-12)


def test_the_step_is_traced_once():
    traces = []

    def step(s, x):
        traces.append(1)
        return s + x, s

    run = jax.jit(lambda s, x: unroll(step, s, x, checkpoint=4))
    for factor in (1.0, 2.0):
        run(jnp.zeros(3), factor * jnp.ones((8, 3)))
    assert len(traces) == 1


def test_record_of_a_tuple_and_of_a_dataclass():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Trace:
        x: jax.Array

    def step(s, x):
        return (s[0] + x, Trace(s[1].x * x)), None

    xs = jnp.arange(1.0, 5.0)
    _, (out, records) = unroll(step, (0.0, Trace(1.0)), xs, record=("0", "1.x"))
    assert out is None
    np.testing.assert_array_equal(records["0"], jnp.cumsum(xs))
    np.testing.assert_array_equal(records["1.x"], jnp.cumprod(xs))


def test_a_list_of_arrays_is_a_tree_of_inputs():
    last, _ = unroll(lambda s, x: (s + x[0] * x[1], None), 0.0, [jnp.ones(3), np.arange(3.0)])
    assert float(last) == 3


def test_numpy_input_scalars_and_a_state_without_arrays():
    last, out = unroll(lambda s, x: (s + x, s * x), 0.0, np.arange(3, dtype=np.float32))
    assert (float(last), out.tolist()) == (3.0, [0.0, 0.0, 2.0])
    state, out = unroll(lambda s, x: (s, x + 1), None, jnp.arange(3))
    assert (state, out.tolist()) == (None, [1, 2, 3])


def add(s, x):
    return s + x, s


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (jnp.zeros((0, 3)), "T = 0 time steps; at least one is needed"),
        ({"a": jnp.zeros((0, 3)), "b": jnp.zeros(0)}, "T = 0 time steps"),
        (jnp.zeros(()), r"share one leading time axis T; got xs: None"),
        (
            (jnp.zeros(3), jnp.zeros(4)),
            r"share one leading time axis T; got xs\[0\]: 3, xs\[1\]: 4",
        ),
        ((), "`xs` holds no arrays"),
    ],
)
@pytest.mark.parametrize("checkpoint", [True, 2])
def test_bad_inputs(xs, message, checkpoint):
    with pytest.raises(ValueError, match=message):
        unroll(add, jnp.zeros(3), xs, checkpoint=checkpoint)


@pytest.mark.parametrize("checkpoint", [True, False, 2])
def test_bad_steps(checkpoint):
    run = partial(unroll, xs=jnp.ones((4, 3)), checkpoint=checkpoint)
    with pytest.raises(TypeError, match=r"must return a pair \(state, out\); got ArrayImpl|Tracer"):
        run(lambda s, x: s + x, jnp.zeros(3))
    with pytest.raises(TypeError, match=r"must return a pair .*; got tuple"):
        run(lambda s, x: (s, x, x), jnp.zeros(3))
    with pytest.raises(
        ValueError, match=r"state went in as float32\[\] and came out as float32\[3\]"
    ):
        run(add, jnp.zeros(()))
    with pytest.raises(
        ValueError, match=r"state.v went in as bfloat16\[3\] and came out as float32\[3\]"
    ):
        run(lambda s, x: (s._replace(v=x), x), lif_init((3,), jnp.bfloat16))
    with pytest.raises(ValueError, match=r"must keep the structure of the state"):
        run(lambda s, x: ((s, s), x), jnp.zeros(3))


def test_bad_options():
    run = partial(unroll, add, jnp.zeros(3), jnp.ones((4, 3)))
    for checkpoint in (0, -2):
        with pytest.raises(ValueError, match="segment length must be at least 1"):
            run(checkpoint=checkpoint)
    for checkpoint in (2.0, "all", None):
        with pytest.raises(TypeError, match="must be True, False or a segment length"):
            run(checkpoint=checkpoint)
    with pytest.raises(TypeError, match=r"tuple of names, such as \('v',\); got a string"):
        run(record="v")
    with pytest.raises(ValueError, match="`record` names 'v', but the state has no 'v'"):
        run(record=("v",))
    state = net_state()
    for name, message in [
        ("hidden.u", "has no 'u'; it has v"),
        ("hiden", "has no 'hiden'; it has hidden, readout, calls"),
        ("readout.x.v", "has no 'x'; it has li"),
    ]:
        with pytest.raises(ValueError, match=message):
            unroll(add, state, jnp.ones(4), record=(name,))


@pytest.mark.parametrize("checkpoint", [True, 3])
def test_in_a_manual_data_shard(checkpoint):
    """A fresh state meets a sharded batch: values and gradients equal those of one device."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x = jax.random.normal(jax.random.key(0), (T, 16, N)) + 0.3
    params = LIFParams(jnp.full((N,), 0.9), jnp.array(1.0))

    def loss(axis, params, x):
        step, state = partial(lif_step, params), lif_init(x.shape[1:])
        state, z = unroll(step, state, x, checkpoint=checkpoint)
        total = (z * x).sum() + (state.v**2).sum()
        return jax.lax.psum(total, axis) if axis else total

    sharded = jax.shard_map(
        partial(loss, "data"),
        mesh=mesh,
        in_specs=(P(), P(None, "data")),
        out_specs=P(),
        axis_names={"data"},
    )
    got, want = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(params, x)
        for f in (sharded, partial(loss, None))
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, want)


def test_random_keys_as_inputs_and_as_state():
    keys = jax.random.split(jax.random.key(0), 5)
    _, out = unroll(lambda s, key: (s, jax.random.normal(key)), jnp.zeros(()), keys, checkpoint=2)
    np.testing.assert_array_equal(out, jax.vmap(jax.random.normal)(keys))
    walk = unroll(
        lambda key, _: tuple(jax.random.split(key)), jax.random.key(0), jnp.arange(5), checkpoint=2
    )
    assert len({tuple(jax.random.key_data(key).tolist()) for key in walk[1]}) == 5
