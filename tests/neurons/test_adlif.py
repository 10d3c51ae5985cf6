"""LIF with an adaptation current, against published forms, LIF, and its bounds of stability."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    AdLIFParams,
    LIFParams,
    adlif_init,
    adlif_step,
    euler,
    exact,
    lif_init,
    lif_step,
    none,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = np.random.default_rng(0).normal(1.0, 4.0, (300, 5)).astype(np.float32)
ALPHA, RHO, A, B, THETA = 0.75, 0.9, 0.1, 0.4, 0.8


def run(params, x, **options):
    step = partial(adlif_step, params, **{"scale_input": True, **options})
    return unroll(step, adlif_init(x.shape[1:]), jnp.asarray(x), record=("v", "w"))[1]


def test_symplectic_form():
    """Baronig et al.: zero reset, then w from the new potential, both scaled by 1 - rho."""
    q = 3.0
    u, w, spikes = np.zeros(5), np.zeros(5), []
    for x in X.astype(np.float64):
        u = ALPHA * u + (1 - ALPHA) * (x - w)
        z = (u >= THETA).astype(float)
        u = u * (1 - z)
        w = RHO * w + (1 - RHO) * (A * u + B * z) * q
        spikes.append(z)
    scale = (1 - RHO) * q
    z, records = run(AdLIFParams(ALPHA, RHO, A * scale, B * scale, THETA), X, reset=zero)
    assert 50 < np.sum(spikes) < 1_200
    np.testing.assert_array_equal(z, spikes)
    np.testing.assert_allclose(records["w"][-1], w, rtol=1e-4, atol=1e-5)


def test_coupling_to_the_potential_before_its_reset():
    """Bittar and Garner: w first, from potential and spike of the step before; late soft reset."""
    u, w, s, spikes = np.zeros(5), np.zeros(5), np.zeros(5), []
    for x in X.astype(np.float64):
        w = RHO * w + A * u + B * s
        u = ALPHA * (u - THETA * s) + (1 - ALPHA) * (x - w)
        s = (u >= THETA).astype(float)
        spikes.append(s)
    z, _ = run(AdLIFParams(ALPHA, RHO, A, B + A * THETA, THETA), X)
    assert 50 < np.sum(spikes) < 1_200
    np.testing.assert_array_equal(z, spikes)
    assert (run(AdLIFParams(ALPHA, RHO, A, B, THETA), X)[0] != z).any()


def test_spike_adaptation_alone():
    """Norse, ada LIF, on its synaptic current."""
    tau_m, tau_a, beta = 4.0, 10.0, 0.6
    v, b, spikes = np.zeros(5), np.zeros(5), []
    for x in X.astype(np.float64):
        v = v + (x - v - b) / tau_m
        b = b - b / tau_a
        z = (v >= 1.0).astype(float)
        v = v - z
        b = b + beta * z
        spikes.append(z)
    assert 50 < np.sum(spikes) < 1_200
    ours = run(AdLIFParams(euler(tau_m), euler(tau_a), 0.0, beta, 1.0), X)[0]
    np.testing.assert_array_equal(ours, spikes)


@pytest.mark.parametrize("scale_input", [True, False])
def test_without_adaptation_it_is_lif(scale_input):
    z, _ = run(AdLIFParams(ALPHA, RHO, 0.0, 0.0, 1.0), X, scale_input=scale_input)
    lif = partial(lif_step, LIFParams(ALPHA, 1.0), scale_input=scale_input)
    want = unroll(lif, lif_init((5,)), jnp.asarray(X))[1]
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)


def test_a_constant_drive_fires_less_and_less():
    params = AdLIFParams(exact(20.0), exact(200.0), 0.0, jnp.array([0.0, 0.05, 0.2]), 1.0)
    z = np.asarray(run(params, np.full((2_000, 3), 3.0, np.float32))[0])
    gaps = [np.diff(np.flatnonzero(spikes)) for spikes in z.T]
    assert np.ptp(gaps[0]) <= 1  # without adaptation: evenly
    for adapted in gaps[1:]:
        assert adapted[0] < adapted[:5].mean() < 0.8 * adapted[-5:].mean()
    assert gaps[0].mean() < gaps[1][-5:].mean() < 0.8 * gaps[2][-5:].mean()


@pytest.mark.parametrize("scale_input", [True, False])
def test_bounds_of_stability(scale_input):
    """Without a reset: potentials fade for a inside of the documented bounds, and grow outside."""
    gain = 1 - ALPHA if scale_input else 1.0
    low, high = -(1 - ALPHA) * (1 - RHO) / gain, (1 + ALPHA) * (1 + RHO) / gain
    a = jnp.array([1.3 * low, 0.7 * low, 0.98 * high, 1.02 * high], jnp.float32)
    x = np.zeros((200, 4), np.float32)
    x[0] = 1.0
    _, records = run(AdLIFParams(ALPHA, RHO, a, 0.0, 1.0), x, reset=none, scale_input=scale_input)
    late = np.abs(records["v"][-10:]).max(0) / np.abs(records["v"][10:20]).max(0)
    np.testing.assert_array_equal(late > 1, [True, False, False, True])
