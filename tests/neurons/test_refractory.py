"""The refractory period: bounds, what stands still, and what is refused."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CUBAParams,
    ILIFParams,
    LIFParams,
    cuba_init,
    cuba_step,
    ilif_init,
    ilif_step,
    lif_init,
    lif_step,
    refractory_init,
    refractory_step,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = jnp.asarray(np.random.default_rng(0).normal(0.6, 1.0, (200, 4)), jnp.float32)
LIF = partial(lif_step, LIFParams(0.75, 1.0))


def run(step, init, x, **options):
    wrapped = partial(refractory_step, step, **options)
    return unroll(wrapped, refractory_init(init, x.shape[1:]), x, record=("neuron.v",))[1]


def test_the_rate_is_bounded():
    period = np.array([0, 1, 4, 9])
    z, _ = run(LIF, lif_init, jnp.full((100, 4), 5.0), period=period)
    np.testing.assert_array_equal(z.sum(0), 100 / (period + 1))
    np.testing.assert_array_equal(z[0], 1.0)
    noisy, _ = run(LIF, lif_init, X, period=period)
    for n, rest in enumerate(period):
        gaps = np.diff(np.flatnonzero(noisy[:, n]))
        assert gaps.min() == rest + 1


def test_no_period_is_the_neuron_itself():
    z, records = run(LIF, lif_init, X, period=0)
    _, (want, membrane) = unroll(LIF, lif_init((4,)), X, record=("v",))
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(records["neuron.v"], membrane["v"], atol=1e-5)


def test_time_stands_still_at_rest():
    """Without the steps at rest it is the run of the neuron itself on the rest of the input."""
    z, records = run(LIF, lif_init, X, period=3)
    for n in range(4):
        fired = np.flatnonzero(z[:, n])
        resting = np.unique([t + d for t in fired for d in (1, 2, 3) if t + d < len(X)])
        awake = np.setdiff1d(np.arange(len(X)), resting)
        _, (want, membrane) = unroll(LIF, lif_init(()), X[awake, n], record=("v",))
        np.testing.assert_array_equal(z[awake, n], want)
        np.testing.assert_allclose(records["neuron.v"][awake, n], membrane["v"], atol=1e-5)
        np.testing.assert_array_equal(
            records["neuron.v"][resting, n], records["neuron.v"][resting - 1, n]
        )


def test_a_synaptic_current_may_go_on():
    step = partial(cuba_step, CUBAParams(0.8, 0.5, 1.0))
    wrapped = partial(refractory_step, step, period=2)
    start = refractory_init(cuba_init, (4,))
    free, _ = unroll(step, cuba_init((4,)), X)
    going, z = unroll(partial(wrapped, hold=("v",)), start, X)
    still, _ = unroll(wrapped, start, X)
    assert z.sum() > 50
    np.testing.assert_allclose(going.neuron.c, free.c, rtol=1e-5)
    assert (still.neuron.c != free.c).any()


def test_any_output_that_is_not_0_is_a_spike():
    step = partial(ilif_step, ILIFParams(0.25))
    z, _ = run(step, ilif_init, jnp.full((6, 4), 3.0), period=2)
    assert z[:, 0].tolist() == [3.0, 0.0, 0.0, 3.0, 0.0, 0.0]


def test_input_at_rest_has_no_gradient():
    def loss(x):
        z, records = run(LIF, lif_init, x, period=2)
        return z.sum() + (records["neuron.v"] ** 2).sum()

    slope = jax.grad(loss)(jnp.array([1.5, 7.0, -7.0, 0.2])[:, None])
    np.testing.assert_array_equal(slope[:, 0] != 0, [True, False, False, True])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize("period", [2_049, 3_000])
def test_a_long_period_is_counted_in_any_dtype(dtype, period):
    """A float16 counts to 2,048; a period of n fires every n + 1 steps."""
    step = partial(refractory_step, LIF, period=period)
    x = jnp.full((2 * period + 3, 1), 2.0, dtype)
    _, z = jax.jit(lambda x: unroll(step, refractory_init(lif_init, (1,), dtype), x))(x)
    assert np.flatnonzero(z[:, 0]).tolist() == [0, period + 1, 2 * period + 2]


@pytest.mark.parametrize("period", [-1, 2.5, np.array([1, -3]), float("nan")])
def test_bad_period(period):
    state = refractory_init(lif_init, (2,))
    with pytest.raises(ValueError, match="`period` must be an integer number of steps"):
        refractory_step(LIF, state, jnp.ones(2), period=period)


def test_bad_hold_and_state():
    state = refractory_init(lif_init, (2,))
    with pytest.raises(ValueError, match=r"`hold` names 'c'.*no such field; it has v"):
        refractory_step(LIF, state, jnp.ones(2), hold=("v", "c"))
    wrong = state._replace(wait=jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"'v' of shape \(2,\) cannot be held .* \(3, 2\)"):
        refractory_step(LIF, wrong, jnp.ones(2))
