"""Gradients and spikes recorded from SpikingJelly, snnTorch and norse themselves."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.surrogates import like, soft
from tests.reference.record_surrogates import PARAMS

pytestmark = pytest.mark.usefixtures("strict_promotion")

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "surrogates.npz")
SOFT = [name for name in RECORDED.files if name.startswith("soft/")]
SPIKING = [name for name in RECORDED.files if name != "x" and name not in SOFT]


@pytest.mark.parametrize("name", SPIKING)
def test_gradient_and_spikes_are_the_recorded_ones(name):
    spike, x = like(name, **PARAMS.get(name, {})), jnp.asarray(RECORDED["x"])
    g, spikes = RECORDED[name]
    np.testing.assert_array_equal(spike(x), spikes)
    np.testing.assert_allclose(jax.grad(lambda v: spike(v).sum())(x), g, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SOFT)
def test_primitive_is_the_recorded_one(name):
    got = soft(like(name.removeprefix("soft/")))(jnp.asarray(RECORDED["x"]))
    # SpikingJelly adds 1e-5 inside the logarithm of its S2NN
    np.testing.assert_allclose(got, RECORDED[name][1], rtol=1e-5, atol=1.2e-5)
