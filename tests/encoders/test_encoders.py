"""Encoders against their definitions."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.encoders import (
    delta,
    delta_tracked,
    direct,
    latency,
    linear_time,
    log_time,
    poisson,
    rate,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")
KEY = jax.random.key(0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("encode", "probability"),
    [(rate, lambda p: p), (partial(poisson, dt=2.0), lambda p: 1 - np.exp(-2 * p))],
)
def test_rates(encode, probability, dtype):
    values = jnp.array([[0.0, 0.25], [0.5, 1.0]], dtype)
    spikes = encode(values, 4000, key=KEY)
    assert (spikes.shape, spikes.dtype) == ((4000, 2, 2), dtype)
    spikes = np.asarray(spikes, np.float64)
    assert set(np.unique(spikes)) <= {0, 1}
    want = probability(np.asarray(values, np.float64))
    np.testing.assert_allclose(spikes.mean(0), want, atol=4 * 0.5 / math.sqrt(4000))
    assert spikes[:, 0, 0].max() == 0
    # neighbours in time and in the batch are independent
    correlation = np.corrcoef(spikes[:-1, 1, 0], spikes[1:, 1, 0])[0, 1]
    assert abs(correlation) < 0.08


def test_rates_follow_the_key():
    values = jnp.full((3, 4), 0.5)
    first, again = rate(values, 6, key=KEY), jax.jit(rate, static_argnums=1)(values, 6, key=KEY)
    np.testing.assert_array_equal(first, again)
    assert (first != rate(values, 6, key=jax.random.key(1))).any()


def test_latency_linear():
    values = jnp.array([[1.0, 0.75, 0.5, 0.25, 0.02, 0.01, 0.0]])
    spikes = latency(values, 5)
    assert spikes.shape == (5, 1, 7)
    np.testing.assert_array_equal(spikes.sum(0), [[1, 1, 1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(jnp.argmax(spikes, 0)[0, :5], [0, 1, 2, 3, 4])


def test_latency_log_is_the_charging_time_of_a_membrane():
    """dv/dt = -v + x reaches the threshold at ln(x / (x - threshold)); found by integration."""
    threshold, steps, values = 0.2, 64, np.array([1.0, 0.8, 0.6, 0.45, 0.41])
    dt = 5e-4

    def charging_time(x):
        v, t = 0.0, 0.0
        while v < threshold:
            v, t = v + dt * (x - v), t + dt
        return t

    first, last = charging_time(1.0), charging_time(2 * threshold)
    want = [(steps - 1) * (charging_time(x) - first) / (last - first) for x in values]
    got = log_time(jnp.asarray(values, jnp.float32), steps, threshold)
    np.testing.assert_allclose(got, want, atol=0.1)
    spikes = latency(
        jnp.asarray([*values, 0.4, 0.35, 0.2, 0.0], jnp.float32),
        steps,
        time=log_time,
        threshold=threshold,
    )
    np.testing.assert_array_equal(spikes.sum(0), [1, 1, 1, 1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(jnp.argmax(spikes, 0)[:5], np.floor(np.array(want) + 0.5))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=8, max_size=8),
    st.sampled_from([linear_time, log_time]),
)
def test_latency_fires_once_at_most_and_larger_values_not_later(values, time):
    values = np.sort(np.array(values, np.float32))[::-1]
    spikes = np.asarray(latency(jnp.asarray(values), 9, time=time, threshold=0.125))
    fired = spikes.sum(0)
    assert set(fired) <= {0, 1}
    times = np.where(fired > 0, spikes.argmax(0), 9)
    assert (np.diff(times) >= 0).all()
    assert not fired[values <= 0.125].any()
    assert fired[values >= 0.2505].all()


@pytest.mark.parametrize("steps", [1, 4, 40])  # above 32 in another form
def test_direct(steps):
    values = jnp.arange(6.0).reshape(2, 3)
    out = direct(values, steps)
    assert out.shape == (steps, 2, 3)
    np.testing.assert_array_equal(out, np.stack([values] * steps))
    np.testing.assert_array_equal(
        jax.grad(lambda v: direct(v, steps).sum())(values), jnp.full((2, 3), float(steps))
    )


def test_delta_is_the_frame_difference():
    x = np.random.default_rng(0).normal(size=(20, 2, 3)).astype(np.float32)
    want = np.zeros_like(x)
    for t in range(1, 20):
        change = x[t] - x[t - 1]
        want[t] = np.where(np.abs(change) >= 0.5, np.sign(change), 0)
    got = delta(jnp.asarray(x), 0.5)
    np.testing.assert_array_equal(got, want)
    assert set(np.unique(got)) == {-1, 0, 1}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-7, 7), min_size=24, max_size=24))
def test_tracked_events_add_up_to_the_signal(moves):
    """Multiples of 1/32 are exact in float32, and every move is below the threshold of 8/32."""
    x = np.cumsum(np.array(moves, np.float32) / 32).reshape(24, 1)
    events = np.asarray(delta_tracked(jnp.asarray(x), 0.25))
    assert set(np.unique(events)) <= {-1, 0, 1}
    assert events[0] == 0
    assert np.abs(x[0] + 0.25 * np.cumsum(events, axis=0) - x).max() < 0.25
    assert not delta(jnp.asarray(x), 0.25).any()


def test_delta_in_bfloat16():
    x = jnp.array([0.0, 0.5, 0.5, -1.0], jnp.bfloat16)
    for encode in (delta, delta_tracked):
        events = encode(x, 0.5)
        assert events.dtype == jnp.bfloat16
        assert events.tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_values_out_of_range(bad):
    values = jnp.array([0.5, bad])
    for encode in (partial(rate, key=KEY), latency):
        with pytest.raises(ValueError, match=r"must be finite and lie in \[0.0, 1.0\]"):
            encode(values, 3)
    if bad != 1.1:
        with pytest.raises(ValueError, match=r"must be finite and lie in \[0.0, inf\]"):
            poisson(values, 3, key=KEY)
    if not math.isfinite(bad):
        for encode in (delta, delta_tracked):
            with pytest.raises(ValueError, match="must be finite"):
                encode(values, 0.5)


@pytest.mark.parametrize(
    "encode", [partial(rate, key=KEY), partial(poisson, key=KEY), latency, direct]
)
def test_bad_steps(encode):
    for steps in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="`steps`, T, must be a Python int of at least 1"):
            encode(jnp.array([0.5]), steps)


def test_bad_options():
    integers = jnp.arange(3)
    for encode in (partial(rate, key=KEY, steps=2), partial(latency, steps=2)):
        with pytest.raises(TypeError, match="must be floating point; got int32"):
            encode(integers)
    for encode in (delta, delta_tracked):
        with pytest.raises(TypeError, match="must be floating point; got int32"):
            encode(integers, 1.0)
        with pytest.raises(ValueError, match="`threshold` must be above 0"):
            encode(jnp.zeros((3, 1)), 0.0)
        with pytest.raises(ValueError, match=r"with T of at least 1; got \(0, 2\)"):
            encode(jnp.zeros((0, 2)), 0.5)
    with pytest.raises(ValueError, match="`threshold` must lie in"):
        latency(jnp.array([0.5]), 3, threshold=0.7)
    with pytest.raises(ValueError, match="above 0 for log_time"):
        latency(jnp.array([0.5]), 3, threshold=0.0, time=log_time)
    with pytest.raises(ValueError, match="`dt` must be above 0"):
        poisson(jnp.array([0.5]), 3, key=KEY, dt=0.0)
