"""Izhikevich's neuron: the published firing patterns, the published program, its free form."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    IZHIKEVICH_PRESETS,
    AdaptiveQIFParams,
    IzhikevichParams,
    IzhikevichState,
    QIFParams,
    adaptive_qif_init,
    adaptive_qif_step,
    izhikevich_init,
    izhikevich_step,
    qif_init,
    qif_step,
)
from snnjax.unroll import unroll
from tests.neurons.constant import fire, intervals

pytestmark = pytest.mark.usefixtures("strict_promotion")
NAMES = list(IZHIKEVICH_PRESETS)
ALL = IzhikevichParams(
    *(jnp.array(field) for field in zip(*IZHIKEVICH_PRESETS.values(), strict=True))
)


@cache
def spikes_at(drive, dt=1.0):
    """A second of every preset, by name."""
    start = izhikevich_init((len(NAMES),), params=ALL)
    step = partial(izhikevich_step, ALL, dt=dt)
    spikes = fire(step, start, np.full(len(NAMES), drive), round(1_000 / dt))
    return dict(zip(NAMES, spikes.T, strict=True))


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_published_firing_patterns(dt):
    times = {name: intervals(z, dt) for name, z in spikes_at(10.0, dt).items()}
    regular, burst, chatter = times["RS"], times["IB"], times["CH"]
    assert 1.5 * regular[0] < regular[1]  # adapts after the first interval, then tonic
    np.testing.assert_allclose(regular[2:], regular[-1], atol=2 * dt)
    assert burst[:2].max() < 10 < 25 < burst[2:].min()  # one burst, then single spikes
    np.testing.assert_allclose(burst[5:], burst[-1], atol=2 * dt)
    short, long = chatter[chatter < 10], chatter[chatter > 30]
    assert len(short) + len(long) == len(chatter)  # bursts of three or more, again and again
    assert len(long) > 10
    assert len(short) > 1.9 * len(long)
    fast = times["FS"]  # fast, and late spikes as dense as early ones
    assert fast.max() < 0.6 * regular.min()
    assert fast[-5:].mean() < 1.2 * fast[:5].mean()
    low = times["LTS"]  # fast at first, slower by adaptation
    assert 2.5 * low[0] < low[-1]
    assert (np.diff(low[:5]) > 0).all()
    assert low[-1] < regular[-1]


def test_low_threshold_and_resonator_fire_on_less_current():
    fired = {name: z.any() for name, z in spikes_at(2.0).items()}
    assert fired == {"RS": False, "IB": False, "CH": False, "FS": False, "LTS": True, "RZ": True}


def test_the_resonator_rings_after_a_pulse_and_the_regular_neuron_does_not():
    start = izhikevich_init((len(NAMES),), params=ALL)
    pulse = jnp.zeros((400, 1)).at[:2].set(0.5)
    step = partial(izhikevich_step, ALL, dt=0.5)
    _, (spikes, record) = jax.jit(lambda s, x: unroll(step, s, x, record=("v",)))(start, pulse)
    assert not spikes.any()
    swing = np.asarray(record["v"][10:] - start.v)
    crossings = (np.abs(swing[1:]) > 1e-3) & (np.sign(swing[1:]) != np.sign(swing[:-1]))
    assert crossings[:, NAMES.index("RZ")].sum() >= 3
    assert crossings[:, NAMES.index("RS")].sum() <= 1


def test_rates_grow_with_the_drive():
    for name in NAMES:
        counts = [spikes_at(drive)[name].sum() for drive in (2.0, 5.0, 10.0, 20.0)]
        assert (np.diff(counts) > 0).all(), (name, counts)


def test_the_published_program_fires_one_step_later():
    """It looks for spikes before it integrates. Clipping at the peak is ours; it does not clip."""
    generator = np.random.default_rng(0)
    x = generator.normal(8.0, 4.0, 1_000)
    a, b, c, d, peak = IZHIKEVICH_PRESETS["RS"]
    v, u, late = -70.0, -14.0, []
    for value in x:
        late.append(v >= peak)
        if late[-1]:
            v, u = c, u + d
        v = min(v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + value), peak)
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + value)
        u = u + a * (b * min(v, peak) - u)
    spikes = fire_on(IZHIKEVICH_PRESETS["RS"], x)
    np.testing.assert_array_equal(spikes[:-1], late[1:])
    assert spikes.sum() > 10


def fire_on(params, x):
    step = partial(izhikevich_step, params)
    return np.asarray(unroll(step, izhikevich_init(()), jnp.asarray(x, jnp.float32))[1])


def test_init_is_a_rest_to_which_v_returns():
    with jax.enable_x64(True):
        params = IzhikevichParams(*(jnp.asarray(np.asarray(f), jnp.float64) for f in ALL))
        start = izhikevich_init((len(NAMES),), jnp.float64, params=params)
        step = partial(izhikevich_step, params)
        after, _ = step(start, jnp.zeros(len(NAMES)))
        kicked = start._replace(v=start.v - 1.0)
        last, _ = jax.jit(lambda s: unroll(step, s, jnp.zeros((2_000, len(NAMES)))))(kicked)
    np.testing.assert_allclose(after, start, rtol=1e-6)  # b is a float32
    np.testing.assert_allclose(last, start, rtol=1e-5)
    np.testing.assert_allclose(start.v[:4], -70.0, rtol=1e-5)


def test_init_without_a_rest_and_with_traced_parameters():
    params = IZHIKEVICH_PRESETS["RS"]._replace(b=0.3)
    np.testing.assert_allclose(izhikevich_init((1,), params=params).v, -4.7 / 0.08, rtol=1e-6)
    with pytest.raises(ValueError, match="`params` must be concrete"):
        jax.jit(lambda p: izhikevich_init((1,), params=p))(IZHIKEVICH_PRESETS["RS"])


def test_the_overshoot_does_not_move_the_recovery():
    """From just below the peak v2 runs to some 190 mV; u sees the peak of 30."""
    state = IzhikevichState(jnp.array([29.0]), jnp.array([-10.0]))
    after, z = izhikevich_step(IZHIKEVICH_PRESETS["RS"], state, jnp.array([10.0]))
    assert z.all()
    np.testing.assert_allclose(after.v, -65.0)
    np.testing.assert_allclose(after.u, -10.0 + 0.02 * (0.2 * 30.0 + 10.0) + 8.0, rtol=1e-6)


def test_the_free_form_is_the_quadratic_neuron_without_adaptation():
    drives = [0.1, 0.3, 1.0, 3.0]
    shared = (2.0, 0.0, 0.8, 1.0, 1.0, -0.1)
    still = AdaptiveQIFParams(*shared, tau_w=2.0, a=0.0, b=0.0)
    got = fire(partial(adaptive_qif_step, still), adaptive_qif_init((4,)), drives, 200)
    want = fire(partial(qif_step, QIFParams(*shared)), qif_init((4,)), drives, 200)
    np.testing.assert_array_equal(got, want)
    adapting = still._replace(tau_w=50.0, b=0.2)
    slow = fire(partial(adaptive_qif_step, adapting), adaptive_qif_init((4,)), drives, 200)
    assert (slow.sum(axis=0)[1:] < want.sum(axis=0)[1:]).all()
    assert (np.diff(intervals(slow[:, 2])[:4]) >= 0).all()
