"""The gradients of other libraries against formulas written out as theirs are."""

from __future__ import annotations

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.surrogates import (
    LEFT_OUT,
    LIBRARY_FORMS,
    LIBRARY_VERSIONS,
    SURROGATES,
    fast_sigmoid,
    like,
)
from tests.reference.surrogates import LIBRARIES

pytestmark = pytest.mark.usefixtures("strict_promotion")

X = np.concatenate([np.linspace(-4.0, 4.0, 41), np.array([0.13, 0.47, 0.53, 0.97, 1.03])])
EDGE_OF_ITS_OWN = {"jaxpike.Boxcar"}  # half of the height at the two edges
SETTINGS = [(name, {}) for name, library in LIBRARIES.items() if library.defaults]
SETTINGS += [(name, library.params) for name, library in LIBRARIES.items() if library.params]
DRAWN = {"spikingjelly.PoissonPass", "norse.circ_dist", "norse.logistic"}


def called(name, **params):
    """The spike function, with a key if it wants one."""
    spike = like(name, **params)
    wants_key = "key" in inspect.signature(spike.func).parameters
    return functools.partial(spike, key=jax.random.key(0)) if wants_key else spike


def slope_of(spike, x):
    return jax.grad(lambda v: spike(v).sum())(x)


def test_every_form_has_its_formula():
    assert {*LIBRARIES, "snntorch.SSO"} == set(LIBRARY_FORMS)
    assert not set(LEFT_OUT) & set(LIBRARY_FORMS)


@pytest.mark.parametrize(("name", "params"), SETTINGS)
def test_gradient_is_the_librarys(name, params):
    library = LIBRARIES[name]
    x = X[~np.isin(np.abs(X), (0.2, 0.5))] if name in EDGE_OF_ITS_OWN else X
    got = slope_of(called(name, **params), jnp.asarray(x, jnp.float32))
    want = library.g(x.astype(np.float32).astype(np.float64), **params)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(LIBRARIES) - DRAWN))
def test_what_fires_at_zero_is_the_librarys(name):
    spike = called(name, **({} if LIBRARIES[name].defaults else LIBRARIES[name].params))
    assert spike(jnp.array([-0.1, 0.0, 0.1])).tolist() == [0, LIBRARIES[name].fires_at_0, 1]


def test_sso_has_gradient_one_or_uniform_noise():
    x = jnp.concatenate([jnp.zeros(1), -jnp.ones(20_000), jnp.ones(5)])
    spike = called("snntorch.SSO", mean=0.25, variance=0.4)
    np.testing.assert_array_equal(spike(x), (x > 0).astype(jnp.float32))
    g = np.asarray(slope_of(spike, x))
    np.testing.assert_array_equal(g[-5:], 1.0)
    silent = g[:-5]
    assert silent.min() >= -0.1 - 1e-6
    assert silent.max() <= 0.3 + 1e-6
    assert silent.mean() == pytest.approx(0.1, abs=3e-3)
    assert silent.std() == pytest.approx(0.4 / 12**0.5, rel=0.02)


def test_equal_names_are_unequal_functions():
    """Their arctangents, superspikes and triangles differ by more than a slope."""
    at = jnp.array([0.0, 0.3])
    for names in (
        ("spikingjelly.ATan", "spyx.arctan"),
        ("spikingjelly.SuperSpike", "spyx.superspike", "snnax.superspike"),
        ("norse.triangle", "spyx.triangular", "jaxpike.Triangular"),
    ):
        found = [tuple(slope_of(like(name), at).tolist()) for name in names]
        assert len(set(found)) == len(found)
    ratio = slope_of(fast_sigmoid, at) / slope_of(like("snntorch.fast_sigmoid"), at)
    np.testing.assert_allclose(ratio, 12.5, rtol=1e-6)


def test_a_form_is_one_of_our_surrogates_and_takes_traced_parameters():
    spike = like("snntorch.fast_sigmoid", slope=10.0)
    assert spike.func is SURROGATES["fast_sigmoid"]
    assert spike.keywords == {"strict": True, "slope": 10.0, "gain": 0.2}
    g = jax.jit(lambda k: jax.grad(like("spyx.triangular", k=k))(0.25))
    assert float(g(2.0)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_says_why_and_what_to_use(name):
    with pytest.raises(ValueError, match=f"^{name} is left out on purpose: .*\\.$") as error:
        like(name)
    assert any(f"{ours}" in str(error.value) for ours in (*SURROGATES, "custom(derivative)"))


def test_unknown_names_and_parameters():
    with pytest.raises(ValueError, match=r"unknown library form 'snntorch.ATan'; did you mean"):
        like("snntorch.ATan")
    with pytest.raises(TypeError, match=r"snntorch.fast_sigmoid takes slope=25.0; got k\."):
        like("snntorch.fast_sigmoid", k=3.0)
    with pytest.raises(TypeError, match=r"norse.tanh takes k; got none\."):
        like("norse.tanh")
    words = r"norse.super takes no parameters; got alpha\. Other versions: norse.super@1.0.0\."
    with pytest.raises(TypeError, match=words):
        like("norse.super", alpha=100.0)


def test_versions_of_a_library_that_differ():
    """norse 1.1.0 ignores the alpha of its super; 1.0.0 divides by (1 + 100 abs(x))^2."""
    at_1 = jax.grad(like("norse.super"))(1.0), jax.grad(like("norse.super@1.0.0"))(1.0)
    np.testing.assert_allclose(at_1, [0.25, 1 / 101**2], rtol=1e-5)
    assert float(jax.grad(like("norse.super@1.0.0", alpha=1.0))(1.0)) == 0.25
    libraries = {name.split(".")[0] for name in LIBRARY_FORMS}
    papers = {"assg", "braincog", "brf", "dh_snn", "diet_snn", "hart", "pdsg", "stbp"}
    assert libraries - papers == set(LIBRARY_VERSIONS)
