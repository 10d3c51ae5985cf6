"""e-prop against backpropagation through time and against loops of the published equations."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    LIFParams,
    detach,
    lif_init,
    lif_step,
    none,
    refractory_init,
    refractory_step,
    subtract,
    zero,
)
from snnjax.plasticity import EPropParams, eprop_init, eprop_step
from snnjax.surrogates import atan
from snnjax.unroll import online_gradient, unroll
from tests.plasticity.layers import (
    DECAY,
    bptt,
    cosine,
    counts,
    eprop,
    lif,
    network,
    ottt,
    plain,
    problem,
)
from tests.reference.plasticity import alif_eprop_loop, alif_loop

pytestmark = pytest.mark.usefixtures("strict_promotion")

RHO, THETA, BETA = 0.95, 0.6, 0.4


class ALIF(NamedTuple):
    """State of a neuron with an adaptive threshold."""

    v: jax.Array
    a: jax.Array


def alif_step(state, current, reset):
    """The threshold is THETA + BETA a, and a' = RHO a + z."""
    v = DECAY * state.v + current
    limit = THETA + BETA * state.a
    z = atan(v - limit)
    v = v - jax.lax.stop_gradient(z * limit) if reset else v
    return ALIF(v, RHO * state.a + z), z


def online(step, params, state, xs):
    return jax.jit(partial(online_gradient, step))(params, state, xs)[1]


def net(layer, reset, weights):
    step, state = network(layer, reset, weights, 3, weights[0].dtype)
    return step, weights, state


@pytest.mark.parametrize("reset", [none, subtract, zero, detach(subtract)])
def test_one_layer_is_exact_with_the_reset_in_its_traces(reset):
    with jax.enable_x64(True):
        weights, xs = problem(6, 4, dtype=np.float64)
        want = bptt(*net(plain, reset, weights), xs)
        got = online(*net(eprop, reset, weights), xs)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("widths", "least"), [((20, 10), 0.99), ((20, 20, 20, 10), 0.8)])
def test_published_traces_are_near_backpropagation(widths, least):
    """With the reset detached in the traces, compared to backpropagation with it."""
    weights, xs = problem(*widths, steps=60)
    xs = counts(xs)
    want = bptt(*net(plain, subtract, weights), xs)
    got = online(*net(eprop, detach(subtract), weights), xs)
    assert least < cosine(got, want) < 1 - 1e-6


def test_lif_without_a_reset_in_its_traces_is_ottt():
    weights, xs = problem(6, 5, 4)
    got = online(*net(eprop, detach(subtract), weights), xs)
    want = online(*net(ottt, subtract, weights), xs)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def alif_problem():
    (weight,), (spikes, targets) = problem(6, 4, batch=1, dtype=np.float64)
    return weight, spikes, targets


def alif_gradients(weight, spikes, targets, reset):
    """By backpropagation and by e-prop, and the spikes."""
    cell = ALIF(*(jnp.zeros((1, 4), weight.dtype) for _ in range(2)))
    neuron = partial(alif_step, reset=reset)

    def step(layer, weight, state, x):
        state, z = layer(neuron, weight, state, x[0])
        return state, jnp.sum(x[1] * z)

    xs = spikes, targets
    traced = eprop_init(cell, (1, 4), 6, weight.dtype)
    run = partial(eprop_step, neuron, EPropParams(weight))
    return (
        bptt(partial(step, plain), weight, cell, xs),
        online(partial(step, eprop), weight, traced, xs),
        unroll(run, traced, spikes)[1],
    )


@pytest.mark.parametrize("reset", [False, True])
def test_adaptive_thresholds_equal_the_published_equations(reset):
    """E = psi (eps_v - beta eps_a), eps_a' = psi eps_v + (rho - psi beta) eps_a."""
    with jax.enable_x64(True):
        weight, spikes, targets = alif_problem()
        _, got, z = alif_gradients(weight, spikes, targets, reset)
        x = np.asarray(spikes[:, 0])
        want_z, psi = alif_loop(x, np.asarray(weight), DECAY, RHO, THETA, BETA, reset)
        np.testing.assert_array_equal(z[:, 0], want_z)
        want = alif_eprop_loop(x, psi, np.asarray(targets[:, 0]), DECAY, RHO, BETA)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_adaptive_thresholds_without_reset_are_exact():
    with jax.enable_x64(True):
        want, got, z = alif_gradients(*alif_problem(), reset=False)
        assert 0.1 < float(z.mean()) < 0.9
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13)


