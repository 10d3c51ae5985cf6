"""Online gradients and truncated backpropagation against full backpropagation; their memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.neurons import (
    LIFParams,
    lif_init,
    lif_step,
    recurrent_init,
    recurrent_step,
)
from snnjax.plasticity import EPropParams, OTTTParams, eprop_init, eprop_step, ottt_init, ottt_step
from snnjax.unroll import online_gradient, online_update, unroll, unroll_truncated
from tests.reference.rtrl import rtrl_gradient

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, M, N = 11, 8, 4, 5
NEURON = partial(lif_step, LIFParams(0.8, 1.0))


def net_step(params, state, x):
    """A recurrent LIF layer; the loss of a step is that of its spikes and of its input weights."""
    spikes, target = x
    cell = partial(recurrent_step, NEURON, lambda z: z @ params["back"])
    state, z = cell(state, spikes @ params["in"])
    return state, jnp.sum(target * z) + 0.1 * jnp.sum(params["in"] ** 2)


def problem(steps=T, batch=B, dtype=np.float32):
    rng = np.random.default_rng(0)
    params = {
        "in": jnp.asarray(rng.normal(0.3, 1.0, (M, N)), dtype),
        "back": jnp.asarray(rng.normal(0.0, 0.5, (N, N)), dtype),
    }
    spikes = jnp.asarray(rng.random((steps, batch, M)) < 0.4, dtype)
    targets = jnp.asarray(rng.normal(size=(steps, batch, N)), dtype)
    state = recurrent_init(lif_init((batch, N), dtype), (batch, N), dtype)
    return params, state, (spikes, targets)


def through_time(params, state, xs, **options):
    """State, gradient and losses by reverse mode over all steps, truncated with `window`."""
    run = partial(unroll_truncated, **options) if options else unroll

    def total(params):
        after, losses = run(partial(net_step, params), state, xs)
        return losses.sum(), (after, losses)

    grads, (after, losses) = jax.jit(jax.grad(total, has_aux=True))(params)
    return after, grads, losses


def agree(got, want, **tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-4, "atol": 1e-4}))


@pytest.mark.parametrize("window", [T, T + 100])
def test_a_window_of_all_steps_is_backpropagation(window):
    args = problem()
    want = through_time(*args)
    agree(through_time(*args, window=window), want)
    agree(jax.jit(partial(online_gradient, net_step, window=window))(*args), want)


@pytest.mark.parametrize("window", [1, 3, 5, T - 1])
def test_windows_are_those_of_truncated_backpropagation(window):
    """Also when the last window is shorter."""
    args = problem()
    want = through_time(*args, window=window)
    agree(jax.jit(partial(online_gradient, net_step, window=window))(*args), want)
    full = through_time(*args)
    agree((want[0], want[2]), (full[0], full[2]))
    assert float(jnp.abs(want[1]["in"] - full[1]["in"]).max()) > 1e-2


def test_a_truncated_gradient_equals_the_sum_of_its_windows():
    """A linear filter v' = a v + w x with loss v: d/dw by windows of 3."""
    x = np.random.default_rng(0).normal(size=8)
    grad = 0.0
    for t in range(8):
        grad += sum(0.5 ** (t - s) * x[s] for s in range(3 * (t // 3), t + 1))

    def step(w, v, x):
        v = 0.5 * v + w * x
        return v, v

    got = online_gradient(step, 2.0, 0.0, jnp.asarray(x, jnp.float32), window=3)[1]
    assert float(got) == pytest.approx(grad, rel=1e-5)


def test_the_start_keeps_its_gradient_within_the_first_window():
    def total(v, window):
        return unroll_truncated(lambda v, x: (v + x, v + x), v, jnp.ones(5), window=window)[1].sum()

    assert [float(jax.grad(total)(0.0, k)) for k in (1, 2, 5)] == [1.0, 2.0, 5.0]


def test_one_step_agrees_for_all_rules():
    params, _, (spikes, targets) = problem(steps=1)
    weight, cell = params["in"], lif_init((B, N))

    def loss(state, z, x):
        return state, jnp.sum(x[1] * z)

    def plain(weight, state, x):
        return loss(*NEURON(state, x[0] @ weight), x)

    def ottt(weight, state, x):
        trace, current = ottt_step(OTTTParams(weight, 0.8), state[0], x[0])
        cell, z = NEURON(state[1], current)
        return loss((trace, cell), z, x)

    def eprop(weight, state, x):
        return loss(*eprop_step(NEURON, EPropParams(weight), state, x[0]), x)

    states = cell, (ottt_init((B, M)), cell), eprop_init(cell, (B, N), M)
    found = [
        online_gradient(step, weight, state, (spikes, targets))[1]
        for step, state in zip((plain, ottt, eprop), states, strict=True)
    ]
    want = jax.grad(lambda w: plain(w, cell, (spikes[0], targets[0]))[1])(weight)
    for got in found:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_real_time_recurrent_learning_is_backpropagation():
    """The oracle of exact online gradients, on 5 recurrent neurons, in float64."""
    with jax.enable_x64(True):
        args = problem(batch=1, dtype=np.float64)
        want = through_time(*args)[1]
        agree(jax.jit(partial(rtrl_gradient, net_step))(*args), want, rtol=1e-10)
        agree(online_gradient(net_step, *args, window=T)[1], want, rtol=1e-10)


def test_auxiliary_output():
    params, state, xs = problem()

    def step(params, state, x):
        state, loss = net_step(params, state, x)
        return state, (loss, {"spikes": state.out})

    last, grads, (losses, aux) = online_gradient(step, params, state, xs, window=4, has_aux=True)
    agree((last, grads, losses), online_gradient(net_step, params, state, xs, window=4))
    assert aux["spikes"].shape == (T, B, N)
    np.testing.assert_array_equal(aux["spikes"][-1], last.out)


@pytest.mark.parametrize("window", [1, 4])
def test_updates_while_time_goes_on_equal_a_loop(window):
    params, state, xs = problem()
    opt = optax.adam(0.05)

    def update(params, memory, grads):
        updates, memory = opt.update(grads, memory, params)
        return optax.apply_updates(params, updates), memory

    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        memory = opt.init(params)
        got = jax.jit(partial(online_update, net_step, update, window=window))(
            params, memory, state, xs
        )
        losses = []
        for start in range(0, T, window):
            chunk = jax.tree.map(lambda x, s=start: x[s : s + window], xs)
            state, grads, loss = online_gradient(net_step, params, state, chunk, window=window)
            params, memory = update(params, memory, grads)
            losses.append(loss)
    agree(got, (params, memory, state, jnp.concatenate(losses)))


def rules():
    """Steps of three rules and of the plain layer, with their states."""
    loss = lambda state, z: (state, jnp.sum(z))  # noqa: E731
    cell = lif_init((B, N))

    def ottt(weight, state, x):
        trace, current = ottt_step(OTTTParams(weight, 0.8), state[0], x)
        cell, z = NEURON(state[1], current)
        return loss((trace, cell), z)

    return {
        "sltt": (lambda w, s, x: loss(*NEURON(s, x @ w)), cell),
        "ottt": (ottt, (ottt_init((B, M)), cell)),
        "eprop": (
            lambda w, s, x: loss(*eprop_step(NEURON, EPropParams(w), s, x)),
            eprop_init(cell, (B, N), M),
        ),
    }


def scratch(run, weight, state, steps):
    xs = jax.ShapeDtypeStruct((steps, B, M), jnp.float32)
    return jax.jit(run).lower(weight, state, xs).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("rule", ["sltt", "ottt", "eprop"])
def test_memory_of_online_rules_does_not_grow_with_time(rule):
    step, state = rules()[rule]
    run = partial(online_gradient, step)
    short, long = (scratch(run, jnp.ones((M, N)), state, steps) for steps in (64, 512))
    assert 0 < long <= short + 64, (short, long)


def test_memory_of_windows_and_of_backpropagation():
    step, state = rules()["sltt"]
    weight = jnp.ones((M, N))
    windows = partial(online_gradient, step, window=8)
    short, long = (scratch(windows, weight, state, steps) for steps in (64, 512))
    assert long <= short + 64, (short, long)

    def through_time(weight, state, xs):
        return jax.grad(lambda w: unroll(partial(step, w), state, xs)[1].sum())(weight)

    short, long = (scratch(through_time, weight, state, steps) for steps in (64, 512))
    assert long > 6 * short


@pytest.mark.parametrize("window", [1, 4])
def test_devices_add_up_their_gradients(window):
    """As jax.grad does inside shard_map; and updates keep equal parameters equal."""
    params, state, xs = problem()
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))

    def decayless(params, state, x):
        state, loss = net_step(params, state, x)
        return state, loss - 0.1 * jnp.sum(params["in"] ** 2)

    def local(params, state, xs):
        _, grads, losses = online_gradient(decayless, params, state, xs, window=window)
        return grads, jax.lax.psum(losses, "data")

    def training(params, state, xs):
        sgd = lambda p, m, g: (jax.tree.map(lambda p, g: p - 0.01 * g, p, g), m)  # noqa: E731
        return online_update(decayless, sgd, params, None, state, xs, window=window)[0]

    def sharded(run, out):
        specs = P(), P("data"), P(None, "data")
        return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=out))

    want = online_gradient(decayless, params, state, xs, window=window)
    agree(sharded(local, P())(params, state, xs), want[1:])
    sgd = lambda p, m, g: (jax.tree.map(lambda p, g: p - 0.01 * g, p, g), m)  # noqa: E731
    want = online_update(decayless, sgd, params, None, state, xs, window=window)[0]
    agree(sharded(training, P())(params, state, xs), want)


def test_many_small_gradients_of_narrow_parameters_add_up():
    """1000 gradients of 1/128 are 7.8; in bfloat16 alone they stop at 2."""
    xs = jnp.full((1000,), 1 / 128, jnp.bfloat16)
    grads = online_gradient(lambda w, s, x: (s, w * x), jnp.array(1.0, jnp.bfloat16), 0.0, xs)[1]
    assert grads.dtype == jnp.bfloat16
    assert float(grads) == pytest.approx(1000 / 128, rel=1e-2)


def test_errors_say_what_to_do():
    params, state, xs = problem()
    with pytest.raises(ValueError, match="`window` must be at least 1 step; got 0"):
        online_gradient(net_step, params, state, xs, window=0)
    with pytest.raises(TypeError, match="`window` must be an int"):
        unroll_truncated(partial(net_step, params), state, xs, window=2.0)
    with pytest.raises(ValueError, match="`reverse` is not supported"):
        unroll_truncated(partial(net_step, params), state, xs, window=2, reverse=True)
    with pytest.raises(ValueError, match="the loss of a step must be a scalar"):
        online_gradient(lambda p, s, x: (s, p["in"].sum(0)), params, state, xs)
