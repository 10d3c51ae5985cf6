"""ALIF against LIF, the other published forms of it, and its adaptation."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    ALIFParams,
    LIFParams,
    alif_init,
    alif_step,
    euler,
    exact,
    lif_init,
    lif_step,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = np.random.default_rng(0).normal(1.0, 4.0, (300, 5)).astype(np.float32)


def run(params, x, **options):
    step = partial(alif_step, params, **{"scale_input": True, **options})
    return unroll(step, alif_init(x.shape[1:]), jnp.asarray(x))[1]


@pytest.mark.parametrize("scale_input", [True, False])
def test_without_beta_it_is_lif(scale_input):
    z = run(ALIFParams(0.75, 0.9, 0.0, 1.0), X, scale_input=scale_input)
    lif = partial(lif_step, LIFParams(0.75, 1.0), scale_input=scale_input)
    want = unroll(lif, lif_init((5,)), jnp.asarray(X))[1]
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)


def test_an_averaging_adaptation_has_another_beta():
    """a = rho a + (1 - rho) z of the step before, then threshold, membrane, spike and reset."""
    alpha, rho, beta, theta0 = 0.75, 0.9, 1.8, 0.5
    u, a, z, spikes = np.zeros(5), np.zeros(5), np.zeros(5), []
    for x in X.astype(np.float64):
        a = rho * a + (1 - rho) * z
        theta = theta0 + beta * a
        u = alpha * u + (1 - alpha) * x
        z = (u >= theta).astype(float)
        u = u - z * theta
        spikes.append(z)
    assert np.sum(spikes) > 50
    ours = run(ALIFParams(alpha, rho, beta * (1 - rho), theta0), X)
    np.testing.assert_array_equal(ours, spikes)
    assert (run(ALIFParams(alpha, rho, beta, theta0), X) != np.array(spikes)).any()


def test_a_threshold_that_relaxes_first_has_another_beta():
    """LSNN as in Norse: the threshold b relaxes to v_th, is compared, and jumps by beta."""
    tau_m, tau_a, beta, v_th = 4.0, 10.0, 0.6, 0.8
    v, b, spikes = np.zeros(5), np.full(5, v_th), []
    for x in X.astype(np.float64):
        v = v + (x - v) / tau_m
        b = b + (v_th - b) / tau_a
        z = (v >= b).astype(float)
        v = (1 - z) * v
        b = b + beta * z
        spikes.append(z)
    assert np.sum(spikes) > 50
    rho = float(euler(tau_a))
    ours = run(ALIFParams(euler(tau_m), rho, beta * rho, v_th), X, reset=zero)
    np.testing.assert_array_equal(ours, spikes)
    assert (run(ALIFParams(euler(tau_m), rho, beta, v_th), X, reset=zero) != ours).any()


def test_a_constant_drive_fires_less_and_less():
    params = ALIFParams(exact(20.0), exact(200.0), jnp.array([0.0, 0.05, 0.2]), 1.0)
    z = np.asarray(run(params, np.full((2_000, 3), 3.0, np.float32)))
    gaps = [np.diff(np.flatnonzero(spikes)) for spikes in z.T]
    assert np.ptp(gaps[0]) <= 1  # without adaptation: evenly
    for adapted in gaps[1:]:
        assert adapted[0] < adapted[:5].mean() < 0.8 * adapted[-5:].mean()
    assert gaps[0].mean() < gaps[1][-5:].mean() < 0.8 * gaps[2][-5:].mean()
