"""Decays from time constants."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import euler, exact, few_spike_relu, plif_weight, tsodyks_markram_params

pytestmark = pytest.mark.usefixtures("strict_promotion")


def test_values():
    tau = [1.0, 2.0, 20.0]
    np.testing.assert_allclose(
        exact(jnp.array(tau), 0.5), [math.exp(-0.5 / value) for value in tau], rtol=1e-6
    )
    np.testing.assert_allclose(euler(jnp.array(tau)), [0.0, 0.5, 0.95], rtol=1e-6)
    np.testing.assert_allclose(exact(20), math.exp(-0.05), rtol=1e-6)
    np.testing.assert_allclose(euler(4, 1), 0.75)


def test_at_least_float32():
    assert exact(jnp.array(3.0, jnp.bfloat16)).dtype == jnp.float32
    assert euler(jnp.array(3.0, jnp.bfloat16), 1).dtype == jnp.float32
    with jax.enable_x64(True):
        assert exact(jnp.array(3.0, jnp.float64)).dtype == jnp.float64
        made = (exact(3), euler(3, 1), plif_weight(3.0), *few_spike_relu(3, 0.3))
        assert {leaf.dtype for leaf in (*made, *tsodyks_markram_params())} == {jnp.dtype("float64")}


@pytest.mark.parametrize("decay", [exact, euler])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_bad_constants(decay, bad):
    with pytest.raises(ValueError, match="`tau` must be finite and above 0"):
        decay(np.array([2.0, bad]), 1.0)
    with pytest.raises(ValueError, match="`dt` must be finite and above 0"):
        decay(2.0, bad)


def test_euler_needs_a_step_below_tau():
    with pytest.raises(ValueError, match=r"dt=1.0 with tau=0.5. Use a smaller dt, or exact"):
        euler(0.5)
    assert float(euler(1.0, 1.0)) == 0.0
    with pytest.warns(UserWarning, match=r"dt=1.0 with tau=0.8. Use a smaller dt, or exact"):
        assert float(euler(0.8)) == pytest.approx(-0.25)
    with pytest.raises(ValueError, match="must be below 2 `tau`"):
        euler(np.array([2.0, 0.4]))


def test_traced_constants_are_not_checked_and_have_gradients():
    for decay, slope in ((exact, math.exp(-0.5) / 4), (euler, 0.25)):
        assert float(jax.jit(jax.grad(decay))(2.0)) == pytest.approx(slope, rel=1e-5)


def test_plif_weight():
    tau = np.array([1.25, 2.0, 10.0])
    np.testing.assert_allclose(1 / jax.nn.sigmoid(plif_weight(tau)), tau, rtol=1e-5)
    for bad in (1.0, 0.5, math.nan, np.array([2.0, 1.0])):
        with pytest.raises(ValueError, match="must be above 1 step"):
            plif_weight(bad)
