"""CUBA against LIF, closed forms, and the forms of Norse and NIR."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CUBAParams,
    LIFParams,
    cuba_init,
    cuba_step,
    euler,
    lif_init,
    lif_step,
    none,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = np.random.default_rng(0).normal(0.4, 1.0, (200, 5)).astype(np.float32)
DT, TAU_S, TAU_M = 1.0, 4.0, 8.0


def run(params, x, **options):
    step = partial(cuba_step, params, **options)
    return unroll(step, cuba_init(x.shape[1:]), jnp.asarray(x, jnp.float32), record=("v", "c"))[1]


@pytest.mark.parametrize("scale_input", [False, True])
def test_without_a_synapse_it_is_lif(scale_input):
    x = jnp.asarray(X) * (4.0 if scale_input else 1.0)
    z, records = run(CUBAParams(0.0, 0.75, 1.0), x, scale_input=scale_input)
    step = partial(lif_step, LIFParams(0.75, 1.0), scale_input=scale_input)
    _, (want, lif) = unroll(step, lif_init((5,)), x, record=("v",))
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(records["v"], lif["v"], atol=1e-5)


def test_impulse_response():
    a, b, t = 0.5, 0.75, np.arange(12)
    x = np.zeros((12, 1))
    x[0] = 1.0
    _, records = run(CUBAParams(a, b, 10.0), x, reset=none)
    np.testing.assert_allclose(records["c"][:, 0], a**t, rtol=1e-5)
    want = (b ** (t + 1) - a ** (t + 1)) / (b - a)
    np.testing.assert_allclose(records["v"][:, 0], want, rtol=1e-5)


def test_norse_differs_by_a_factor_on_the_input():
    v, i, spikes = np.zeros(5), np.zeros(5), []
    for x in 8 * X.astype(np.float64):
        jump = i + x
        v = v + DT / TAU_M * (jump - v)
        i = jump - DT / TAU_S * jump
        fired = v >= 1.0
        v = np.where(fired, 0.0, v)
        spikes.append(fired)
    params = CUBAParams(euler(TAU_S, DT), euler(TAU_M, DT), 1.0)
    z, records = run(params, 8 * X * DT / TAU_M, reset=zero)
    assert 50 < np.sum(spikes) < 900
    np.testing.assert_array_equal(z, spikes)
    np.testing.assert_allclose(records["v"][-1], v, rtol=1e-4, atol=1e-4)
    own = (1 - DT / TAU_S) * records["c"][-1] * TAU_M / DT
    np.testing.assert_allclose(own, i, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("r", "w_in"), [(1.0, 1.0), (2.0, 1.5)])
def test_nir_differs_by_a_factor_on_the_input(r, w_in):
    v, i, spikes = np.zeros(5), np.zeros(5), []
    for x in 30 / (r * w_in) * X.astype(np.float64):
        i = i + DT / TAU_S * (w_in * x - i)
        v = v + DT / TAU_M * (r * i - v)
        fired = v >= 1.0
        v = np.where(fired, 0.0, v)
        spikes.append(fired)
    params = CUBAParams(euler(TAU_S, DT), euler(TAU_M, DT), 1.0)
    z, _ = run(params, 30 * X * DT**2 / (TAU_M * TAU_S), reset=zero)
    assert 50 < np.sum(spikes) < 900
    np.testing.assert_array_equal(z, spikes)
    if r == w_in == 1.0:
        z, records = run(params, 30 * X, reset=zero, scale_input=True)
        np.testing.assert_array_equal(z, spikes)
        np.testing.assert_allclose(records["c"][-1], i, rtol=1e-4)
