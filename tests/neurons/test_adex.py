"""The adaptive exponential neuron: closed forms, adaptation, and the cell of the paper."""

from __future__ import annotations

import math
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    ADEX_2005,
    AdExParams,
    EIFParams,
    adex_init,
    adex_step,
    eif_init,
    eif_step,
)
from tests.neurons.constant import fire, intervals

pytestmark = pytest.mark.usefixtures("strict_promotion")
DRIVES = np.array([0.5, 0.8, 1.5, 4.0])


def params(**changes):
    usual = {"tau": 10.0, "v_rest": 0.0, "delta": 0.2, "v_rh": 0.8, "threshold": 2.0}
    quiet = {"v_reset": -0.1, "tau_w": 30.0, "a": 0.0, "b": 0.0}
    return AdExParams(**{**usual, **quiet, **changes})


def test_without_adaptation_it_is_the_exponential_neuron():
    adex = fire(partial(adex_step, params()), adex_init((4,)), DRIVES, 500)
    eif = fire(partial(eif_step, EIFParams(*params()[:6])), eif_init((4,)), DRIVES, 500)
    np.testing.assert_array_equal(adex, eif)
    assert eif.sum() > 50


def test_it_fires_above_its_rheobase_only():
    a, delta = 0.5, 0.2
    rheobase = (1 + a) * (0.8 - 0.0 - delta + delta * math.log(1 + a))
    fast = params(a=a, tau_w=1.0)  # a is below tau/tau_w, so that rest is lost before it oscillates
    drives = rheobase + np.array([-0.3, -0.02, 0.02, 0.3])
    spikes = fire(partial(adex_step, fast, dt=0.2), adex_init((4,)), drives, 5_000)
    np.testing.assert_array_equal(spikes.any(axis=0), [False, False, True, True])


def test_the_cell_of_the_paper_adapts_and_its_rate_is_monotone():
    dt, drives = 0.1, np.array([15.0, 25.0, 35.0, 50.0])  # I / g_L in mV
    start = adex_init((4,), v0=ADEX_2005.v_rest)
    spikes = fire(partial(adex_step, ADEX_2005, dt=dt), start, drives, 10_000)
    assert not spikes[:, 0].any()
    assert (np.diff(spikes.sum(axis=0)) > 0).all()
    times = intervals(spikes[:, 3], dt)
    assert times[0] < times[1] < times[2]
    assert 1.5 * times[0] < times[-1]
    np.testing.assert_allclose(times[-1], times[-2], rtol=0.05)


def test_adaptation_settles_at_a_times_the_depolarisation_and_jumps_by_b():
    step = partial(adex_step, params(a=0.4, b=0.3))
    state = adex_init((1,))
    for _ in range(400):
        state, z = step(state, jnp.array([0.3]))
        assert not z.any()
    np.testing.assert_allclose(state.w, 0.4 * state.v, rtol=1e-4)
    after, z = step(state, jnp.array([50.0]))
    assert z.all()
    np.testing.assert_allclose(after.w - state.w, 0.3, rtol=1e-3)
    np.testing.assert_allclose(after.v, -0.1, rtol=1e-6)
