"""The exponential neuron against its closed forms and quadratures, and far beyond its threshold."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    EIFParams,
    EIFState,
    LIFParams,
    eif_init,
    eif_step,
    euler,
    lif_init,
    lif_step,
    zero,
)
from tests.neurons.constant import fire, intervals

pytestmark = pytest.mark.usefixtures("strict_promotion")
SHARP = EIFParams(tau=10.0, v_rest=0.0, delta=0.2, v_rh=0.8, threshold=3.0, v_reset=-0.1)
RHEOBASE = 0.6  # v_rh - v_rest - delta
SPIKINGJELLY = EIFParams(tau=2.0, v_rest=0.0, delta=1.0, v_rh=0.8, threshold=1.0, v_reset=-0.1)


def test_it_fires_above_its_rheobase_only():
    drives = RHEOBASE + np.array([-0.3, -0.01, 0.01, 0.3])
    spikes = fire(partial(eif_step, SHARP), eif_init((4,)), drives, 2_000)
    np.testing.assert_array_equal(spikes.any(axis=0), [False, False, True, True])


def test_the_period_and_a_monotone_rate():
    drives, dt = np.array([0.65, 0.8, 1.5, 4.0]), 0.02
    step = partial(eif_step, SHARP, dt=dt)
    spikes = fire(step, eif_init((4,), v0=SHARP.v_reset), drives, 12_000)
    v = np.linspace(SHARP.v_reset, SHARP.threshold, 100_001)
    upstroke = SHARP.delta * np.exp((v - SHARP.v_rh) / SHARP.delta)
    for n, drive in enumerate(drives):
        period = np.trapezoid(SHARP.tau / (drive - (v - SHARP.v_rest) + upstroke), v)
        assert abs(intervals(spikes[:, n], dt).mean() - period) < 0.01 * period + dt
    assert (np.diff(spikes.sum(axis=0)) > 0).all()


def test_spikingjelly_s_default_fires_without_input_as_its_negative_rheobase_says():
    drives = [-0.25, -0.15, 0.0]  # the rheobase is 0.8 - 0 - 1 = -0.2
    spikes = fire(partial(eif_step, SPIKINGJELLY), eif_init((3,)), drives, 300)
    np.testing.assert_array_equal(spikes.any(axis=0), [False, True, True])


def test_a_sharp_upstroke_is_a_leaky_neuron_with_threshold_v_rh():
    drives = np.array([0.7, 0.9, 1.2, 2.0])
    sharp = SHARP._replace(delta=1e-3, threshold=0.81, v_reset=0.0)
    eif = fire(partial(eif_step, sharp, dt=0.1), eif_init((4,)), drives, 3_000)
    leaky = LIFParams(euler(10.0, 0.1), 0.8)
    step = partial(lif_step, leaky, reset=zero, scale_input=True)
    lif = fire(step, lif_init((4,)), drives, 3_000)
    np.testing.assert_allclose(eif.sum(axis=0), lif.sum(axis=0), atol=1)
    assert not eif[:, 0].any()
    assert eif[:, 1:].any(axis=0).all()


@pytest.mark.parametrize("delta", [1e-3, 0.2])
def test_no_potential_gives_infinity_or_nan(delta):
    params = SHARP._replace(delta=delta, threshold=100.0)
    v = jnp.array([-1e6, -10.0, 0.8, 50.0, 99.0, 1e6])

    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, v):
        state, z = eif_step(params, EIFState(v), jnp.zeros(6))
        return (z + state.v).sum(), (state, z)

    (_, (state, z)), grads = jax.jit(run)(params, v)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, grads)))
    np.testing.assert_array_equal(z, [0, 0, 0, 1, 1, 1])  # exp(250) and more, unclipped
