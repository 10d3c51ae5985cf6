"""OTTT and SLTT against backpropagation through time."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import none, subtract
from snnjax.plasticity import (
    OTTTParams,
    convolution,
    dense,
    ottt_init,
    ottt_step,
    spatial,
    traced_product,
)
from snnjax.unroll import online_gradient, unroll
from tests.plasticity.layers import (
    bptt,
    cosine,
    counts,
    lif,
    network,
    ottt,
    plain,
    problem,
    start,
)

pytestmark = pytest.mark.usefixtures("strict_promotion")


def online(step, params, state, xs):
    return jax.jit(partial(online_gradient, step))(params, state, xs)[1]


def test_one_layer_without_reset_is_exact():
    """The trace is the derivative of the membrane, so nothing is missing."""
    with jax.enable_x64(True):
        weights, xs = problem(6, 4, dtype=np.float64)
        want = bptt(*_with(plain, none, weights), xs)
        got = online(*_with(ottt, none, weights), xs)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12, atol=1e-14)
        sltt = online(*_with(plain, none, weights), xs)
        assert cosine(sltt, want) < 0.999


def _with(layer, reset, weights, **options):
    step, state = network(layer, reset, weights, 3, weights[0].dtype, **options)
    return step, weights, state


@pytest.mark.parametrize(("widths", "least"), [((20, 10), 0.95), ((20, 20, 20, 10), 0.8)])
def test_with_a_soft_reset_the_direction_is_near(widths, least):
    """What is missing is what a spike does to later membranes, and in depth to later layers."""
    weights, xs = problem(*widths, steps=60)
    xs = counts(xs)
    want = bptt(*_with(plain, subtract, weights), xs)
    got = online(*_with(ottt, subtract, weights), xs)
    assert least < cosine(got, want) < 1 - 1e-6


def test_sltt_is_backpropagation_with_a_stopped_state():
    weights, xs = problem(6, 5, 4)
    step, _, state = _with(plain, subtract, weights)

    def stopped(params, state, x):
        return spatial(partial(step, params))(state, x)

    want = bptt(stopped, weights, state, xs)
    got = online(step, weights, state, xs)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert cosine(got, bptt(step, weights, state, xs)) < 0.999


def test_spatial_ottt_in_a_plain_unroll_is_online_ottt():
    weights, xs = problem(6, 5, 4)
    step, _, state = _with(ottt, subtract, weights)

    def stopped(params, state, x):
        return spatial(partial(step, params))(state, x)

    for a, b in zip(
        online(step, weights, state, xs), bptt(stopped, weights, state, xs), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_convolution_without_reset_is_exact():
    rng = np.random.default_rng(0)
    shape, outs = (2, 5, 5, 2), (2, 5, 5, 3)
    weight = jnp.asarray(rng.normal(size=(3, 3, 2, 3)), jnp.float32)
    spikes = jnp.asarray(rng.random((10, *shape)) < 0.3, jnp.float32)
    targets = jnp.asarray(rng.normal(size=(10, *outs)), jnp.float32)

    def step(layer, weight, state, x):
        state, z = layer(lif(none), weight, state, x[0], product=convolution())
        return state, jnp.sum(x[1] * z)

    want = bptt(partial(step, plain), weight, start(plain, shape, outs), (spikes, targets))
    got = online(partial(step, ottt), weight, start(ottt, shape, outs), (spikes, targets))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_recurrent_spikes_have_traces_too():
    """Without reset all that is missing is the path through the recurrent spikes."""
    weights, (spikes, targets) = problem(5, 4)
    params = {"in": weights[0], "back": 0.5 * jnp.asarray(np.random.default_rng(1).normal(
        size=(4, 4)), jnp.float32)}  # fmt: skip

    def step(layer, params, state, x):
        cell, last = state
        last = jax.lax.stop_gradient(last)
        weight = jnp.concatenate([params["in"], params["back"]])
        cell, z = layer(lif(none), weight, cell, jnp.concatenate([x[0], last], -1))
        return (cell, z), jnp.sum(x[1] * z)

    def at_rest(layer):
        return start(layer, (3, 9), (3, 4)), jnp.zeros((3, 4))

    xs = spikes, targets
    want = bptt(partial(step, plain), params, at_rest(plain), xs)
    got = online(partial(step, ottt), params, at_rest(ottt), xs)
    for name in params:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-3, atol=1e-4)


def test_forward_and_reverse_mode_agree():
    rng = np.random.default_rng(0)
    spikes, trace = (jnp.asarray(rng.normal(size=(2, 3)), jnp.float32) for _ in range(2))
    weight = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    product = partial(traced_product, dense)
    np.testing.assert_allclose(product(spikes, weight, trace), spikes @ weight)
    for n, shape in enumerate([(2, 4, 2, 3), (2, 4, 3, 4), (2, 4, 2, 3)]):
        forward = jax.jacfwd(product, n)(spikes, weight, trace)
        reverse = jax.jacrev(product, n)(spikes, weight, trace)
        assert forward.shape == shape
        np.testing.assert_allclose(forward, reverse, atol=1e-6)
        assert bool(forward.any()) == (n < 2)
    at_trace = jax.jacrev(jnp.matmul, 1)(trace, weight)
    np.testing.assert_allclose(jax.jacrev(product, 1)(spikes, weight, trace), at_trace, atol=1e-6)


def test_the_batch_under_vmap():
    params = OTTTParams(jnp.ones((3, 2)), jnp.array([0.5, 0.6, 0.7]))
    spikes = jnp.asarray(np.random.default_rng(0).random((6, 4, 3)) < 0.5, jnp.float32)

    def run(spikes):
        return unroll(partial(ottt_step, params), ottt_init(spikes.shape[1:]), spikes)

    state, current = run(spikes)
    each, currents = jax.vmap(run, in_axes=1)(spikes)
    np.testing.assert_allclose(each.trace, state.trace, atol=1e-6)
    np.testing.assert_allclose(currents, current.swapaxes(0, 1), atol=1e-6)


def test_narrow_spikes_keep_a_wide_trace():
    params = OTTTParams(jnp.ones((3, 2), jnp.bfloat16), 0.9)
    state, current = ottt_step(params, ottt_init((3,)), jnp.ones(3, jnp.bfloat16))
    assert (state.trace.dtype, current.dtype) == (jnp.float32, jnp.bfloat16)
    grad = jax.grad(
        lambda w: ottt_step(OTTTParams(w, 0.9), state, jnp.ones(3, jnp.bfloat16))[1].sum()
    )(params.weight)
    assert grad.dtype == jnp.bfloat16
    np.testing.assert_allclose(grad.astype(jnp.float32), 1.9, rtol=1e-2)


def test_spikes_of_another_shape():
    with pytest.raises(ValueError, match="`spikes` has shape"):
        ottt_step(OTTTParams(jnp.ones((3, 2)), 0.9), ottt_init((3,)), jnp.ones(2))
