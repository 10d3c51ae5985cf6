"""Hodgkin and Huxley's neuron: spike counts, rest, excitability, and its two removable points."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    HodgkinHuxleyParams,
    HodgkinHuxleyState,
    hodgkin_huxley_init,
    hodgkin_huxley_step,
)
from snnjax.unroll import unroll
from tests.reference.nonlinear import hodgkin_huxley_rest, opening_and_closing

pytestmark = pytest.mark.usefixtures("strict_promotion")
AXON = HodgkinHuxleyParams()
COUNTS = {0.0: 0, 3.0: 1, 5.0: 1, 6.0: 2, 6.5: 28, 7.0: 30, 10.0: 35, 20.0: 44}


@cache
def half_a_second():
    """500 ms at dt 0.01: last state, spike count, lowest and highest of each field, by drive."""

    def body(drive, carry, _):
        state, count, low, high = carry
        state, z = hodgkin_huxley_step(AXON, state, drive, dt=0.01)
        low, high = jax.tree.map(jnp.minimum, low, state), jax.tree.map(jnp.maximum, high, state)
        return (state, count + z, low, high), None

    @jax.jit
    @jax.vmap
    def run(drive):
        start = hodgkin_huxley_init(())
        begin = (start, jnp.zeros(()), start, start)
        return jax.lax.scan(partial(body, drive), begin, length=50_000)[0]

    return jax.tree.map(np.asarray, run(jnp.array(list(COUNTS))))


def test_spike_counts_of_constant_drives():
    _, count, _, _ = half_a_second()
    assert dict(zip(COUNTS, count.tolist(), strict=True)) == COUNTS


def test_it_rests_without_drive_and_stays_within_the_reversal_potentials():
    last, _, low, high = half_a_second()
    assert abs(last.v[0] + 65.0) < 0.05
    np.testing.assert_allclose([field[0] for field in last], hodgkin_huxley_init(()), atol=1e-4)
    assert low.v.min() > AXON.e_k
    assert 20.0 < high.v[1:].min() <= high.v.max() < AXON.e_na
    for name in ("m", "h", "n"):
        assert getattr(low, name).min() > 0.0
        assert getattr(high, name).max() < 1.0


def test_init_is_where_nothing_moves():
    changed = AXON._replace(g_l=0.4, e_l=-60.0)
    with jax.enable_x64(True):
        for params in (AXON, changed):
            v, gates = hodgkin_huxley_rest(params._asdict())
            state = hodgkin_huxley_init((2, 3), jnp.float64, params=params)
            np.testing.assert_allclose(state.v, np.full((2, 3), v), rtol=1e-12)
            for name, value in gates.items():
                np.testing.assert_allclose(getattr(state, name), value, rtol=1e-11)
            after, _ = hodgkin_huxley_step(params, state, jnp.zeros((2, 3)))
            np.testing.assert_allclose(after, state, rtol=1e-12)
    with pytest.raises(ValueError, match="`params` must be concrete"):
        jax.jit(lambda p: hodgkin_huxley_init((1,), params=p))(AXON)


def on_current(current, dt=0.02):
    """Spikes and potentials [T] of one neuron."""
    step = partial(hodgkin_huxley_step, AXON, dt=dt)
    x = jnp.asarray(current, jnp.float32)[:, None]
    run = jax.jit(lambda x: unroll(step, hodgkin_huxley_init((1,)), x, record=("v",))[1])
    spikes, record = run(x)
    return np.asarray(spikes)[:, 0], np.asarray(record["v"])[:, 0]


def test_a_spike_is_one_upward_crossing():
    spikes, v = on_current(np.full(5_000, 15.0))
    crossings = (v[1:] >= 0.0) & (v[:-1] < 0.0)
    np.testing.assert_array_equal(spikes[1:], crossings)
    assert spikes.sum() >= 6


@pytest.mark.parametrize(("gap", "spikes"), [(4.0, 1), (8.0, 1), (16.0, 2), (25.0, 2)])
def test_a_second_pulse_soon_after_the_first_finds_it_refractory(gap, spikes):
    current = np.zeros(2_500)
    for start in (2.0, 2.0 + gap):
        current[round(start / 0.02) :][: round(0.5 / 0.02)] = 20.0
    assert on_current(current)[0].sum() == spikes


def test_release_from_a_negative_current_fires():
    current = np.where(np.arange(4_000) < 2_000, -10.0, 0.0)
    spikes, _ = on_current(current)
    assert spikes[:2_000].sum() == 0
    assert spikes[2_000:].sum() == 1


@pytest.mark.parametrize(("at", "name"), [(-40.0, "m"), (-55.0, "n")])
def test_value_and_gradient_where_a_rate_is_a_limit(at, name):
    old = {"m": 0.1, "h": 0.6, "n": 0.3}
    near = at + np.array([0.0, 1e-6, -1e-3, 0.1, 1.9, 1.999, 2.001, -2.1])

    def gate_after(v):
        gates = (jnp.asarray(old[gate], v.dtype) for gate in ("m", "h", "n"))
        state, _ = hodgkin_huxley_step(AXON, HodgkinHuxleyState(v, *gates), jnp.zeros_like(v))
        return getattr(state, name)

    def reference(v):
        a, b = opening_and_closing(v)[name]
        return a / (a + b) + (old[name] - a / (a + b)) * np.exp(-0.01 * (a + b))

    want = [reference(v) for v in near.astype(np.float32).astype(np.float64)]
    np.testing.assert_allclose(gate_after(jnp.asarray(near, jnp.float32)), want, rtol=1e-6)
    slope, curve = jax.grad(gate_after), jax.grad(jax.grad(gate_after))
    with jax.enable_x64(True):
        v, h = jnp.asarray(near, jnp.float64), 1e-3
        for f, df in ((gate_after, slope), (slope, curve)):
            value, derivative = jax.jit(jax.vmap(f)), jax.jit(jax.vmap(df))
            difference = (value(v + h) - value(v - h)) / (2 * h)
            np.testing.assert_allclose(derivative(v), difference, rtol=1e-5)


def test_no_potential_gives_infinity_or_nan():
    v = jnp.array([-1e5, -1e3, -300.0, -55.0, -40.0, 0.0, 300.0, 1e3, 1e5])
    gates = (jnp.full(9, 0.1), jnp.full(9, 0.6), jnp.full(9, 0.3))

    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, state):
        after, z = hodgkin_huxley_step(params, state, jnp.zeros(9))
        return sum(field.sum() for field in after) + z.sum(), (after, z)

    (_, out), grads = jax.jit(run)(AXON, HodgkinHuxleyState(v, *gates))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((out, grads)))