def recurrent_params(seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"in": (5, 4), "back": (4, 4), "out": (4, 2)}
    return {k: jnp.asarray(rng.normal(size=s), jnp.float64) for k, s in shapes.items()}


@pytest.mark.parametrize("kappa", [0.0, 0.9])
def test_a_recurrent_layer_with_a_leaky_readout(kappa):
    """Of backpropagation only the path through the recurrent spikes is missing."""
    with jax.enable_x64(True):
        params = recurrent_params()
        _, (spikes, targets) = problem(5, 2, dtype=np.float64)
        neuron = lif(subtract)

        def exact(params, state, x):
            cell, last, y = state
            back = jax.lax.stop_gradient(last) @ params["back"]
            cell, z = neuron(cell, x[0] @ params["in"] + back)
            y = kappa * y + z @ params["out"]
            return (cell, z, y), 0.5 * jnp.sum((y - x[1]) ** 2)

        def traced(params, state, x):
            layer = EPropParams(params["in"], params["back"], kappa)
            state, _ = eprop_step(neuron, layer, state, x[0])
            return state, 0.5 * jnp.sum((state.filtered @ params["out"] - x[1]) ** 2)

        cell = lif_init((3, 4), jnp.float64)
        state = eprop_init(cell, (3, 4), 5, jnp.float64, recurrent=True)
        rest = cell, jnp.zeros((3, 4), jnp.float64), jnp.zeros((3, 2), jnp.float64)
        want = bptt(exact, params, rest, (spikes, targets))
        got = online(traced, params, state, (spikes, targets))
        for name in params:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-9, atol=1e-11)


def test_an_ordinary_unroll_gives_the_same_gradient():
    """The step itself stops what e-prop leaves out."""
    weights, xs = problem(6, 5, 4)
    args = (*net(eprop, subtract, weights), xs)
    for a, b in zip(bptt(*args), online(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_population_that_is_not_elementwise_is_refused():
    with pytest.raises(ValueError, match="independent, elementwise neurons"):
        eprop_init((jnp.zeros((2, 3)), jnp.zeros(())), (2, 3), 4)
    with pytest.raises(TypeError, match="floating"):
        eprop_init(jnp.zeros((2, 3), jnp.int32), (2, 3), 4)


def test_recurrent_weights_need_their_traces():
    state = eprop_init(lif_init((3,)), (3,), 2)
    params = EPropParams(jnp.ones((2, 3)), jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="recurrent=True or False"):
        eprop_step(lif(none), params, state, jnp.ones(2))
    with pytest.raises(ValueError, match="`spikes` has shape"):
        eprop_step(lif(none), EPropParams(jnp.ones((2, 3))), state, jnp.ones(3))


def test_a_counter_without_derivative_is_accepted():
    """While a refractory neuron never fires, it is the neuron inside."""
    lif = partial(lif_step, LIFParams(0.5, 10.0))
    resting = partial(refractory_step, lif, period=2)
    weight, x = jnp.ones((2, 3)), jnp.array([1.0, 0.5])

    def loss(weight, neuron, start):
        state = eprop_init(start, (3,), 2)
        for _ in range(2):
            state, z = eprop_step(neuron, EPropParams(weight), state, x)
        return (z * jnp.arange(3.0)).sum(), state

    found = [
        jax.grad(loss, has_aux=True)(weight, neuron, start)
        for neuron, start in (
            (lif, lif_init((3,))),
            (resting, refractory_init(lif_init, (3,))),
        )
    ]
    (plain, want), (slope, state) = found
    np.testing.assert_allclose(slope, plain, rtol=1e-6)
    np.testing.assert_allclose(state.eligibility[0].neuron.v, want.eligibility[0].v, rtol=1e-6)
    assert state.neuron.wait.dtype == jnp.int32
