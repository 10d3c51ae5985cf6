"""The quadratic neuron against its closed forms."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import QIFParams, detach, hard, none, qif_init, qif_step
from tests.neurons.constant import fire, intervals

pytestmark = pytest.mark.usefixtures("strict_promotion")
DEFAULT = QIFParams(tau=2.0, v_rest=0.0, v_c=0.8, a0=1.0, threshold=1.0, v_reset=-0.1)
RHEOBASE = 0.16  # a0 (v_c - v_rest)^2 / 4


def period(drive, p=DEFAULT):
    """The time from v_reset to the threshold, by integrating dv / v'."""
    k = math.sqrt((drive - RHEOBASE) / p.a0)
    middle = (p.v_rest + p.v_c) / 2
    ends = [math.atan((v - middle) / k) for v in (p.threshold, p.v_reset)]
    return p.tau / (p.a0 * k) * (ends[0] - ends[1])


def test_it_fires_above_its_rheobase_only():
    drives = RHEOBASE * np.array([0.5, 0.98, 1.02, 1.5])
    spikes = fire(partial(qif_step, DEFAULT, dt=0.5), qif_init((4,)), drives, 1_000)
    np.testing.assert_array_equal(spikes.any(axis=0), [False, False, True, True])


def test_the_period_and_a_monotone_rate():
    drives, dt = np.array([0.17, 0.2, 0.5, 1.0, 2.0, 4.0]), 0.005
    step = partial(qif_step, DEFAULT, dt=dt)
    spikes = fire(step, qif_init((len(drives),), v0=DEFAULT.v_reset), drives, 40_000)
    for n, drive in enumerate(drives):
        assert abs(intervals(spikes[:, n], dt).mean() - period(drive)) < 0.01 * period(drive) + dt
    assert (np.diff(spikes.sum(axis=0)) > 0).all()


def test_the_critical_point_divides_return_and_escape():
    start = qif_init((2,), v0=jnp.array([0.79, 0.81]))
    spikes = fire(partial(qif_step, DEFAULT), start, [0.0, 0.0], 50)
    np.testing.assert_array_equal(spikes.sum(axis=0), [0.0, 1.0])


def test_the_reset_goes_to_a_value_and_can_be_detached_or_left_out():
    v = jnp.array([0.9])

    def after(v, reset):
        return qif_step(DEFAULT, qif_init((1,))._replace(v=v), jnp.ones(1), reset=reset)[0].v[0]

    slope = 1 + (2 * 0.9 - 0.8) / 2  # of the charged v
    charged = 0.9 + (1 + 0.9 * 0.1) / 2
    surrogate = 1 / (1 + (math.pi * (charged - 1)) ** 2)
    for reset, value, gradient in (
        (hard, -0.1, surrogate * (-0.1 - charged) * slope),
        (detach(hard), -0.1, 0.0),
        (none, charged, slope),
    ):
        got, grad = jax.value_and_grad(after)(v, reset)
        np.testing.assert_allclose(got, value, rtol=1e-6)
        np.testing.assert_allclose(grad, [gradient], rtol=1e-5, atol=1e-7)
