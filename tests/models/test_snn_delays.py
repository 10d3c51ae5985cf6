"""SNN-delays: published sizes, a NumPy network, padding that does not matter, ablations."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.data import Layout
from snnjax.data.speech import SpeechSource
from snnjax.delays import deliver_step, ring_init, ring_step, rounded_kernel
from snnjax.losses import membrane_mean, softmax_sum
from snnjax.metrics import count_parameters
from snnjax.models import (
    SNNDelays,
    SNNDelaysConfig,
    snn_delays_gsc,
    snn_delays_shd,
    snn_delays_ssc,
)
from snnjax.nn import (
    LI,
    DelayedLinear,
    Dropout,
    Module,
    Repeat,
    Sequential,
    delay_optimiser,
    probe,
    set_sigma,
)
from tests.reference import delays as reference

SMALL = {"in_channels": 5, "hidden": 6, "num_classes": 3, "max_delay": 4}
small = partial(snn_delays_shd, **SMALL)
T, B = 9, 4
X = np.random.default_rng(0).poisson(0.7, (T, B, 5)).astype(np.float32)
LATE = 2  # steps of each of the three layers, half the longest delay


def silent(x, steps=3 * LATE):
    """`x` with silent steps at the end, in which late spikes arrive."""
    return np.concatenate([x, np.zeros((steps, *x.shape[1:]), x.dtype)])


def linears(net):
    return [*(layer.linear for layer in net.hidden), net.linear]


@pytest.mark.parametrize(
    ("make", "layers", "kernel_count", "published"),
    [
        (snn_delays_shd, 2, 1, 214_016),
        (snn_delays_ssc, 2, 1, 705_536),
        (snn_delays_gsc, 2, 2, 1_409_024),
        (snn_delays_ssc, 3, 1, 1_230_848),
        (snn_delays_gsc, 3, 2, 2_458_624),
    ],
)
def test_published_parameter_counts(make, layers, kernel_count, published):
    net = nnx.eval_shape(lambda: make(layers, kernel_count, rngs=nnx.Rngs(0)))
    assert count_parameters(net) == published


def test_ablations_are_options():
    counts = {
        "fixed delays": (small(delays="fixed", rngs=nnx.Rngs(0)), 84 + 24),
        "no delays": (small(delays="none", rngs=nnx.Rngs(0)), 84 + 24),
        "axons": (small(per="input", rngs=nnx.Rngs(0)), 84 + 24 + 5 + 6 + 6),
    }
    for name, (net, count) in counts.items():
        assert count_parameters(net) == count, name
        out = jax.eval_shape(lambda net=net: net(None, X)[1])
        assert out.shape == (B, 3)


def numpy_network(net, x, sigma):
    """The network at evaluation, with the statistics it starts with."""
    h = x.astype(float)
    for linear in linears(net):
        weight, delay = (np.asarray(a) for a in (linear.weight[...], linear.delays.delay[...]))
        h = reference.delayed_dense(h, weight, delay, sigma, 4, "gaussian", tail=LATE)
        last = linear is net.linear
        h = h if last else h / np.sqrt(1 + 1e-5)
        v, out = np.zeros(h.shape[1:]), []
        for current in h:
            v = (1 - 1 / 1.005) * v + current
            z = np.zeros_like(v) if last else (v >= 1).astype(float)
            v = np.where(z > 0, 0, v)
            out.append(v if last else z)
        h = np.stack(out)
    shares = np.exp(h) / np.exp(h).sum(-1, keepdims=True)
    return shares.sum(0)


def test_the_network_equals_a_numpy_loop():
    with jax.enable_x64(True):
        net = small(rngs=nnx.Rngs(0))
        graph, state = nnx.split(net)
        wide = jax.tree.map(
            lambda x: jnp.asarray(x, float) if jnp.issubdtype(x.dtype, jnp.floating) else x, state
        )
        net = nnx.merge(graph, wide)
        set_sigma(net, 0.6)
        x = X.astype(float) * 1.5
        net.round_delays = False
        start = net.init_state(x)
        after, logits = net(start, silent(x), lengths=np.full(B, T))
        np.testing.assert_allclose(logits, numpy_network(net, x, 0.6), atol=1e-9)
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, start)
        assert {leaf.dtype for leaf in jax.tree.leaves((start, after))} == {jnp.dtype("float64")}
        np.testing.assert_allclose(logits.sum(1), T + 3 * LATE, rtol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_padding_does_not_matter(train):
    lengths = np.array([9, 6, 9, 4])
    clean = np.where(np.arange(T)[:, None, None] < lengths[:, None], X, 0)

    @jax.jit
    def run(x):
        net = small(dropout=0.0, rngs=nnx.Rngs(0))
        out = net(None, x, lengths=lengths, train=train)[1]
        return out, nnx.as_pure(nnx.state(net, nnx.BatchStat))

    clean, padded = silent(clean), silent(clean, 3 * LATE + 5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6), run(padded), run(clean))


def test_training_learns_and_rounds_at_evaluation():
    """Memorises one batch with narrowing taps; rounded delays then give the same classes."""
    net = small(hidden=24, dropout=0.1, readout="mean", rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    params, rest = nnx.as_pure((params, rest))
    rule = delay_optimiser(optax.adam(2e-2), optax.adam(0.1), net)
    label = jnp.arange(B) % 3

    @jax.jit
    def update(params, rest, opt, sigma, key):
        def loss(params):
            model = nnx.merge(graph, params, rest)
            set_sigma(model, sigma)
            _, logits = model(None, silent(X), key=key, train=True)
            after = nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))
            fit = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            return fit.mean(), after

        (value, rest), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt = rule.update(grads, opt, params)
        return optax.apply_updates(params, updates), rest, opt, value

    first, opt, values = params, rule.init(params), []
    for step in range(60):
        sigma = jnp.float32(max(2 * 0.9**step, 0.23))
        params, rest, opt, value = update(params, rest, opt, sigma, jax.random.key(step))
        values.append(float(value))
    assert np.mean(values[-5:]) < 0.5 * values[0]
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), params, first)
    assert min(jax.tree.leaves(moved)) > 1e-3
    net = nnx.merge(graph, params, rest)
    assert net.round_delays
    _, logits = net(None, silent(X))
    assert (logits.argmax(1) == label).mean() >= 0.75
    delays = [linear.delays.delay[...] for linear in linears(net)]
    assert all(0 <= float(d.min()) <= float(d.max()) <= 4 for d in delays)


def test_inference_step_by_step_with_buffers_is_the_network():
    """Rounded delays with rings of spikes and explicit neurons, and by the network's own state."""
    net = small(tau=2.0, rngs=nnx.Rngs(3))
    draw = np.random.default_rng(3)
    lowest = {"mean": -0.2, "var": 0.5, "scale": 0.8, "shift": 0.0}
    for norm in (layer.norm for layer in net.hidden):  # as after training
        for name, low in lowest.items():
            getattr(norm, name)[...] = jnp.asarray(draw.uniform(low, low + 0.6, 6), jnp.float32)

    @jax.jit
    def run(x):
        names = ["hidden.0.neurons", "hidden.1.neurons", "integrators"]
        (_, logits), seen = probe(net, names)(None, x)
        step = partial(stream_step, net)
        _, streamed = jax.lax.scan(step, stream_init(net), x)

        def chunk(state, now):
            return net(state, now[None])

        _, chunks = jax.lax.scan(chunk, net.init_state(x), x)
        return [seen[name][1] for name in names], streamed, logits, chunks

    layers, streamed, logits, chunks = run(X)
    for layer, stream in zip(layers[:2], streamed[:2], strict=True):
        assert 0.1 < layer.mean() < 0.9
        np.testing.assert_array_equal(stream, layer)
    np.testing.assert_allclose(streamed[2], layers[2], atol=1e-5)
    np.testing.assert_allclose(chunks.sum(0), logits, atol=1e-5)


