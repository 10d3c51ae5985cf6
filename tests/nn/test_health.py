"""The report on how layers fire: found without being named, counted right, and nothing changed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import population_rate, rate_alarms
from snnjax.nn import (
    LI,
    LIF,
    DelayedLinear,
    DelayedRecurrent,
    Module,
    Recurrent,
    Repeat,
    Sequential,
    Stateful,
    probe,
    spike_report,
)

T, B, N = 10, 4, 5


class Net(Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.zero_first = nnx.Linear(N, N, rngs=rngs)
        self.cells = nnx.List([LIF(N, tau=3.0), LIF(N, tau=3.0, threshold=50.0)])
        self.back = Recurrent(LIF(N, tau=3.0, threshold=0.01), nnx.Linear(N, N, rngs=rngs))
        self.again = LIF(N, tau=3.0)
        self.readout = LI(N)

    def forward(self, run, x):
        z = run(self.back, 5.0 + jnp.abs(run(self.zero_first, x)))
        z = run(self.again, z * x)
        for layer in self.cells:
            z = run(layer, 0.7 * z + x)
        return run(self.readout, z)


@pytest.fixture(scope="module")
def net():
    return Net()


def test_rows_are_the_means_of_what_the_layers_return(net):
    x = jax.random.normal(jax.random.key(0), (T, B, N))
    before = jax.tree.leaves(nnx.state(net))
    rows = spike_report(net, None, x)
    assert [row.name for row in rows] == ["back", "again", "cells.0", "cells.1"]
    _, seen = probe(net, [row.name for row in rows])(None, x)
    for row in rows:
        z = np.asarray(seen[row.name][1])
        np.testing.assert_allclose(row.rate, z.mean(), rtol=1e-6)
        assert row.silent == (~z.any((0, 1))).mean()
        assert row.non_finite == 0
        assert row.saturated == (z.mean((0, 1)) > 0.55).mean()
    assert [row.alarm for row in rows] == ["saturated", "", "", "silent"]
    high, low = rate_alarms(rows)
    assert high.startswith("layer 'back' is saturated: 100.0 % of its outputs are non-zero, 0 % of")
    assert low.startswith("layer 'cells.1' is silent: 0.0 % of its outputs")
    assert "Lower the threshold" in low
    assert "snnjax.nn.gain_for_rate" in low
    for old, new in zip(before, jax.tree.leaves(nnx.state(net)), strict=True):
        np.testing.assert_array_equal(old, new)
    (row,) = spike_report(net, None, x, paths=["cells.1"])
    assert row == rows[-1]
    layer = net.cells[1]
    (alone,) = spike_report(layer, None, x)
    with pytest.raises(ValueError, match="a single LIF starts at rest; pass None"):
        spike_report(layer, layer.init_state((B,)), x)
    assert (alone.name, alone.alarm) == ("LIF", "silent")


def test_uneven_layers_and_the_edges_of_the_band():
    z = np.zeros((10, 2, 4))
    z[:5, :, 0] = 1  # one neuron of four at a rate of 1/2, the others never
    row = population_rate("x", z, band=(0.1, 0.5))
    assert (row.rate, row.silent, row.saturated, row.alarm) == (0.125, 0.75, 0.0, "uneven")
    (sentence,) = rate_alarms([row])
    assert "75 % of its neurons never fire" in sentence
    assert "rate_band" in sentence
    assert "gain_for_rate" not in sentence
    assert population_rate("x", -z, band=(0.125, 0.5))._replace(name="") == row._replace(name="")
    assert population_rate("x", z, band=(0.2, 0.4)).alarm == "silent"
    assert population_rate("x", z, band=(0.2, 0.4)).saturated == 0.25


def test_bad_input(net):
    class Bare(Module):
        def forward(self, run, x):
            return x

    with pytest.raises(ValueError, match="Bare holds no spiking layer"):
        spike_report(Bare(), None, jnp.ones((T, B, N)))
    with pytest.raises(TypeError, match=r"only a snnjax\.nn\.Module shows .* got a Linear"):
        spike_report(nnx.Linear(N, N, rngs=nnx.Rngs(0)), jnp.ones((T, B, N)))
    with pytest.raises(ValueError, match="'cell' names no layer"):
        spike_report(net, None, jnp.ones((T, B, N)), paths=["cell"])
    with pytest.raises(ValueError, match="band must be 0 <= low < high <= 1"):
        population_rate("x", np.zeros((2, 2, 2)), band=(0.5, 0.1))
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, ..., N\]"):
        population_rate("x", np.zeros((2, 2)))
    with pytest.raises(
        ValueError, match=r"Net: the input \(10, 4, 5\) must be finite; got 200 NaN"
    ):
        spike_report(net, None, jnp.full((T, B, N), jnp.nan))


def test_nan_is_not_silence():
    """A weight that is NaN makes membranes and spikes NaN."""
    dense = nnx.Linear(N, N, rngs=nnx.Rngs(0))
    dense.kernel[...] = dense.kernel[...].at[0, 2].set(jnp.nan)
    layer = Recurrent(LIF(N, tau=3.0), dense)
    (row,) = spike_report(layer, None, jnp.ones((T, B, N)))
    assert row.alarm == "non-finite"
    assert row.non_finite > T * B
    (sentence,) = rate_alarms([row])
    count = row.non_finite
    assert sentence.startswith(
        f"layer 'Recurrent' is non-finite: {count} values of its outputs and"
    )
    assert "check its weights and the norm before it for NaN" in sentence
    bad = population_rate(
        "x", np.array([[[np.nan, 1.0]]]), state={"v": jnp.array([np.inf], jnp.bfloat16)}
    )
    assert (bad.non_finite, bad.alarm) == (2, "non-finite")


class Switch(Module):
    """A delayed layer, with an argument that is no array."""

    def __init__(self):
        self.delayed = DelayedRecurrent(LIF(N, tau=3.0), 3, rngs=nnx.Rngs(0))
        self.unused = LIF(N)

    def forward(self, run, x, double, *, mode="high"):
        return run(self.delayed, 2 * x if double and mode == "high" else x)


def test_delayed_layers_and_arguments_that_are_no_arrays():
    net, x = Switch(), jax.random.normal(jax.random.key(0), (T, B, N))
    for double, mode in ((True, "high"), (True, "low"), (False, "high")):
        (row,) = spike_report(net, None, x, double, mode=mode, paths=["delayed"])
        want = population_rate("delayed", net(None, x, double, mode=mode)[1])
        np.testing.assert_allclose(row[1:4], want[1:4], rtol=1e-6)
    (alone,) = spike_report(net.delayed, None, x)
    assert (alone.name, alone[1:]) == ("DelayedRecurrent", row[1:])
    with pytest.raises(ValueError, match="the model does not call 'unused', so"):
        spike_report(net, None, x, False)
    with pytest.raises(ValueError, match=r"'delayed\.population', a LIF, does not spike"):
        spike_report(net, None, x, False, paths=["delayed.population"])


def test_layers_that_do_not_spike_are_refused(net):
    x = jnp.ones((T, B, N))
    with pytest.raises(ValueError, match="'zero_first', a Linear, does not spike"):
        spike_report(net, None, x, paths=["zero_first"])
    with pytest.raises(ValueError, match="without fields; got 'again:v'"):
        spike_report(net, None, x, paths=["again", "again:v"])
    with pytest.raises(ValueError, match="'readout', a LI, does not spike"):
        spike_report(net, None, x, paths=["readout"])
    with pytest.raises(ValueError, match="holds no spiking layer"):
        spike_report(net.readout, None, x)


class Own(Stateful):
    """A spiking layer of a user, which declares that it spikes."""

    spiking: bool | None = True

    def rest_for(self, x):
        return jnp.zeros(x.shape[1:], x.dtype)

    def __call__(self, state, x):
        def step(v, current):
            z = (0.9 * v + current > 1).astype(x.dtype)
            return 0.9 * v + current - z, z

        return jax.lax.scan(step, self.rest_for(x) if state is None else state, x)


class Undeclared(Own):
    spiking = None


def test_a_layer_of_the_user_is_in_the_report():
    x = jax.random.uniform(jax.random.key(0), (T, B, N))
    for layer in (Own(), Undeclared()):
        want = population_rate("Own", layer(None, x)[1])
        (alone,) = spike_report(layer, None, x)
        assert alone[1:4] == want[1:4]
        (named,) = spike_report(Sequential(layer, LIF(N)), None, x, paths=["layers.0"])
        assert named[1:4] == want[1:4]
    rows = spike_report(Sequential(Own(), LIF(N), Undeclared()), None, x)
    assert [row.name for row in rows] == ["layers.0", "layers.1"]
    delayed = Sequential(Own(), DelayedLinear(N, N, max_delay=2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"'layers\.1', a DelayedLinear, does not spike"):
        spike_report(delayed, None, x, paths=["layers.1"])


class Pair(Module):
    """Two layers of neurons, called in the reverse order of their names."""

    def __init__(self):
        self.a, self.z = LIF(N), Recurrent(LIF(N), nnx.Linear(N, N, rngs=nnx.Rngs(0)))

    def forward(self, run, x):
        return run(self.a, run(self.z, x))


def test_rows_of_repeated_blocks_come_in_the_order_of_the_calls():
    net = Sequential(Repeat(lambda rngs: Pair(), 3, rngs=nnx.Rngs(0)), LIF(N))
    rows = spike_report(net, None, jnp.ones((T, B, N)))
    names = [f"layers.0.{i}.{name}" for i in range(3) for name in ("z", "a")]
    assert [row.name for row in rows] == [*names, "layers.1"]
