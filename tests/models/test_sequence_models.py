"""SNN-delays as a run uses it: variants by name, what it records, what changes over a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import count_parameters
from snnjax.models import SEQUENCE_MODELS, snn_delays
from snnjax.nn import probe

T, B, C, K, H = 9, 3, 4, 3, 6
OPTIONS = {"hidden": H, "layers": 2, "tau": 2.0, "dropout": 0.0, "max_delay": 4}
X = np.random.default_rng(0).poisson(1.0, (T, B, C)).astype(np.float32)


def test_variants_differ_in_their_delays_alone() -> None:
    """Weights C H + H H + H K and norms 4 H; learned delays are as many as weights."""
    weights, norms = C * H + H * H + H * K, 4 * H
    for delays, size, count in (("none", 1, 0), ("fixed", 5, 0), ("learned", 5, weights)):
        net = SEQUENCE_MODELS["snn_delays"](C, K, delays=delays, rngs=nnx.Rngs(0), **OPTIONS)
        assert net.config.size == size
        assert count_parameters(net) == weights + norms + count
    with pytest.raises(ValueError, match="'none', 'fixed' or 'learned'; got 'some'"):
        snn_delays(C, K, delays="some", rngs=nnx.Rngs(0), **OPTIONS)  # pyright: ignore


def test_delays_that_do_not_learn_are_whole_in_training_too() -> None:
    """Wide taps would train another network than the one that is evaluated."""
    net = snn_delays(C, K, delays="fixed", rngs=nnx.Rngs(0), **OPTIONS)
    state, x = net.init_state(X), jnp.asarray(X)
    soft, whole = (net(state, x, discrete=discrete)[1].logits for discrete in (False, True))
    np.testing.assert_array_equal(soft, whole)
    learned = snn_delays(C, K, rngs=nnx.Rngs(0), **OPTIONS)
    soft, whole = (learned(state, x, discrete=discrete)[1].logits for discrete in (False, True))
    assert np.abs(soft - whole).max() > 1e-3


def test_it_counts_what_its_layers_receive() -> None:
    net = snn_delays(C, K, rngs=nnx.Rngs(1), **OPTIONS)
    for norm in net.norms:
        norm.shift[...] = norm.shift[...] + 0.8  # so that neurons fire
    (_, out), seen = probe(net, ["neurons.0", "neurons.1"])(net.init_state(X), X, record=True)
    first, second, head = out.activity
    assert [a.name for a in out.activity] == ["hidden0", "hidden1", "head"]
    assert [a.spiking for a in out.activity] == [False, True, True]
    np.testing.assert_array_equal(first.nonzero, (X != 0).sum(axis=(0, 2)))
    for layer, spikes in ((second, seen["neurons.0"][1]), (head, seen["neurons.1"][1])):
        assert 0 < spikes.mean() < 1
        np.testing.assert_array_equal(layer.spikes, spikes.sum(axis=(0, 2)))
        assert layer.sites.tolist() == [len(spikes)] * B  # each layer's tail is a part of it
    assert (head.in_channels, head.out_channels) == (H, K)


def test_the_width_of_the_taps_shrinks_as_published() -> None:
    """sigma *= (0.23 / sigma_0)^(4 / E) after each epoch of the first quarter."""
    learned = snn_delays(C, K, rngs=nnx.Rngs(0), **OPTIONS)
    fixed = snn_delays(C, K, delays="fixed", rngs=nnx.Rngs(0), **OPTIONS)
    graphdef, state = nnx.split(learned)
    state = nnx.as_pure(state)

    @jax.jit
    def sigma(epoch: jax.Array) -> jax.Array:
        net = nnx.merge(graphdef, state)
        net.at_epoch(epoch, 40)
        return jnp.stack([linear.delays.sigma[...] for linear in net.linears])

    want = 2.0
    for epoch in range(40):
        np.testing.assert_allclose(sigma(jnp.int32(epoch)), [want] * 3, rtol=1e-5)
        if epoch < 10:
            want *= (0.23 / 2.0) ** (4 / 40)
    before = float(fixed.linears[0].delays.sigma[...])
    fixed.at_epoch(30, 40)
    assert float(fixed.linears[0].delays.sigma[...]) == before


def test_delays_are_brought_back_into_their_buffers() -> None:
    net = snn_delays(C, K, rngs=nnx.Rngs(0), **OPTIONS)
    delays = net.linears[1].delays
    inside = np.asarray(delays.delay[...]).copy()
    delays.delay[...] = delays.delay[...].at[0, 0, 0].set(-3.0).at[1, 1, 0].set(9.0)
    net.constrain()
    inside[0, 0, 0], inside[1, 1, 0] = 0.0, 4.0
    np.testing.assert_array_equal(delays.delay[...], inside)
