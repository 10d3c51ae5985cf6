"""Layers with delays: streams, kinds of delays, sigma, whole delays, and their optimiser."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.delays import FormTable, delayed_dense, two_taps
from snnjax.metrics import count_parameters
from snnjax.nn import (
    LIF,
    Delay,
    DelayedLinear,
    DelayedRecurrent,
    Delays,
    SequenceBatchNorm,
    Sigma,
    SpacedConv,
    clamp_delays,
    delay_optimiser,
    label_delays,
    set_sigma,
    shard_as,
)
from snnjax.sharding import bytes_by_kind, collectives, parse_mesh
from tests.reference import delays as reference

T, B, N, M, MAX_DELAY = 12, 2, 4, 3, 4
X = np.random.default_rng(0).normal(size=(T, B, N)).astype(np.float32)
MAKE = {
    "synapse": partial(DelayedLinear, N, M, MAX_DELAY, kernel_count=2),
    "input": partial(DelayedLinear, N, M, MAX_DELAY, per="input"),
    "output": partial(DelayedLinear, N, M, MAX_DELAY, per="output"),
    "delay": partial(Delay, N, MAX_DELAY),
}
COUNTS = {"synapse": 2 * N * M * 2, "input": N * M + N, "output": N * M + M, "delay": N}


def full(layer):
    """Weight and delay of each synapse, [I, O, Kc]."""
    delay = np.asarray(layer.delays.delay[...])
    if isinstance(layer, Delay):
        return np.eye(N)[..., None], np.broadcast_to(delay[:, None, None], (N, N, 1))
    weight = np.asarray(layer.weight[...])
    if layer.per == "synapse":
        return weight, delay
    delay = delay[:, None] if layer.per == "input" else delay[None]
    return weight[..., None], np.broadcast_to(delay, weight.shape)[..., None]


@pytest.mark.parametrize("kind", MAKE)
def test_layers_against_a_loop_and_in_two_parts(kind):
    """Two silent steps at the end let out what is late; a stream of single steps is the same."""
    layer = MAKE[kind](sigma=0.8, rngs=nnx.Rngs(1))
    assert count_parameters(layer) == COUNTS[kind]
    weight, delay = full(layer)
    late = np.concatenate([X, np.zeros((2, B, N), np.float32)])
    want = reference.delayed_dense(late, weight, delay, 0.8, MAX_DELAY, "gaussian")
    state, y = layer(None, late)
    np.testing.assert_allclose(y, want, atol=1e-5)
    assert np.abs(y[T:]).max() > 0.1
    np.testing.assert_array_equal(layer(layer.rest_for(late), late)[1], y)
    middle, first = layer(None, X[:7])
    last, second = layer(middle, X[7:])
    np.testing.assert_allclose(np.concatenate([first, second]), want[:T], atol=1e-5)
    channels = M if kind == "output" else N
    assert state.shape == last.shape == middle.shape == (B, MAX_DELAY, channels)
    _, steps = jax.lax.scan(lambda state, x: layer(state, x[None]), layer.rest_for(X), X)
    np.testing.assert_allclose(steps[:, 0], want[:T], atol=1e-5)
    _, y = layer(None, X, round_delays=True)
    want = reference.delayed_dense(X, weight, np.round(delay), 0.8, MAX_DELAY, "two")
    np.testing.assert_allclose(y, want, atol=1e-5)
    with pytest.raises(ValueError, match=f"must be \\[T, B, ..., {N}\\]"):
        layer(state, X[..., :2])


@pytest.mark.parametrize("kind", MAKE)
def test_samples_of_a_state_lie_along_its_first_axis(kind):
    """Each sample continues with its own past, in any order of the batch."""
    layer = MAKE[kind](sigma=0.8, rngs=nnx.Rngs(1))
    middle, _ = layer(None, X[:7])
    _, second = layer(middle, X[7:])
    _, swapped = layer(middle[::-1], X[7:, ::-1])
    np.testing.assert_allclose(swapped[:, ::-1], second, atol=1e-6)
    if kind != "output":  # there it is the past of what the weights made of it
        np.testing.assert_array_equal(middle, np.moveaxis(X[7 - MAX_DELAY : 7], 0, 1))


def test_recurrent_delays_are_those_of_a_loop():
    layer = DelayedRecurrent(LIF(N, tau=3.0), 5, rngs=nnx.Rngs(2))
    current = np.abs(X) * 1.5
    state, out = layer(None, current, round_delays=True)
    weight = np.asarray(layer.synapses.weight[...])[..., 0]
    lag = np.round(layer.synapses.delays.delay[...])[..., 0].astype(int) + 1
    v, spikes = np.zeros((B, N)), np.zeros((T, B, N))
    for t in range(T):
        back = np.zeros((B, N))
        for (i, o), d in np.ndenumerate(lag):
            if t >= d:
                back[:, o] += weight[i, o] * spikes[t - d, :, i]
        v = np.exp(-1 / 3) * v + current[t] + back
        spikes[t] = v >= 1
        v -= spikes[t]
    np.testing.assert_array_equal(out, spikes)
    np.testing.assert_allclose(state.cell.v, v, atol=1e-5)
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_array_equal(state.past, np.moveaxis(spikes[-5:], 0, 1))
    for at in (1, 5, T - 1):  # shorter and longer than the buffer
        middle, first = layer(None, current[:at], round_delays=True)
        last, second = layer(middle, current[at:], round_delays=True)
        np.testing.assert_array_equal(np.concatenate([first, second]), out)
        np.testing.assert_array_equal(last.past, state.past)
    with pytest.raises(ValueError, match=r"past of \(2, 5, 4\) for x .*got \(2, 4, 4\)"):
        layer(middle._replace(past=middle.past[:, 1:]), current)
    with pytest.raises(ValueError, match=r"of synapses.*got per='input'"):
        DelayedRecurrent(LIF(N), 5, per="input", rngs=nnx.Rngs(0))


def test_every_sigma_in_one_trace_and_gradients_reach_everything():
    layer = DelayedRecurrent(LIF(N, trainable=()), 5, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(layer, nnx.Param, ...)
    assert {type(v) for _, v in nnx.iter_graph(layer) if type(v) is Sigma} == {Sigma}

    @jax.jit
    @chex.assert_max_traces(1)
    def grads(params, rest, x):
        def loss(params):
            net = nnx.merge(graph, params, rest)
            return net(None, x)[1].sum()

        return jax.grad(loss)(nnx.as_pure(params))

    seen = []
    for sigma in (2.0, 0.23):
        net = nnx.merge(graph, params, rest)
        set_sigma(net, sigma)
        fresh = nnx.as_pure(nnx.state(net, nnx.Not(nnx.Param)))
        found = grads(nnx.as_pure(params), fresh, np.abs(X))
        seen.append(jax.tree.leaves(found))
        assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in seen[-1])
    assert not np.allclose(seen[0][0], seen[1][0])


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([Delay(N, MAX_DELAY, rngs=rngs), DelayedLinear(N, 2, 6, rngs=rngs)])
        self.conv = SpacedConv(1, 1, (3, 9), kernel_count=2, rngs=rngs)
        self.kept = Delay(N, MAX_DELAY, trainable_delays=False, rngs=rngs)


def test_delays_have_a_rule_of_their_own_and_stay_in_their_buffers():
    net = Net(nnx.Rngs(0))
    params = nnx.as_pure(nnx.state(net, nnx.Param))
    labels = jax.tree.leaves_with_path(label_delays(params))
    assert sorted(label for _, label in labels) == ["delay"] * 3 + ["weight"] * 2
    rule = delay_optimiser(optax.sgd(0.1), optax.sgd(1.0), net)
    updates, _ = jax.jit(rule.update)(
        jax.tree.map(jnp.ones_like, params), rule.init(params), params
    )
    after = optax.apply_updates(params, updates)
    for before, now in zip(net.layers, after["layers"].values(), strict=True):
        old = np.asarray(before.delays.delay[...])
        np.testing.assert_allclose(now["delays"]["delay"], np.maximum(old - 1, 0), atol=1e-6)
    weight = params["layers"][1]["weight"]
    np.testing.assert_allclose(after["layers"][1]["weight"], weight - 0.1, atol=1e-6)
    low = np.array([-1, -4]).reshape(-1, 1, 1, 1)
    want = np.maximum(params["conv"]["position"] - 1, low)
    np.testing.assert_allclose(after["conv"]["position"], want, atol=1e-6)
    other = delay_optimiser(optax.sgd(0.1), optax.sgd(1.0), Delay(N, MAX_DELAY, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="no buffer for conv/position; it has delays/delay"):
        other.update(params, other.init(params), params)
    with pytest.raises(ValueError, match="needs the parameters"):
        rule.update(params, rule.init(params))
    net.layers[1].delays.delay[...] = jnp.full((N, 2, 1), 99.0)
    with pytest.raises(ValueError, match="at most max_delay = 6; got 99"):
        net.layers[1](None, X)
    net.conv.position[...] = jnp.full_like(net.conv.position[...], -99.0)
    clamp_delays(net)
    assert float(net.layers[1].delays.delay[...].max()) == 6
    np.testing.assert_array_equal(net.conv.position[...][:, 0, 0], [[-1, -1], [-4, -4]])


def test_positions_of_a_spaced_convolution():
    """At whole places it is a sum of shifted images; groups keep to their channels."""
    conv = SpacedConv(2, 2, (3, 5), kernel_count=1, groups=2, taps=two_taps, rngs=nnx.Rngs(0))
    assert count_parameters(conv) == 2 + 2 * 2
    conv.position[...] = jnp.array([[1.0, -1.0], [2.0, 0.0]]).reshape(2, 1, 2, 1)
    x = np.random.default_rng(1).normal(size=(1, 6, 8, 2)).astype(np.float32)
    y = np.asarray(conv(x))
    w = np.asarray(conv.weight[...]).ravel()
    np.testing.assert_allclose(y[:, :-1, :-2, 0], w[0] * x[:, 1:, 2:, 0], rtol=1e-5)
    np.testing.assert_allclose(y[:, 1:, :, 1], w[1] * x[:, :-1, :, 1], rtol=1e-5)
    with pytest.raises(ValueError, match="must divide both"):
        SpacedConv(3, 2, (3,), kernel_count=1, groups=2, rngs=nnx.Rngs(0))


def test_norm_sees_only_steps_before_the_end():
    norm, lengths = SequenceBatchNorm(N, decay=0.5), np.array([5, 9])
    y = norm(X, lengths, train=True)
    valid = np.concatenate([X[:5, 0], X[:9, 1]])
    mean, var = valid.mean(0), valid.var(0)
    want = (X - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y[:5, 0], want[:5, 0], atol=1e-5)
    np.testing.assert_allclose(y[:9, 1], want[:9, 1], atol=1e-5)
    assert not y[5:, 0].any()
    assert not y[9:, 1].any()
    np.testing.assert_allclose(norm.mean[...], 0.5 * mean, atol=1e-6)
    np.testing.assert_allclose(norm.var[...], 0.5 + 0.5 * var * 14 / 13, atol=1e-6)
    frozen = (X - norm.mean[...]) / np.sqrt(norm.var[...] + 1e-5)
    np.testing.assert_allclose(norm(X), frozen, atol=1e-5)
    before = norm.mean[...], norm.var[...]
    norm(X, np.zeros(2, int), train=True)  # no step counts: nothing moves
    np.testing.assert_array_equal((norm.mean[...], norm.var[...]), before)
    for bad in (lambda: norm(X[0]), lambda: norm(X, np.array([1, 2, 3]))):
        with pytest.raises(ValueError, match=r"must be|takes"):
            bad()


@pytest.mark.parametrize("kind", MAKE)
def test_delays_are_checked_once_a_call(kind, monkeypatch):
    layer, seen = MAKE[kind](rngs=nnx.Rngs(0)), []
    monkeypatch.setattr("snnjax.delays.check._check_numbers", lambda name, _: seen.append(name))
    layer(None, X)
    assert seen == ["delay"]


def with_delay(kind, value):
    layer = MAKE[kind](rngs=nnx.Rngs(0))
    layer.delays.delay[...] = jnp.full_like(layer.delays.delay[...], value)
    return layer


def call(layer, x=X, batch=(B,)):
    return layer(layer.init_state(batch), x)


REFUSED = {
    "`per` must be one of synapse, input, output": lambda rngs: MAKE["input"](per="row", rngs=rngs),
    "a delay per synapse": lambda rngs: MAKE["input"](kernel_count=2, rngs=rngs),
    "`max_delay` must be": lambda rngs: Delay(3, -1, rngs=rngs),
    "`sigma` must be finite": lambda rngs: Delay(3, 4, sigma=np.inf, rngs=rngs),
    "`in_features` must be": lambda rngs: DelayedLinear(0, 1, 4, rngs=rngs),
    "`taps` must be a function.*'gauss'": lambda rngs: Delay(3, 4, taps="gauss", rngs=rngs),
    "`groups` must be.*got 0": lambda rngs: SpacedConv(
        2, 2, (3,), groups=0, kernel_count=1, rngs=rngs
    ),
    r"`sizes` must hold.*\(5,\)": lambda rngs: SpacedConv(2, 2, 5, kernel_count=1, rngs=rngs),
    "`sizes` must name 1 to 3": lambda rngs: SpacedConv(2, 2, (), kernel_count=1, rngs=rngs),
    r"`sizes` must be.*got \(3, 0\)": lambda rngs: SpacedConv(
        2, 2, (3, 0), kernel_count=1, rngs=rngs
    ),
    "`strides` must hold.*got 2": lambda rngs: SpacedConv(
        2, 2, (3, 3), strides=2, kernel_count=1, rngs=rngs
    ),
    "Delay has no argument 'tail'": lambda rngs: Delay(3, 4, tail=1, rngs=rngs),
    "a tuple of ints.*got int": lambda rngs: Delay(3, 4, rngs=rngs).init_state(2),
    "^DelayedLinear: `delay` must be at most max_delay = 4; got 9. Raise.* to 9": lambda _: call(
        with_delay("synapse", 9.0)
    ),
    "^Delay: `delay` must not be negative; got -1": lambda _: call(with_delay("delay", -1.0)),
    "^DelayedLinear: `delay` holds 3 NaN or infinite of 3.*checkpoint": lambda _: call(
        with_delay("output", np.inf)
    ),
    r"DelayedLinear takes a past of \(2, 4, 4\) for x .*got \(1, 4, 4\).* or None": (
        lambda _: call(with_delay("synapse", 1.0), batch=(1,))
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_settings_delays_and_states_are_refused(message):
    with pytest.raises((ValueError, TypeError), match=message):
        REFUSED[message](nnx.Rngs(0))


def test_a_buffer_of_one_step_is_no_delay():
    rngs = nnx.Rngs(0)
    layer = Delays((3,), 0, rngs=rngs)
    np.testing.assert_array_equal(layer.delay[...], 0)
    plain = DelayedLinear(N, M, 0, taps=two_taps, rngs=rngs)
    state, y = plain(None, X)
    assert state.shape == (B, 0, N)
    np.testing.assert_allclose(y, X @ plain.weight[..., 0], atol=1e-5)
    assert delayed_dense(X, *full(plain), 0.0, 0, taps=two_taps).shape == y.shape


@pytest.mark.parametrize("parallel", ["row", "column"])
def test_a_sharded_layer_by_transform_gathers_nothing(parallel, monkeypatch):
    """Its loop over groups of inputs runs on the part of a device; one sum joins all of it."""
    monkeypatch.setattr("snnjax.delays.forms.WIDTH", 16)
    steps, batch, width, max_delay = 60, 8, 64, 24
    layer = DelayedLinear(width, width, max_delay, rngs=nnx.Rngs(0))
    shard_as(layer, parallel)
    plain = DelayedLinear(width, width, max_delay, rngs=nnx.Rngs(0))
    for inputs, outputs in ((width, width), (width // 2, width), (width, width // 2)):
        choice = {"steps": steps, "max_delay": max_delay, "batch": batch}
        assert FormTable().choose(inputs=inputs, outputs=outputs, **choice) == "dft"
    mesh = parse_mesh("model=2")
    kernel = P("model") if parallel == "row" else P(None, "model")
    graph, params, rest = nnx.split(layer, nnx.Param, ...)
    params = jax.device_put(nnx.as_pure(params), NamedSharding(mesh, kernel))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(steps, batch, width)), jnp.float32)

    def found(layer, x):
        y, pull = jax.vjp(lambda x: layer(None, x)[1], x)
        return y, pull(jnp.cos(y))[0]

    run = jax.shard_map(
        lambda params, x: found(nnx.merge(graph, params, rest), x),
        mesh=mesh,
        in_specs=P(),
        out_specs=P(),
        axis_names={"data"},
        check_vma=False,
    )
    program = jax.jit(run).lower(params, x).compile()
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, program(params, x), jax.jit(partial(found, plain))(x))
    sent = bytes_by_kind(collectives(program.as_text()))
    assert sent == {"all-reduce": 4 * steps * batch * width}
