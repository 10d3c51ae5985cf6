"""SNN-delays as a run uses it: variants by name, what it records, what changes over a run."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters
from snnjax.models import SNNDelays, SNNDelaysConfig
from snnjax.nn import probe

T, B, C, K, H = 9, 3, 4, 3, 6
OPTIONS = {"hidden": H, "layers": 2, "tau": 2.0, "dropout": 0.0, "max_delay": 4}
X = np.random.default_rng(0).poisson(1.0, (T, B, C)).astype(np.float32)


def made(seed: int = 0, **options) -> SNNDelays:
    config = SNNDelaysConfig(in_channels=C, num_classes=K, **OPTIONS, **options)
    return SNNDelays(config, rngs=nnx.Rngs(seed))


def linears(net: SNNDelays) -> list:
    return [*(layer.linear for layer in net.hidden), net.linear]


def test_variants_differ_in_their_delays_alone() -> None:
    """Weights C H + H H + H K and norms 4 H; learned delays are as many as weights."""
    weights, norms = C * H + H * H + H * K, 4 * H
    for delays, longest, count in (("none", 0, 0), ("fixed", 4, 0), ("learned", 4, weights)):
        net = made(delays=delays)
        assert net.config.longest_delay == linears(net)[0].delays.max_delay == longest
        assert count_parameters(net) == weights + norms + count
    with pytest.raises(ValueError, match="'none', 'fixed' or 'learned'; got 'some'"):
        made(delays="some")


def test_delays_that_do_not_learn_are_integers_in_training_too() -> None:
    """Wide taps would train another network than the one that is evaluated."""
    x = jnp.asarray(X)
    for delays, differ in (("fixed", False), ("learned", True)):
        found = []
        for train, rounded in ((False, True), (False, False), (True, True)):
            net = made(delays=delays)
            for layer in net.hidden:  # a norm by running statistics would differ from training
                layer.norm = lambda x, lengths: 3 * x
            net.round_delays = rounded
            found.append(net(None, x, train=train)[1])
        rounded_out, continuous, trained = found
        np.testing.assert_array_equal(continuous, trained)  # in training delays are never rounded
        assert (np.abs(continuous - rounded_out).max() > 1e-3) == differ


def test_it_counts_what_its_layers_receive() -> None:
    net = made(1)
    for layer in net.hidden:
        layer.norm.shift[...] = layer.norm.shift[...] + 0.8  # so that neurons fire
    paths = ["hidden.0.dropout", "hidden.1.dropout"]
    _, (_, activity) = net(None, X, record=True)
    _, seen = probe(net, paths)(None, X)
    assert [a.name for a in activity] == ["hidden.0.linear", "hidden.1.linear", "linear"]
    known = [layer.samples()["real"].tolist() for layer in activity]
    assert known == [[False] * B] * 3  # counts are integers
    for b in range(B):
        own = [jax.tree.map(lambda leaf: leaf[b : b + 1], layer) for layer in activity]  # noqa: B023
        first, second, head = ActivityTotals().add(own).layers
        assert first.nonzero == (X[:, b] != 0).sum()
        assert first.spikes == X[:, b].sum()
        for layer, path in ((second, paths[0]), (head, paths[1])):
            spikes = np.asarray(seen[path])[:, b]
            assert 0 < spikes.mean() < 1
            assert layer.spikes == spikes.sum()
            assert layer.sites == T
    assert (head.in_channels, head.out_channels) == (H, K)


def test_the_width_of_the_taps_shrinks_as_published() -> None:
    """sigma *= (0.23 / sigma_0)^(4 / E) after each epoch of the first quarter."""
    learned, fixed = made(), made(delays="fixed")
    graphdef, state = nnx.split(learned)
    state = nnx.as_pure(state)

    @jax.jit
    def sigma(epoch: jax.Array) -> jax.Array:
        net = nnx.merge(graphdef, state)
        net.at_epoch(epoch, 40)
        return jnp.stack([linear.delays.sigma[...] for linear in linears(net)])

    want = 2.0
    for epoch in range(40):
        np.testing.assert_allclose(sigma(jnp.int32(epoch)), [want] * 3, rtol=1e-5)
        if epoch < 10:
            want *= (0.23 / 2.0) ** (4 / 40)
    before = float(fixed.linear.delays.sigma[...])
    fixed.at_epoch(30, 40)
    assert float(fixed.linear.delays.sigma[...]) == before


def test_delays_are_brought_back_into_their_buffers() -> None:
    net = made()
    delays = net.hidden[1].linear.delays
    inside = np.asarray(delays.delay[...]).copy()
    delays.delay[...] = delays.delay[...].at[0, 0, 0].set(-3.0).at[1, 1, 0].set(9.0)
    net.constrain()
    inside[0, 0, 0], inside[1, 1, 0] = 0.0, 4.0
    np.testing.assert_array_equal(delays.delay[...], inside)


def test_a_configuration_takes_channels_and_classes_from_the_data() -> None:
    info = SimpleNamespace(in_channels=C, class_names=("a", "b", "c"))
    net = SNNDelaysConfig(hidden=H).build(info, rngs=nnx.Rngs(0))
    assert (net.config.in_channels, net.config.num_classes) == (C, 3)
    with pytest.raises(ValueError, match=r"model\.in_channels must be 4, as the data have; got 5"):
        SNNDelaysConfig(in_channels=5).build(info, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"needs in_channels and num_classes; .*build\(info"):
        SNNDelays(SNNDelaysConfig(), rngs=nnx.Rngs(0))


def test_the_silence_that_the_data_must_provide() -> None:
    """Each layer counts half the longest delay of late steps by default."""
    assert SNNDelaysConfig(layers=2, max_delay=24).silent_steps == 3 * 12
    assert SNNDelaysConfig(layers=1, max_delay=24, late=5).silent_steps == 2 * 5
    assert SNNDelaysConfig(delays="none").silent_steps == 0
