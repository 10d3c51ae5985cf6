"""KLIF against LIF where the two meet."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    KLIFParams,
    LIFParams,
    klif_init,
    klif_step,
    lif_init,
    lif_step,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = np.random.default_rng(0).normal(0.4, 1.0, (200, 5)).astype(np.float32)


def run(params, x, **options):
    step = partial(klif_step, params, **options)
    _, (z, records) = unroll(step, klif_init((5,)), jnp.asarray(x), record=("v",))
    return z, records["v"]


def lif(params, x, **options):
    step = partial(lif_step, params, **options)
    _, (z, records) = unroll(step, lif_init((5,)), jnp.asarray(x), record=("v",))
    return z, records["v"]


@pytest.mark.parametrize("reset", [subtract, zero])
@pytest.mark.parametrize("scale_input", [True, False])
@pytest.mark.parametrize("scale_reset", [True, False])
def test_gain_1_is_lif_on_a_membrane_that_is_never_negative(reset, scale_input, scale_reset):
    x = np.abs(X) * (4.0 if scale_input else 1.0)
    shared = {"reset": reset, "scale_input": scale_input}
    z, v = run(KLIFParams(0.75, 1.0, 1.0), x, **shared, scale_reset=scale_reset)
    want, membrane = lif(LIFParams(0.75, 1.0), x, **shared)
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(v, membrane, atol=1e-5)


def test_a_scaled_reset_makes_the_gain_a_threshold():
    x = np.abs(X)
    z, v = run(KLIFParams(0.75, 2.0, 1.0), x, scale_input=False, scale_reset=True)
    want, membrane = lif(LIFParams(0.75, 0.5), x)  # a gain of 2 is exact
    assert want.sum() > 50
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(v, membrane, atol=1e-5)
    assert (run(KLIFParams(0.75, 2.0, 1.0), x, scale_input=False)[0] != want).any()


@pytest.mark.parametrize("scale_reset", [True, False])
def test_the_membrane_is_never_negative(scale_reset):
    params = KLIFParams(0.75, 1.3, 1.0)
    z, v = run(params, 2 * X, scale_input=False, scale_reset=scale_reset)
    assert v.min() == 0
    assert z.any()
    assert lif(LIFParams(0.75, 1.0), 2 * X)[1].min() < 0
