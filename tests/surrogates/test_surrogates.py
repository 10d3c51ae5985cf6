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
    get_surrogate,
    multi_level,
    soft,
    straight_through,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")

# name: (slope or width under test, the closed form of g in NumPy float64, g(0))
CLOSED = {
    "atan": (3.0, lambda x, a: (a / 2) / (1 + (math.pi * a * x / 2) ** 2), 1.5),
    "sigmoid": (5.0, lambda x, a: a / (4 * np.cosh(np.clip(a * x / 2, -300, 300)) ** 2), 1.25),
    "fast_sigmoid": (10.0, lambda x, k: k / (2 * (1 + k * np.abs(x)) ** 2), 5.0),
    "erf": (1.5, lambda x, a: a / math.sqrt(math.pi) * np.exp(-((a * x) ** 2)), 0.8462844),
    "triangle": (0.5, lambda x, w: np.maximum(0, w - np.abs(x)) / w**2, 2.0),
    "rectangle": (0.5, lambda x, w: (np.abs(x) < w / 2) / w, 2.0),
    "piecewise_quadratic": (2.0, lambda x, a: np.maximum(0, a - a * a * np.abs(x)), 2.0),
}
BINARY = [*CLOSED, "straight_through"]
GRID = np.linspace(-3.0, 3.0, 1001) + 1e-4  # off the kinks


def slope_of(spike, x):
    """g at the values x, by reverse mode."""
    return jax.grad(lambda v: spike(v).astype(jnp.float32).sum())(x)


@functools.cache
def profile(name):
    """g and P of a surrogate over GRID, and P far out, from one compiled function."""
    spike, width = SURROGATES[name], CLOSED[name][0]

    @jax.jit
    def compute(x, far):
        return {
            "g": slope_of(lambda v: spike(v, width), x),
            "mirrored": slope_of(lambda v: spike(v, width), -x),
            "scaled": slope_of(lambda v: spike(v, width, gain=0.25), x),
            "soft": slope_of(lambda v: soft(spike)(v, width), x),
            "soft scaled": slope_of(lambda v: soft(spike)(v, width, gain=0.25), x),
            "default": slope_of(spike, x),
            "soft default": slope_of(soft(spike), x),
            "ends": soft(spike)(far, width, gain=0.25),
            "peak": jax.grad(spike)(jnp.zeros(()), width),
        }

    return compute(jnp.asarray(GRID, jnp.float32), jnp.array([-1e4, 1e4], jnp.float32))


@pytest.mark.parametrize("name", CLOSED)
def test_derivative_is_the_closed_form(name):
    width, g, peak = CLOSED[name]
    found = profile(name)
    np.testing.assert_allclose(found["g"], g(GRID, width), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(found["scaled"], 0.25 * found["g"], rtol=1e-6)
    assert float(found["peak"]) == pytest.approx(peak, rel=1e-5)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("setting", ["", "scaled", "default"])
def test_derivative_is_that_of_the_primitive(name, setting):
    found = profile(name)
    got, want = found[setting or "g"], found[f"soft {setting}".strip()]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CLOSED)
def test_area_is_one_times_gain(name):
    # the primitive is checked against g above, so its rise is the area of g
    width, g, _ = CLOSED[name]
    low, high = profile(name)["ends"]
    assert float(high - low) == pytest.approx(0.25, rel=1e-3)
    x = np.linspace(-200.0, 200.0, 200_001)
    assert np.trapezoid(g(x, width), x) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("name", CLOSED)
def test_symmetric_non_negative_and_highest_at_zero(name):
    found = profile(name)
    np.testing.assert_allclose(found["g"], found["mirrored"], rtol=1e-6)
    assert (found["g"] >= 0).all()
    assert (found["g"] <= CLOSED[name][2] * (1 + 1e-6)).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", SURROGATES)
def test_finite_far_from_the_threshold(name, dtype):
    x = jnp.concatenate([-jnp.logspace(4, -4, 200), jnp.logspace(-4, 4, 200)]).astype(dtype)
    g = jax.jit(functools.partial(slope_of, SURROGATES[name]))(x)
    assert g.dtype == dtype
    assert jnp.isfinite(g).all()
    assert (g >= 0).all()


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
        want = 2.0 * width * CLOSED["atan"][1](0.1, width)
        assert float(got[0]) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_width_is_learned_in_the_soft_form_alone(name):
    spike, step = SURROGATES[name], 1e-2
    x, weight = jnp.array([-0.3, 0.1, 0.4]), jnp.array([1.0, 2.0, -3.0])

    @jax.jit
    def gradients(width):
        loss = lambda f, w: (f(x, w) * weight).sum()  # noqa: E731
        got = jax.grad(lambda w: loss(soft(spike), w))(width)
        difference = loss(soft(spike), width + step) - loss(soft(spike), width - step)
        return got, difference / (2 * step), jax.grad(lambda w: loss(spike, w))(width)

    got, want, spiking = gradients(1.2)
    assert float(got) == pytest.approx(float(want), abs=2e-3)
    assert float(spiking) == 0.0


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
