"""Checks of every surrogate against its closed form, its primitive and its conventions."""

from __future__ import annotations

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax import surrogates
from snnjax.surrogates import (
    SURROGATES,
    atan,
    custom,
    erf,
    gaussian,
    get_surrogate,
    multi_level,
    soft,
    squarewave_fourier,
    straight_through,
    ternary,
)
from tests.reference.surrogates import CLOSED, normal

pytestmark = pytest.mark.usefixtures("strict_promotion")

OF_AREA_1 = [name for name, case in CLOSED.items() if case.area == 1.0]
BINARY = list(CLOSED)
GRID = np.linspace(-3.0, 3.0, 1001) + 1e-4  # off the kinks
EDGES = jnp.array([0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 1e4, -1e4])  # on them


def slope_of(spike, x):
    """g at the values x, by reverse mode."""
    return jax.grad(lambda v: spike(v).astype(jnp.float32).sum())(x)


@functools.cache
def profile(name):
    """g and P of a surrogate over GRID, and P far out, from one compiled function."""
    spike, params = SURROGATES[name], CLOSED[name].params

    @jax.jit
    def compute(x, far, at):
        set_to = functools.partial(spike, **params)
        softened = functools.partial(soft(spike), **params)
        return {
            "g": slope_of(set_to, x),
            "mirrored": slope_of(set_to, -x),
            "scaled": slope_of(lambda v: set_to(v, gain=0.25), x),
            "soft": slope_of(softened, x),
            "soft scaled": slope_of(lambda v: softened(v, gain=0.25), x),
            "default": slope_of(spike, x),
            "soft default": slope_of(soft(spike), x),
            "ends": softened(far, gain=0.25),
            "peak": jax.grad(set_to)(at),
            "at 0": slope_of(set_to, jnp.zeros(1)),
            "soft at 0": slope_of(softened, jnp.zeros(1)),
            "curvature": slope_of(lambda v: slope_of(spike, v), EDGES),
        }

    ends = jnp.array([-1e4, 1e4], jnp.float32)
    return compute(jnp.asarray(GRID, jnp.float32), ends, jnp.float32(CLOSED[name].at))


def closed_form(name, x):
    return CLOSED[name].g(x, *CLOSED[name].params.values())


def test_every_surrogate_has_its_closed_form():
    assert sorted([*CLOSED, "multi_level", "ternary"]) == sorted(SURROGATES)


@pytest.mark.parametrize("name", CLOSED)
def test_derivative_is_the_closed_form(name):
    found = profile(name)
    np.testing.assert_allclose(found["g"], closed_form(name, GRID), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(found["scaled"], 0.25 * found["g"], rtol=1e-6)
    assert float(found["peak"]) == pytest.approx(CLOSED[name].peak, rel=1e-5)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("setting", ["", "scaled", "default", "at 0"])
def test_derivative_is_that_of_the_primitive(name, setting):
    found = profile(name)
    got, want = found[setting or "g"], found[f"soft {setting}".strip()]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OF_AREA_1)
def test_area_is_one_times_gain(name):
    # the primitive is checked against g above, so its rise is the area of g
    low, high = profile(name)["ends"]
    assert float(high - low) == pytest.approx(0.25, rel=1e-3)
    x = np.linspace(-200.0, 200.0, 200_001)
    assert np.trapezoid(closed_form(name, x), x) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("name", [name for name, case in CLOSED.items() if case.area is None])
def test_infinite_areas_grow_with_the_window(name):
    x = np.linspace(-1e5, 1e5, 200_001) + 0.1
    near = np.abs(x) < 1e4
    g = closed_form(name, x)
    assert np.trapezoid(g, x) > np.trapezoid(g[near], x[near]) + 1.0


