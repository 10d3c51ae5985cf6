"""LIAF: the membrane of LIF, the output of an activation."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    LIAFParams,
    LIFParams,
    detach,
    liaf_init,
    liaf_step,
    lif_init,
    lif_step,
    none,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = jnp.asarray(np.random.default_rng(0).normal(0.4, 1.0, (50, 5)), jnp.float32)


@pytest.mark.parametrize("reset", [subtract, zero])
@pytest.mark.parametrize("scale_input", [False, True])
@pytest.mark.parametrize("threshold_related", [False, True])
def test_the_membrane_is_that_of_lif(reset, scale_input, threshold_related):
    shared, x = {"reset": reset, "scale_input": scale_input}, X * (4.0 if scale_input else 1.0)
    step = partial(
        liaf_step, LIAFParams(0.75, 0.8), act=jnp.tanh, threshold_related=threshold_related
    )
    _, (y, records) = unroll(partial(step, **shared), liaf_init((5,)), x, record=("v",))
    lif = partial(lif_step, LIFParams(0.75, 0.8), **shared)
    _, (z, membrane) = unroll(lif, lif_init((5,)), x, record=("v",))
    assert z.sum() > 20
    np.testing.assert_allclose(records["v"], membrane["v"], atol=1e-5)
    before = np.concatenate([np.zeros((1, 5)), membrane["v"][:-1]])
    charged = 0.75 * before + np.asarray(x) * (0.25 if scale_input else 1.0)
    np.testing.assert_allclose(y, np.tanh(charged - 0.8 * threshold_related), atol=1e-6)


def test_the_gradient_of_the_output_is_that_of_the_activation():
    """In its own step; what spiked before reaches a later output through the reset alone."""
    x = jnp.array([2.0, 0.3])

    def last(x, reset):
        step = partial(liaf_step, LIAFParams(0.5, 1.0), act=jnp.tanh, reset=reset)
        return unroll(step, liaf_init(()), x)[1][-1]

    charged = {none: 1.3, detach(subtract): 0.8, zero: 0.3}
    for reset, h in charged.items():
        slope = jax.grad(last)(x, reset)
        outer = 1 - np.tanh(h) ** 2
        assert float(slope[1]) == pytest.approx(outer, rel=1e-5)
        if reset is not zero:
            assert float(slope[0]) == pytest.approx(0.5 * outer, rel=1e-5)
