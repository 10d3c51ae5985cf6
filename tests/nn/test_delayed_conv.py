"""Convolutions in space with delays in time: a dense loop, streams, differences, whole delays."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.delays import kernel_of, ring_init, ring_step
from snnjax.metrics import count_parameters
from snnjax.nn import DelayedConv, learned_delays
from tests.reference.delays import bump

T, B, H, W, C, N, S, MAX_DELAY, SIGMA = 7, 2, 4, 3, 2, 3, 3, 3, 0.75
X = np.random.default_rng(0).normal(size=(T, B, H, W, C)).astype(np.float32)
MAKE = {
    "synapse": partial(DelayedConv, C, N, S, MAX_DELAY, kernel_count=2),
    "input": partial(DelayedConv, C, N, S, MAX_DELAY, per="input"),
    "output": partial(DelayedConv, C, N, S, MAX_DELAY, per="output"),
}
COUNTS = {"synapse": 2 * 2 * S * S * C * N, "input": S * S * C * N + C, "output": S * S * C * N + N}


def made(per, **options):
    """A layer with numbers of NumPy: drawing them takes JAX longer to compile than all else."""
    graph, state = nnx.split(nnx.eval_shape(lambda: MAKE[per](rngs=nnx.Rngs(0), **options)))
    rng = np.random.default_rng(1)

    def number(leaf):
        drawn = rng.uniform(0, MAX_DELAY, leaf.shape) if leaf.ndim else SIGMA
        return jnp.asarray(drawn, leaf.dtype)

    return nnx.merge(graph, jax.tree.map(number, state))


def loop(weight, delay, per, x, shape="gaussian"):
    """Every place, every neighbour and every lag on its own."""
    weight = weight.reshape(S, S, C, N, -1)
    axes = {"synapse": weight.shape, "input": (C, 1, 1), "output": (N, 1)}[per]
    delay = np.broadcast_to(delay.reshape(axes), weight.shape)
    y = np.zeros((len(x), B, H, W, N))
    for (u, v, i, o, c), w in np.ndenumerate(weight):
        taps = bump(delay[u, v, i, o, c], SIGMA, MAX_DELAY, shape)
        for h, left in np.ndindex(H, W):
            row, column = h + u - S // 2, left + v - S // 2
            if 0 <= row < H and 0 <= column < W:
                for j, tap in enumerate(taps):
                    y[j:, :, h, left, o] += w * tap * x[: len(x) - j, :, row, column, i]
    return y


@pytest.mark.parametrize("per", MAKE)
def test_a_stream_and_whole_delays_against_a_dense_loop(per):
    layer = made(per)
    weight, delay = np.asarray(layer.weight[...]), np.asarray(layer.delays.delay[...])
    late = np.concatenate([X, np.zeros((2, B, H, W, C), np.float32)])

    @jax.jit
    def run(late):
        def step(state, frame):
            state, y = layer(state, frame[None])
            return state, y[0]

        rounded = layer(None, late, round_delays=True)
        return *rounded, *jax.lax.scan(step, layer.init_state((B, H, W)), late[:T])

    state, rounded, last, steps = run(late)
    np.testing.assert_allclose(steps, loop(weight, delay, per, X), atol=1e-5)
    want = loop(weight, np.round(delay), per, late, shape="two")
    np.testing.assert_allclose(rounded, want, atol=1e-5)
    assert np.abs(want[T:]).max() > 0.1
    assert state.shape == (B, MAX_DELAY, H, W, N if per == "output" else C)
    assert not state[:, -2:].any()  # the silence at the end
    np.testing.assert_array_equal(state[:, :-2], last[:, 2:])
    assert count_parameters(layer) == COUNTS[per]
    assert list(learned_delays(layer)) == ["delays"]


def test_a_sequence_is_a_ring_of_patches_and_gradients_are_differences():
    layer = made("synapse")
    graph, params, rest = nnx.split(layer, nnx.Param, ...)
    with jax.enable_x64(True):
        params, rest, x = jax.tree.map(
            partial(np.asarray, dtype=np.float64), (*nnx.as_pure((params, rest)), X)
        )
        upstream = np.random.default_rng(1).normal(size=(T, B, H, W, N))

        @jax.jit
        @partial(jax.value_and_grad, has_aux=True)
        def loss(delay):
            net = nnx.merge(graph, {**params, "delays": {"delay": delay}}, rest)
            y = net(None, x)[1]
            return jnp.vdot(upstream, jnp.tanh(y)), y

        delay = np.clip(params["delays"]["delay"], 0.1, MAX_DELAY - 0.1)
        move = np.random.default_rng(2).normal(size=delay.shape)
        (_, y), gradient = loss(delay)
        ends = [loss(delay + e * move)[0][0] for e in (1e-5, -1e-5)]
        np.testing.assert_allclose(np.vdot(gradient, move), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)
        kernel = kernel_of(params["weight"], delay, SIGMA, MAX_DELAY)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        views = [padded[:, :, u : u + H, v : v + W] for u in range(S) for v in range(S)]
        rows = np.concatenate(views, -1).reshape(T, B * H * W, S * S * C)
        start = ring_init(MAX_DELAY, rows.shape[1:], float)
        ring = jax.jit(lambda: jax.lax.scan(partial(ring_step, kernel), start, rows)[1])()
        np.testing.assert_allclose(ring.reshape(y.shape), y, atol=1e-12)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (
            "`per` must be one of",
            lambda: DelayedConv(C, N, S, MAX_DELAY, per="row", rngs=nnx.Rngs(0)),
        ),
        ("a delay per synapse", lambda: MAKE["input"](kernel_count=2, rngs=nnx.Rngs(0))),
        ("odd edges", lambda: DelayedConv(C, N, 2, MAX_DELAY, rngs=nnx.Rngs(0))),
        ("`max_delay` must be", lambda: DelayedConv(C, N, S, -1, rngs=nnx.Rngs(0))),
        ("images over time .T, B, H, W, 2.", lambda: made("input")(0, X[0])),
        (
            r"DelayedConv takes a past of \(2, 3, 4, 3, 2\).*got \(1, 3, 4, 3, 2\).* or None",
            lambda: (net := made("input"))(net.init_state((1, H, W)), X),
        ),
    ],
)
def test_bad_input_is_refused(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_buffer_of_one_step_has_no_past():
    def run(x):
        layer = DelayedConv(C, N, S, 0, rngs=nnx.Rngs(0))
        return layer(None, x)

    state, y = jax.eval_shape(run, X[:1])
    assert y.shape == (1, B, H, W, N)
    assert state.shape == (B, 0, H, W, C)
