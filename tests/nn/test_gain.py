from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from snnjax.nn import ALIF, LIF, gain_for_rate


@pytest.mark.parametrize("rate", [0.03, 0.08])
@pytest.mark.parametrize("make", [lambda n: LIF(n, tau=10.0), lambda n: ALIF(n)])
def test_the_rate_is_met_through_a_kernel(make, rate):
    """Measured on a fresh batch of the same kind, as a user would see it in training."""
    keys = jax.random.split(jax.random.key(1))
    x, fresh = (jax.random.bernoulli(key, 0.1, (100, 8, 50)).astype(jnp.float32) for key in keys)
    dense, cells = nnx.Linear(50, 40, rngs=nnx.Rngs(0)), make(40)
    dense.kernel[...] *= gain_for_rate(cells, dense(x), rate)
    found = cells(None, dense(fresh))[1].mean()
    assert abs(found - rate) < 0.15 * rate


def test_what_cannot_be_reached_is_said():
    x = jnp.full((20, 1, 3), -1.0)
    with pytest.raises(ValueError, match=r"no gain in .* gives a rate of 0\.1: .* between 0 and 0"):
        gain_for_rate(LIF(3), x, 0.1)
    for rate in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match=r"`rate` must be in \(0, 1\)"):
            gain_for_rate(LIF(3), x, rate)
    with pytest.raises(
        ValueError, match=r"LIF\(3\): the input \(20, 1, 3\) must be finite; got 60"
    ):
        gain_for_rate(LIF(3), x * jnp.nan, 0.1)
