"""The two-compartment neuron against steps computed by its equations."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    TCLIFParams,
    TCLIFState,
    none,
    tclif_init,
    tclif_step,
    zero,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")
PARAMS = TCLIFParams(0.0, 0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("named", "want"),
    [
        # d' = d - s/2 + x; s' = s + d'/2; z = s' >= 1; d = d' - z/2; s = s' - z
        ({}, [(1.0, 0.5, 0), (1.25, 0.375, 1), (0.0625, 0.40625, 0), (-0.640625, 0.0859375, 0)]),
        # d as it is, s = 0 after a spike: the authors' hard reset
        (
            {"reset": zero, "reset_dendrite": none},
            [(1.0, 0.5, 0), (1.75, 0.0, 1), (0.75, 0.375, 0), (0.0625, 0.40625, 0)],
        ),
    ],
)
def test_four_steps_follow_the_equations(named, want):
    state = tclif_init(())
    for x, (d, s, z) in zip((1.0, 1.0, -1.0, -0.5), want, strict=True):
        state, fired = tclif_step(PARAMS, state, jnp.array(x), **named)
        assert (float(state.d), float(state.s), float(fired)) == (d, s, z)


def test_the_soma_sees_the_new_dendrite():
    state, _ = tclif_step(PARAMS, tclif_init(()), jnp.array(1.0))
    assert float(state.s) == 0.5


def test_without_spikes_the_state_turns_and_does_not_shrink():
    def move(at, c1, c2):
        params = TCLIFParams(c1, c2, 0.5, jnp.inf)
        after, _ = tclif_step(params, TCLIFState(*at), jnp.array(0.0), spike=jnp.zeros_like)
        return jnp.stack(after)

    for c1, c2 in ((0.0, 0.0), (-1.0, 2.0), (3.0, -0.5)):
        matrix = np.asarray(jax.jacobian(partial(move, c1=c1, c2=c2))(jnp.zeros(2)))
        np.testing.assert_allclose(np.abs(np.linalg.eigvals(matrix)), 1, rtol=1e-5)
