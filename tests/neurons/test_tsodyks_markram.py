"""Short-term plasticity: fixed points, and what synapses of both kinds do with a train."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import tsodyks_markram_init, tsodyks_markram_params, tsodyks_markram_step
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
DEPRESSING = {"use": 0.45, "tau_f": 50.0, "tau_d": 750.0}
FACILITATING = {"use": 0.15, "tau_f": 750.0, "tau_d": 50.0}


def run(x, dt, **kind):
    """The last state, and u and x before each step with the current after it."""

    def step(state, spikes):
        after, current = tsodyks_markram_step(tsodyks_markram_params(dt, **kind), state, spikes)
        return after, (state.u, state.x, current)

    start = tsodyks_markram_init(x.shape[1:], use=kind["use"])
    return jax.jit(partial(unroll, step))(start, x)


@pytest.mark.parametrize("kind", [DEPRESSING, FACILITATING])
def test_a_constant_rate_settles_where_the_rates_balance(kind):
    """u = U (1 + r tau_f) / (1 + U r tau_f), x = 1 / (1 + u r tau_d), current tau_s u x r."""
    rate = np.array([0.002, 0.02, 0.1])
    drive = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), (8000, 3))
    state, _ = run(drive, 1.0, **kind)
    use, tau_f, tau_d = kind.values()
    u = use * (1 + rate * tau_f) / (1 + use * rate * tau_f)
    x = 1 / (1 + u * rate * tau_d)
    np.testing.assert_allclose(state.u, u, rtol=1e-3)
    np.testing.assert_allclose(state.x, x, rtol=1e-3)
    np.testing.assert_allclose(state.i, 20.0 * u * x * rate, rtol=1e-3)


@pytest.mark.parametrize("kind", [DEPRESSING, FACILITATING])
def test_a_train_is_that_of_the_event_equations(kind):
    """Between spikes exponentials, at a spike the jumps of 1998, where u rests at 0; dt = 0.1."""
    dt, gap, spikes = 0.1, 100.0, 8
    train = jnp.zeros(round(gap * spikes / dt)).at[:: round(gap / dt)].set(1.0)
    _, (u, x, _) = run(train, dt, **kind)
    use, tau_f, tau_d = kind.values()
    share, left, want = 0.0, 1.0, []
    for _ in range(spikes):
        share += use * (1 - share)
        want.append(share * left)
        left = 1 - (1 - left * (1 - share)) * np.exp(-gap / tau_d)
        share *= np.exp(-gap / tau_f)
    released = (u * x)[:: round(gap / dt)]
    np.testing.assert_allclose(released, want, rtol=5e-3)
    assert float(released[0]) == pytest.approx(use)
    later = jnp.diff(released)
    assert (later < 0).all() if kind is DEPRESSING else (later[:3] > 0).all()


def test_u_and_x_stay_in_their_ranges():
    spikes = jnp.asarray(np.random.default_rng(0).random((500, 16)) < 0.3, jnp.float32)
    for kind in (DEPRESSING, FACILITATING):
        _, (u, x, current) = run(spikes, 1.0, **kind)
        assert (u >= kind["use"] - 1e-6).all()
        assert (u <= 1).all()
        assert (x >= 0).all()
        assert (x <= 1).all()
        assert (current >= 0).all()


def test_time_constants_shorter_than_a_step():
    with pytest.warns(UserWarning, match="`dt` exceeds `tau`"):
        tsodyks_markram_params(30.0)
    with pytest.raises(ValueError, match="`dt` must be below 2 `tau`"):
        tsodyks_markram_params(40.0)
