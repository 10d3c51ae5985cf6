"""Firing rates against the closed form for Gaussian membranes, and the alarms."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.metrics import (
    ActivityTotals,
    LayerRate,
    LayerTotals,
    dense_activity,
    firing_rates,
    mean_firing_rate,
    rate_alarms,
)


def _above(x: float, sigma: float) -> float:
    return 0.5 * math.erfc(x / sigma / math.sqrt(2))


@pytest.mark.parametrize("variance", [1, 2, 3, 4, 5])
def test_gaussian_membranes_fire_as_the_closed_form_says(variance):
    """P(s >= k) = P(v >= k - 0.5) for s = floor(clip(v, 0, 4) + 0.5)."""
    sigma = math.sqrt(variance)
    v = sigma * np.random.default_rng(variance).normal(size=(4, 50, 1000))
    spikes = np.floor(np.clip(v, 0, 4) + 0.5)
    (row,) = firing_rates([dense_activity("fc", jnp.asarray(spikes, jnp.float32), 3)])
    mean = sum(_above(k - 0.5, sigma) for k in (1, 2, 3, 4))
    assert row.rate == pytest.approx(_above(0.5, sigma), abs=5e-3)
    assert row.mean_count == pytest.approx(mean, abs=1e-2)
    assert (row.entries, row.alarm) == (200_000, "")


@pytest.mark.parametrize(
    ("nonzero", "alarm"),
    [(0, "silent"), (199, "silent"), (200, ""), (5500, ""), (5501, "saturated")],
)
def test_the_band_is_closed(nonzero, alarm):
    layer = LayerTotals("x", 10, 1, sites=1000, nonzero=nonzero)
    assert firing_rates(ActivityTotals((layer,), 1))[0].alarm == alarm


def test_layers_with_real_input_have_no_rate():
    real = dense_activity("first", jnp.full((1, 1, 4), 0.5), 2)
    assert [r.name for r in firing_rates([real, dense_activity("fc", jnp.ones((1, 1, 4)), 2)])] == [
        "fc"
    ]


def test_a_sample_without_sites_is_silent_and_not_a_division_by_zero():
    (row,) = firing_rates(ActivityTotals((LayerTotals("x", 4, 1),), 1))
    assert (row.rate, row.alarm) == (0.0, "silent")


def test_alarms_name_the_layer_and_a_fix():
    rows = [
        LayerRate("stem.1", 0.001, 0.0, 10, "silent"),
        LayerRate("block.2", 0.3, 0.4, 10, ""),
        LayerRate("head", 0.9, 3.0, 10, "saturated"),
    ]
    silent, saturated = rate_alarms(rows)
    assert "'stem.1' is silent: 0.1 %" in silent
    assert "Lower the threshold" in silent
    assert "'head' is saturated: 90.0 %" in saturated
    assert "Raise the threshold" in saturated
    assert mean_firing_rate(rows) == pytest.approx((0.001 + 0.3 + 0.9) / 3)
    assert mean_firing_rate([]) == 0


@pytest.mark.parametrize("bad", [{"band": (0.2, 1.5)}, {"band": (0.5, 0.2)}, {"band": (-0.1, 0.2)}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        firing_rates(ActivityTotals(), **bad)