def stream_init(net):
    """Rings of inputs for the first layer and of outputs to come for the others; membranes."""
    widths = [linear.shape[index > 0] for index, linear in enumerate(linears(net))]
    rings = [ring_init(4, (B, width)) for width in widths]
    return rings, [jnp.zeros((B, 6)), jnp.zeros((B, 6)), jnp.zeros((B, 3))]


def stream_step(net, state, h):
    """One step of the network; returns the output of each population."""
    rings, membranes = map(list, state)
    out = []
    for index, linear in enumerate(linears(net)):
        kernel = rounded_kernel(linear.weight[...], linear.delays.delay[...], 4)
        move = deliver_step if index else ring_step
        rings[index], h = move(kernel, rings[index], h)
        last = linear is net.linear
        if not last:
            norm = net.hidden[index].norm
            h = (h - norm.mean[...]) / jnp.sqrt(norm.var[...] + norm.eps)
            h = h * norm.scale[...] + norm.shift[...]
        v = 0.5 * membranes[index] + h
        z = v if last else (v >= 1).astype(v.dtype)
        membranes[index] = v if last else v * (1 - z)
        out.append(z)
        h = z
    return (rings, membranes), out


def test_dropout_is_one_mask_for_all_steps():
    layer, x = Dropout(0.25), jnp.ones((7, 3, 200))
    dropped = layer(x, key=jax.random.key(0), train=True)
    np.testing.assert_array_equal(layer(x, key=jax.random.key(0)), x)
    assert (dropped == dropped[0]).all()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert float((dropped[0] == 0).mean()) == pytest.approx(0.25, abs=0.05)
    assert not (dropped[0, 0] == dropped[0, 1]).all()