@pytest.mark.parametrize("name", CLOSED)
def test_sign_symmetry_and_peak_are_as_flagged(name):
    found, case = profile(name), CLOSED[name]
    mirrored = np.allclose(found["g"], found["mirrored"], rtol=1e-6, atol=1e-7)
    assert mirrored == case.symmetric
    assert (found["g"] < 0).any() == case.negative
    assert (found["g"] <= case.peak * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", CLOSED)
def test_curvature_is_finite_on_the_kinks_and_far_out(name):
    assert jnp.isfinite(profile(name)["curvature"]).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", SURROGATES)
def test_finite_far_from_the_threshold(name, dtype):
    x = jnp.concatenate([-jnp.logspace(4, -4, 200), jnp.logspace(-4, 4, 200)]).astype(dtype)
    g = jax.jit(functools.partial(slope_of, SURROGATES[name]))(x)
    assert g.dtype == dtype
    assert jnp.isfinite(g).all()
    assert (g >= 0).all() or CLOSED[name].negative


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", BINARY)
def test_forward_is_a_step(name, dtype):
    spike = SURROGATES[name]
    x = jnp.array([-1.0, -1e-6, 0.0, 1e-6, 1.0], dtype)
    assert spike(x).dtype == dtype
    assert spike(x).tolist() == [0, 0, 1, 1, 1]
    assert spike(x, strict=True).tolist() == [0, 0, 0, 1, 1]
    assert spike(x, gain=7.0).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", SURROGATES)
def test_transformations_agree(name):
    spike = SURROGATES[name]
    x = jnp.linspace(-1.0, 5.0, 24).reshape(4, 6)
    value, tangent = jax.jvp(spike, (x,), (jnp.ones_like(x),))
    np.testing.assert_array_equal(value, spike(x))
    np.testing.assert_array_equal(value, jax.jit(spike)(x))
    np.testing.assert_array_equal(value, jax.vmap(spike)(x))
    np.testing.assert_array_equal(value, jax.checkpoint(spike)(x))
    (backward,) = jax.vjp(spike, x)[1](jnp.ones_like(x))
    remat = jax.jit(lambda v: jax.vjp(jax.checkpoint(spike), v)[1](jnp.ones_like(v))[0])(x)
    mapped = jax.jit(jax.vmap(jax.vmap(jax.grad(spike))))(x)
    for other in (backward, remat, mapped):
        np.testing.assert_allclose(tangent, other, rtol=1e-6, atol=1e-7)


def test_annealing_a_width_recompiles_nothing():
    @jax.jit
    @chex.assert_max_traces(1)
    def g(spike, gain, x):
        return slope_of(functools.partial(spike, gain=gain), x)

    x = jnp.array([0.1])
    for width in (1.0, 2.0, 3.0):
        spike = jax.tree_util.Partial(atan, slope=jnp.array(width))
        got = g(spike, jnp.array(2.0 * width), x)
        want = 2.0 * width * CLOSED["atan"].g(0.1, width)
        assert float(got[0]) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("name", [name for name, case in CLOSED.items() if case.params])
def test_parameters_are_learned_in_the_soft_form_alone(name):
    spike, params, step = SURROGATES[name], CLOSED[name].params, 1e-2
    x, weight = jnp.array([-0.3, 0.1, 0.83]), jnp.array([1.0, 2.0, -3.0])

    @jax.jit
    def gradients(params):
        loss = lambda f, p: (f(x, **p) * weight).sum()  # noqa: E731
        got = jax.grad(lambda p: loss(soft(spike), p))(params)
        at = lambda key, by: loss(soft(spike), {**params, key: params[key] + by})  # noqa: E731
        difference = {key: (at(key, step) - at(key, -step)) / (2 * step) for key in params}
        return got, difference, jax.grad(lambda p: loss(spike, p))(params)

    got, want, spiking = gradients({key: jnp.asarray(value) for key, value in params.items()})
    for key in params:
        assert float(got[key]) == pytest.approx(float(want[key]), rel=2e-3, abs=2e-3)
        assert float(spiking[key]) == 0.0


def test_soft_passes_through_partials_and_is_one_object():
    assert soft(atan) is soft(atan)
    x = jnp.array([0.2])
    made = soft(functools.partial(atan, slope=3.0, gain=0.5, strict=True))
    np.testing.assert_allclose(made(x), 0.5 * soft(atan)(x, 3.0))
    assert isinstance(soft(jax.tree_util.Partial(atan, slope=3.0)), jax.tree_util.Partial)


def test_a_width_of_other_dtype_than_the_membrane():
    x = jnp.array([0.25], jnp.bfloat16)
    assert slope_of(functools.partial(atan, slope=jnp.array(2.0)), x).dtype == jnp.bfloat16
    assert soft(atan)(x, jnp.array(2.0)).dtype == jnp.bfloat16


def test_custom():
    def bump(x, height):
        return height * jnp.exp(-jnp.abs(x))

    spike = custom(bump)
    assert float(jax.grad(spike)(0.0, height=0.5, gain=2.0)) == 1.0
    assert float(spike(0.0, height=0.5, strict=True)) == 0.0
    with pytest.raises(ValueError, match=r"bump has no primitive.*custom\(derivative, primitive\)"):
        soft(spike)
    with_soft = custom(lambda x: jnp.ones_like(x), lambda x: x)
    assert float(soft(with_soft)(0.3)) == pytest.approx(0.3)


def test_straight_through():
    x = jnp.array([-40.0, 0.3])
    np.testing.assert_array_equal(slope_of(straight_through, x), jnp.ones(2))
    np.testing.assert_array_equal(soft(straight_through)(x), x)


def test_unknown_names_and_wrong_dtypes():
    assert get_surrogate("erf") is erf
    with pytest.raises(ValueError, match="unknown surrogate 'arctan'; did you mean 'atan'"):
        get_surrogate("arctan")
    for name, spike in SURROGATES.items():
        assert getattr(surrogates, name) is spike
        with pytest.raises(TypeError, match="must be floating point; got int32"):
            spike(jnp.array([1]))
    with pytest.raises(TypeError, match="must be a function; got 'atan'"):
        soft("atan")


def test_harmonics_of_the_square_wave():
    x = jnp.asarray(GRID, jnp.float32)
    three = functools.partial(squarewave_fourier, harmonics=3)
    base = 2 * math.pi * GRID / 8.0
    want = 0.5 * (np.cos(base) + np.cos(3 * base) + np.cos(5 * base))
    np.testing.assert_allclose(slope_of(three, x), want, atol=1e-5)
    np.testing.assert_allclose(slope_of(soft(three), x), want, atol=1e-5)
    over_a_period = jnp.linspace(0.0, 8.0, 81)[:-1]
    assert float(slope_of(three, over_a_period).mean()) == pytest.approx(0.0, abs=1e-6)
    for harmonics in (0, 1.5, True):
        with pytest.raises(ValueError, match="`harmonics` must be a Python int of at least 1"):
            squarewave_fourier(x, harmonics=harmonics)


def test_array_parameters_broadcast_over_channels():
    """PDSG: a deviation measured for each channel, off centre by half of it."""
    sigma = jnp.array([0.5, 1.0, 2.0])
    x = jnp.linspace(-2.0, 2.0, 15).reshape(5, 3)
    got = slope_of(functools.partial(gaussian, mu=0.5 * sigma, sigma=sigma), x)
    for channel, s in enumerate(sigma.tolist()):
        want = normal(np.asarray(x[:, channel]), 0.5 * s, s)
        np.testing.assert_allclose(got[:, channel], want, rtol=1e-5)


# The signed spike.
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_ternary_fires_on_both_sides(dtype):
    v = jnp.array([-3.0, -0.5, -0.25, 0.0, 0.25, 0.5, 3.0], dtype)
    assert ternary(v, 0.5).dtype == dtype
    assert ternary(v, 0.5).tolist() == [-1, -1, 0, 0, 0, 1, 1]
    strict = functools.partial(atan, strict=True)
    assert ternary(v, 0.5, base=strict).tolist() == [-1, 0, 0, 0, 0, 0, 1]


def test_ternary_gradient_is_that_of_its_two_thresholds():
    x, theta, case = jnp.asarray(GRID, jnp.float32), 0.8, CLOSED["erf"]
    spike = functools.partial(ternary, threshold=theta, base=functools.partial(erf, slope=1.5))
    want = case.g(GRID - theta, 1.5) + case.g(GRID + theta, 1.5)
    np.testing.assert_allclose(slope_of(spike, x), want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slope_of(soft(spike), x), want, rtol=1e-4, atol=1e-6)
    ends = soft(spike)(jnp.array([-1e3, 0.0, 1e3]))
    np.testing.assert_allclose(ends, [-1.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(soft(ternary)(x, base=straight_through), 2 * x, atol=1e-6)


def test_ternary_threshold_gets_gradients():
    v = jnp.array([-1.3, -0.2, 0.9])
    got = jax.grad(lambda theta: (ternary(v, theta) * jnp.array([1.0, 2.0, 4.0])).sum())(1.0)
    above, below = (
        CLOSED["atan"].g(np.asarray(v) - 1.0, 2.0),
        CLOSED["atan"].g(-np.asarray(v) - 1.0, 2.0),
    )
    assert float(got) == pytest.approx(float(((below - above) * [1.0, 2.0, 4.0]).sum()), rel=1e-5)


# The integer spike: tables of the published neuron.
TABLE = {-0.5: 0, 0.0: 0, 0.49: 0, 0.5: 1, 1.49: 1, 1.5: 2, 2.5: 3, 3.5: 4, 4.2: 4}
GRADIENT = {0.01: 1, 3.99: 1, 0.0: 0, 4.0: 0, -1.0: 0, 5.0: 0}


def test_multi_level_table():
    assert multi_level(jnp.array(list(TABLE))).tolist() == list(TABLE.values())
    x = jnp.array(list(GRADIENT))
    assert slope_of(multi_level, x).tolist() == list(GRADIENT.values())
    assert slope_of(soft(multi_level), x).tolist() == list(GRADIENT.values())
    np.testing.assert_array_equal(
        soft(multi_level)(jnp.array([-1.0, 0.3, 2.0, 7.0]), 2), jnp.array([0.0, 0.3, 2.0, 2.0])
    )


def test_multi_level_firing_on_normal_input():
    """Mean count, non-zero fraction and gradient-pass fraction for N(0, variance), D = 4."""
    normal = jax.random.normal(jax.random.key(0), (400_000,))
    for variance, count, nonzero, passing in [
        (1, 0.382, 0.309, 0.500),
        (2, 0.551, 0.362, 0.498),
        (3, 0.676, 0.386, 0.490),
        (5, 0.853, 0.412, 0.463),
    ]:
        x = math.sqrt(variance) * normal
        s = multi_level(x)
        assert float(s.mean()) == pytest.approx(count, abs=4e-3)
        assert float((s > 0).mean()) == pytest.approx(nonzero, abs=3e-3)
        assert float(slope_of(multi_level, x).mean()) == pytest.approx(passing, abs=3e-3)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-50, 50, width=16), min_size=16, max_size=16),
    st.sampled_from([1, 4, 7]),
    st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16]),
)
def test_multi_level_is_the_clipped_rounding_in_any_dtype(values, levels, dtype):
    v = jnp.asarray(values, dtype)
    exact = np.asarray(v).astype(np.float64)
    want = np.floor(np.clip(exact, 0, levels) + 0.5)
    np.testing.assert_array_equal(np.asarray(multi_level(v, levels)).astype(np.float64), want)


def test_multi_level_bad_input():
    for levels in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="`levels` must be a Python int of at least 1"):
            multi_level(jnp.array([1.0]), levels)
    assert jnp.isnan(multi_level(jnp.array([jnp.nan]))).all()


@pytest.mark.parametrize("strict", [False, True])
def test_nan_stays_nan_in_every_surrogate(strict):
    x = jnp.array([jnp.nan, -jnp.inf, jnp.inf])
    for name, spike in SURROGATES.items():
        options = {} if name in ("multi_level", "ternary") else {"strict": strict}
        out = jax.jit(functools.partial(spike, **options))(x)
        assert jnp.isnan(out).tolist() == [True, False, False], name
