"""The exact resonator: its energy between spikes, its reset, and what it resonates with."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import RAFParams, RAFState, none, raf_init, raf_step, subtract, zero
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
W = jnp.array([0.3, 1.0, 2.5])


@pytest.mark.parametrize("b", [0.0, -0.02, -1e-4])
def test_without_spikes_the_energy_falls_as_the_exponential(b):
    """At b = 0 it stays: the step is the solution itself, with no error from the step's length."""

    def step(state, current):
        state, z = raf_step(RAFParams(b, W, 10.0), state, current, dt=0.7)
        return state, (state, z)

    start = RAFState(jnp.array([1.0, -2.0, 0.5]), jnp.array([0.5, 1.0, -3.0]))
    _, (states, z) = jax.jit(partial(unroll, step))(start, jnp.zeros((500, 3)))
    assert not z.any()
    t = 0.7 * np.arange(1, 501)[:, None]
    start = np.asarray(start.u) + 1j * np.asarray(start.v)
    want = np.exp((b + 1j * np.asarray(W)) * t) * start
    np.testing.assert_allclose(states.u**2 + states.v**2, np.abs(want) ** 2, rtol=1e-4)
    np.testing.assert_allclose(states.u, want.real, atol=2e-3)
    np.testing.assert_allclose(states.v, want.imag, atol=2e-3)


@pytest.mark.parametrize(("reset", "left"), [(zero, 0.0), (subtract, 0.5), (none, 1.5)])
def test_a_spike_resets_v_alone(reset, left):
    """A quarter turn moves u = 1.5 to v, which fires, and v = 0.75 to u = -0.75."""
    params, state = RAFParams(0.0, jnp.pi / 2, 1.0), RAFState(jnp.array(1.5), jnp.array(0.75))
    after, z = raf_step(params, state, jnp.array(0.0), reset=reset)
    assert float(z) == 1
    np.testing.assert_allclose(after, [-0.75, left], atol=1e-6)


@pytest.mark.parametrize(("gap", "spikes"), [(20, True), (10, False), (30, False), (40, True)])
def test_two_pulses_fire_only_at_the_period(gap, spikes):
    """Each of them is too weak alone; half a period apart they cancel."""
    x = jnp.zeros(80).at[jnp.array([0, gap])].set(0.7)
    step = partial(raf_step, RAFParams(-0.01, 2 * jnp.pi / 20, 1.0))
    assert bool(unroll(step, raf_init(()), x)[1].any()) == spikes