def test_scores_of_membranes():
    m = np.random.default_rng(1).normal(size=(6, 2, 3))
    shares = np.exp(m) / np.exp(m).sum(-1, keepdims=True)
    lengths = np.array([6, 4])
    want = np.stack([shares[:6, 0].sum(0), shares[:4, 1].sum(0)])
    np.testing.assert_allclose(softmax_sum(m, lengths), want, rtol=1e-5)
    np.testing.assert_allclose(softmax_sum(m)[0], want[0], rtol=1e-5)
    want = np.stack([m[:6, 0].mean(0), m[:4, 1].mean(0)])
    np.testing.assert_allclose(membrane_mean(m, lengths), want, rtol=1e-4, atol=1e-6)
    for bad in (lambda: softmax_sum(m[0]), lambda: membrane_mean(m, np.ones(3, int))):
        with pytest.raises(ValueError, match="must be"):
            bad()


def test_taps_narrow_and_those_that_are_narrow_stay():
    for sigma, last in ((0.1, 0.1), (2.0, 0.23)):
        net = small(1, sigma=sigma, rngs=nnx.Rngs(0))
        net.at_epoch(9, 10)
        assert float(net.linear.delays.sigma[...]) == pytest.approx(last)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="dropout must be in"):
        small(dropout=1.0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="layers must be"):
        small(0, rngs=nnx.Rngs(0))
    net = small(rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"hidden\.0\.dropout: Dropout\(0\.4\) draws.* key="):
        net(None, X, train=True)


class Wrapped(Module):
    """A published network as a part of another module."""

    def __init__(self, net: SNNDelays):
        self.parts = nnx.List([net])

    def forward(self, run, x, *, lengths=None):
        return run(self.parts[0], x, lengths=lengths)


def test_a_wrapped_network_keeps_its_silence_and_its_schedule():
    nets = [
        SNNDelays(SNNDelaysConfig(hidden=4, in_channels=3, num_classes=2), rngs=nnx.Rngs(0))
        for _ in range(2)
    ]
    wrapped = Wrapped(nets[0])
    for model in (nets[1], wrapped):
        model.at_epoch(50, 100)
        shapes = SpeechSource().shapes(None, None, model, Layout(4))  # type: ignore[arg-type]
        assert shapes.silence == nets[0].config.silent_steps > 0
    sigmas = [float(net.hidden[0].linear.delays.sigma[...]) for net in nets]
    assert sigmas[0] == sigmas[1] < (nets[0].config.longest_delay + 1) // 2


class Delaying(Module):
    """A block with a schedule, and one silent step."""

    silent_steps = 1

    def __init__(self, rngs: nnx.Rngs):
        self.delayed = DelayedLinear(2, 2, max_delay=3, rngs=rngs)

    def forward(self, run, x):
        return run(self.delayed, x)

    def at_epoch(self, epoch, epochs):
        set_sigma(self, 1 + epoch / epochs)


def test_repeated_blocks_have_a_schedule_and_silence():
    net = Sequential(Repeat(Delaying, 3, rngs=nnx.Rngs(0)), LI(2))
    x = jnp.ones((4, 1, 2))
    before = net(None, x)[1]
    net.at_epoch(jnp.asarray(5), 10)
    sigma = net.layers[0].block.delayed.delays.sigma[...]
    np.testing.assert_array_equal(sigma, np.full(3, 1.5, np.float32))
    assert net.silent_steps == 3
    assert not np.allclose(net(None, x)[1], before)
