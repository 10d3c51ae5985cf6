"""Resets and their registry."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import RESETS, detach, get_reset, none, subtract, zero

pytestmark = pytest.mark.usefixtures("strict_promotion")
V, Z = jnp.array([0.4, 1.5, 3.25]), jnp.array([0.0, 1.0, 3.0])
THRESHOLD = jnp.array(1.0)


@pytest.mark.parametrize(
    ("reset", "want"),
    [(subtract, [0.4, 0.5, 0.25]), (zero, [0.4, 0.0, 0.0]), (none, [0.4, 1.5, 3.25])],
)
@pytest.mark.parametrize("detached", [False, True])
def test_values(reset, want, detached):
    got = (detach(reset) if detached else reset)(V, Z, THRESHOLD)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(("reset", "slope"), [(subtract, -2.0), (zero, -1.5), (none, 0.0)])
def test_gradient_through_the_spike_unless_detached(reset, slope):
    args = (jnp.array(1.5), jnp.array(1.0), jnp.array(2.0))
    assert float(jax.grad(reset, argnums=1)(*args)) == slope
    assert float(jax.grad(detach(reset), argnums=1)(*args)) == 0.0
    assert float(jax.grad(detach(reset), argnums=0)(*args)) == float(jax.grad(reset)(*args))


def test_detach_gives_one_object():
    assert detach(zero) is detach(zero)
    assert detach(zero).__name__ == "detach_zero"


def test_registry():
    assert set(RESETS) == {"subtract", "zero", "none", "detach_subtract", "detach_zero"}
    assert get_reset("detach_zero") is detach(zero)
    with pytest.raises(ValueError, match=r"unknown reset 'hard'.*Valid: detach_subtract"):
        get_reset("hard")
    with pytest.raises(ValueError, match="did you mean 'subtract'"):
        get_reset("substract")
