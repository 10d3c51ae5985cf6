"""Euler, balanced and harmonic resonators: where they diverge, and what a spike changes."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    BRFParams,
    BRFState,
    HRFParams,
    HRFState,
    RFParams,
    RFState,
    brf_boundary,
    brf_init,
    brf_step,
    hrf_init,
    hrf_step,
    rf_step,
)
from snnjax.surrogates import custom
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
DT = 0.01
BALANCED = ((brf_step, BRFParams, brf_init), (hrf_step, HRFParams, hrf_init))


def gain(b, w):
    return np.abs(1 + DT * (np.asarray(b, np.float64) + 1j * np.asarray(w, np.float64)))


def test_on_the_boundary_a_step_neither_grows_nor_shrinks():
    w = jnp.array([1.0, 50.0, 99.0])
    np.testing.assert_allclose(gain(brf_boundary(w), w), 1, rtol=1e-6)
    np.testing.assert_allclose(gain(brf_boundary(w) - 1, w), [0.99, 0.9914, 0.9986], atol=5e-5)
    many = jnp.asarray(np.random.default_rng(0).uniform(0, 99.9, 1000), jnp.float32)
    assert (gain(brf_boundary(many) - 0.1, many) < 1).all()


@pytest.mark.parametrize("w", [1e-3, 1e-1, 10.0, 99.0])
def test_the_boundary_is_the_published_formula(w):
    """In float64; in float32 that formula has lost all digits at dt * w = 1e-5."""
    np.testing.assert_allclose(
        brf_boundary(w), (-1 + math.sqrt(1 - (DT * w) ** 2)) / DT, rtol=1e-6 if w > 0.01 else 1e-5
    )


def turns(step, params, start, steps=2000):
    run = jax.jit(partial(unroll, partial(step, params)))
    state, z = run(start, jnp.zeros((steps, *start.u.shape)))
    assert not z.any()
    return state, np.hypot(state.u, state.v)


def test_the_balanced_neuron_keeps_the_norm_where_the_plain_one_diverges():
    w, one, nil = jnp.array([2.0, 6.0, 10.0]), jnp.ones(3), jnp.zeros(3)
    _, norm = turns(brf_step, BRFParams(0.0, w, 10.0), BRFState(one, nil, nil))
    np.testing.assert_allclose(norm, 1, rtol=2e-3)
    _, norm = turns(rf_step, RFParams(0.0, w, jnp.inf), RFState(one, nil))
    np.testing.assert_allclose(norm, (1 + (DT * w) ** 2) ** 1000, rtol=2e-3)


def test_without_spikes_it_is_the_plain_neuron_below_the_boundary():
    w, b0 = jnp.array([5.0, 20.0, 80.0]), jnp.array([0.5, -1.0, 2.0])
    one, nil = jnp.ones(3), jnp.zeros(3)
    balanced, _ = turns(brf_step, BRFParams(b0, w, 10.0), BRFState(one, nil, nil), 50)
    plain = RFParams(brf_boundary(w) - jnp.abs(b0), w, 10.0)
    state, _ = turns(rf_step, plain, RFState(one, nil), 50)
    np.testing.assert_allclose(balanced.u, state.u, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(balanced.v, state.v, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("step", "params", "init"), BALANCED)
def test_a_spike_raises_the_threshold_for_a_while(step, params, init):
    """q is 0, 1, 0.9 + z, ...: an input that reaches 1.5 fires again only once q is below 0.5."""
    state, fired = init(()), []
    for k in range(12):
        q = float(state.q)
        state = state._replace(u=jnp.array(1.5), v=jnp.array(0.0))
        state, z = step(params(0.0, 1e-3, 1.0), state, jnp.array(0.0), dt=1e-6)
        fired.append(float(z))
        assert float(z) == (q < 0.5), k
        np.testing.assert_allclose(state.q, 0.9 * q + float(z), rtol=1e-6)
    assert fired == [1.0] + 7 * [0.0] + [1.0] + 3 * [0.0]


def test_a_spike_damps_the_balanced_neuron():
    """With b0 = 0 and w = 0 a step multiplies u by 1 - dt * q."""
    state = BRFState(jnp.array(0.5), jnp.array(0.0), jnp.array(2.0))
    state, _ = brf_step(BRFParams(0.0, 0.0, 1.0), state, jnp.array(0.0), dt=0.1)
    assert float(state.u) == pytest.approx(0.5 * 0.8)


@pytest.mark.parametrize(
    ("step", "params", "state"), [(brf_step, BRFParams, BRFState), (hrf_step, HRFParams, HRFState)]
)
def test_too_much_damping_diverges_where_it_is_said_to(step, params, state):
    """The linear map of a step has its largest eigenvalue at 1 on the limit of abs(b0) + q."""
    w, q = 60.0, 1.5
    limit = 2 * math.sqrt(1 - (DT * w) ** 2) if step is brf_step else 1 - 0.75 * (DT * w) ** 2

    unit = state(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), jnp.full(2, q))
    for factor, grows in ((0.99, False), (1.01, True)):
        after, _ = step(params(factor * limit / DT - q, w, 9.0), unit, jnp.zeros(2))
        matrix = np.array([after.u, after.v], np.float64)
        assert (np.abs(np.linalg.eigvals(matrix)).max() > 1) == grows


def test_signs_of_frequency_and_offset_do_not_matter():
    x = jax.random.normal(jax.random.key(0), (200, 4)) * 100
    run = jax.jit(lambda p: unroll(partial(brf_step, p), brf_init((4,)), x)[1])
    spikes = run(BRFParams(0.5, jnp.full(4, 20.0), 0.5))
    assert 0.02 < spikes.mean() < 0.5
    np.testing.assert_array_equal(spikes, run(BRFParams(-0.5, jnp.full(4, -20.0), 0.5)))


def test_the_published_surrogate_is_an_argument():
    """Two Gaussians, 0.5 (1.15 N(x; 0.5) - 0.3 N(x; 3)), through dt du/dx."""

    def gaussian(x, sigma):
        return jnp.exp(-0.5 * (x / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))

    two = custom(lambda x: 0.5 * (1.15 * gaussian(x, 0.5) - 0.3 * gaussian(x, 3.0)))

    def fire(x, **named):
        return brf_step(BRFParams(1.0, 10.0, 1.0), brf_init(()), x, **named)[1]

    peak = 0.5 * (1.15 / 0.5 - 0.3 / 3) / math.sqrt(2 * math.pi)
    assert float(jax.grad(partial(fire, spike=two))(100.0)) == pytest.approx(DT * peak, rel=1e-5)
    assert float(jax.grad(fire)(100.0)) == pytest.approx(DT, rel=1e-5)


def test_frequencies_that_the_step_is_too_long_for():
    message = r"`w` must have dt \* abs\(w\) < 1"
    for w, dt in ((100.0, 0.01), (np.array([1.0, -200.0]), 0.01), (2.0, 0.5), (math.nan, 0.01)):
        with pytest.raises(ValueError, match=message):
            brf_boundary(jnp.asarray(w, jnp.float32), dt)
        for step, params, init in BALANCED:
            with pytest.raises(ValueError, match=message):
                step(params(1.0, w, 1.0), init((2,)), jnp.zeros(2), dt=dt)
            # a traced frequency is not known, so it is not checked
            jax.eval_shape(
                lambda w, step=step, params=params, init=init, dt=dt: step(
                    params(1.0, w, 1.0), init((2,)), jnp.zeros(2), dt=dt
                ),
                jnp.asarray(w, jnp.float32),
            )
    with pytest.raises(TypeError, match="`w` must be floating point"):
        brf_boundary(50)


def test_the_harmonic_step_shrinks_the_area_by_its_damping():
    """The map of (v, u) has determinant 1 - 2 b dt, with the published b = 0.005 w^2 + abs(b0)."""

    def move(at):
        state = HRFState(v=at[0], u=at[1], q=jnp.zeros(()))
        after, _ = hrf_step(HRFParams(-3.0, 20.0, 1.0), state, jnp.array(0.0))
        return jnp.stack([after.v, after.u])

    matrix = jax.jacobian(move)(jnp.zeros(2))
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    assert float(determinant) == pytest.approx(1 - 2 * DT * (0.005 * 400 + 3), rel=1e-5)
    assert np.abs(np.linalg.eigvals(np.asarray(matrix))).max() < 1
