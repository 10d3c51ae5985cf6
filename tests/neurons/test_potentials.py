"""Potentials of rest and reset other than 0, and timings, of all neurons that have them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    CUBAParams,
    IFParams,
    LIFParams,
    LIParams,
    PLIFParams,
    before_leak,
    cuba_init,
    cuba_step,
    detach,
    if_init,
    if_step,
    li_init,
    li_step,
    lif_init,
    lif_step,
    next_step,
    plif_init,
    plif_step,
    plif_weight,
    previous_step,
    reset_to,
    same_step,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
X = jnp.asarray(np.random.default_rng(0).normal(0.3, 0.8, (40, 5)), jnp.float32)
REST, RESET, THRESHOLD = -0.4, -0.6, 0.5
NEURONS = {
    "lif": (lif_init, partial(lif_step, LIFParams(0.8, THRESHOLD))),
    "plif": (plif_init, partial(plif_step, PLIFParams(plif_weight(5.0), THRESHOLD))),
    "cuba": (cuba_init, partial(cuba_step, CUBAParams(0.0, 0.8, THRESHOLD))),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_leaks_to_its_rest_and_resets_where_it_should(name):
    init, step = NEURONS[name]
    step = partial(step, v_rest=REST, reset=reset_to(RESET))
    last, z = jax.jit(partial(unroll, step))(init(X.shape[1:], v_rest=REST), X)
    want, v = [], np.full(X.shape[1:], REST)
    for x in np.asarray(X, np.float64):
        v = REST + 0.8 * (v - REST) + x
        want.append(v >= THRESHOLD)
        v = np.where(want[-1], RESET, v)
    np.testing.assert_array_equal(z, want)
    assert z.any()
    np.testing.assert_allclose(last.v, v, atol=1e-5)
    still, silence = unroll(step, init(X.shape[1:], v_rest=REST), jnp.zeros_like(X))
    assert not silence.any()
    np.testing.assert_allclose(still.v, REST, rtol=1e-6)


def test_a_readout_leaks_to_its_rest():
    state = li_init((2,), v_rest=jnp.array([1.0, -1.0]))
    _, v = li_step(LIParams(0.5), state, jnp.zeros(2), v_rest=0.5)
    np.testing.assert_allclose(v, [0.75, -0.25])


def test_a_threshold_lies_above_the_rest():
    """In mV both are negative."""
    params, init = LIFParams(0.9, -50.0), lif_init((1,), v_rest=-65.0)
    state, z = lif_step(params, init, jnp.array([16.0]), v_rest=-65.0, reset=reset_to(-70.0))
    assert (float(z[0]), float(state.v[0])) == (1.0, -70.0)
    with pytest.raises(ValueError, match=r"`threshold` must be above -50; got -50.0"):
        lif_step(params, init, jnp.array([16.0]), v_rest=-50.0)


@pytest.mark.parametrize("timing", [same_step, before_leak, next_step, previous_step])
def test_every_leaky_neuron_has_the_timings(timing):
    """Without a synapse CUBA is LIF, and without a leak LIF is IF."""
    lif = partial(lif_step, LIFParams(0.8, THRESHOLD), timing=timing)
    want = unroll(lif, lif_init(X.shape[1:]), X)[1]
    for name in ("plif", "cuba"):
        init, step = NEURONS[name]
        got = unroll(partial(step, timing=timing), init(X.shape[1:]), X)[1]
        np.testing.assert_array_equal(got, want)
    step = partial(if_step, IFParams(THRESHOLD), timing=timing)
    sums = partial(lif_step, LIFParams(1.0, THRESHOLD), timing=timing)
    np.testing.assert_array_equal(
        unroll(step, if_init(X.shape[1:]), X)[1], unroll(sums, lif_init(X.shape[1:]), X)[1]
    )


def test_a_reset_to_a_number_is_one_object_and_to_0_is_zero():
    assert reset_to(-0.2) is reset_to(-0.2)
    v, z, one = jnp.array([0.4, 1.5, 3.25]), jnp.array([0.0, 1.0, 3.0]), jnp.float32(1.0)
    np.testing.assert_array_equal(reset_to(0.0)(v, z, one), zero(v, z, one))
    np.testing.assert_allclose(reset_to(np.float32([1, 2, 3]))(v, z, one), [0.4, 2.0, 3.0])
    slope = jax.grad(lambda z: detach(reset_to(-0.2))(jnp.float32(1.5), z, one))(jnp.float32(1.0))
    assert float(slope) == 0.0
