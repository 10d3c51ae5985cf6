"""Pair STDP against sums over all pairs of spikes, its window, and closed forms."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.plasticity import (
    STDPParams,
    both,
    convolution,
    depress,
    neither,
    potentiate,
    replace,
    stdp_init,
    stdp_params,
    stdp_step,
)
from tests.reference.plasticity import conv_stdp_loop, layer_stdp_loop

pytestmark = pytest.mark.usefixtures("strict_promotion")

PLUS, MINUS, TAU_PRE, TAU_POST = 0.03, 0.02, 15.0, 25.0
PARAMS = stdp_params(plus=PLUS, minus=MINUS, tau_pre=TAU_PRE, tau_post=TAU_POST)


def spikes(seed, *shape, rate=0.3):
    return jnp.asarray(np.random.default_rng(seed).random(shape) < rate, jnp.float32)


def changes(pre, post, params=PARAMS, **options):
    """dW at each step for spikes [T, ..., M] and [T, ..., N] at weights of 0.5."""
    weight = jnp.full((pre.shape[-1], post.shape[-1]), 0.5)

    @jax.jit
    def run(pre, post):
        def step(state, x):
            return stdp_step(params, state, *x, weight, **options)

        return jax.lax.scan(step, stdp_init(pre.shape[1:], post.shape[1:]), (pre, post))[1]

    return run(pre, post)


def pulses(length, *times):
    return jnp.zeros((length, 1)).at[jnp.array(times), 0].set(1.0)


@pytest.mark.parametrize("policy", [both, neither, potentiate, depress])
def test_equals_the_sum_over_all_pairs(policy):
    pre, post = spikes(0, 40, 3, 4), spikes(1, 40, 3, 2)
    want = layer_stdp_loop(
        np.asarray(pre), np.asarray(post), PLUS, MINUS, TAU_PRE, TAU_POST, policy.__name__
    )
    got = changes(pre, post, coincidence=policy)
    np.testing.assert_allclose(got, want.sum(1), atol=1e-5)


@pytest.mark.parametrize("policy", [both, neither, potentiate, depress])
def test_window(policy):
    """A pre spike at 0 and a post spike at dt: A+ exp(-dt/tau), and the mirror image."""
    for gap in (1, 2, 7, 30):
        first, later = pulses(40, 0), pulses(40, gap)
        raised = changes(first, later, coincidence=policy).sum()
        lowered = changes(later, first, coincidence=policy).sum()
        assert float(raised) == pytest.approx(PLUS * np.exp(-gap / TAU_PRE), rel=1e-5)
        assert float(lowered) == pytest.approx(-MINUS * np.exp(-gap / TAU_POST), rel=1e-5)


@pytest.mark.parametrize(
    ("policy", "want"),
    [(both, PLUS - MINUS), (neither, 0.0), (potentiate, PLUS), (depress, -MINUS)],
)
def test_a_coincidence_counts_as_its_policy_says(policy, want):
    got = changes(pulses(3, 1), pulses(3, 1), coincidence=policy).sum()
    assert float(got) == pytest.approx(want, abs=1e-7)


def test_periodic_pairing_has_a_closed_form():
    """Pre at 0, P, 2P, ... and post g later: traces are geometric series once they settle."""
    period, gap = 25, 5
    at = np.arange(0, 1000, period)
    change = changes(pulses(1000, *at), pulses(1000, *(at + gap)))[:, 0, 0]
    raised = PLUS * np.exp(-gap / TAU_PRE) / (1 - np.exp(-period / TAU_PRE))
    lowered = MINUS * np.exp(-(period - gap) / TAU_POST) / (1 - np.exp(-period / TAU_POST))
    assert float(change[-period:].sum()) == pytest.approx(raised - lowered, rel=1e-4)


def test_nearest_spikes_only():
    """With `replace` a burst of pre spikes counts as its last one."""
    post = pulses(10, 6)
    alone = changes(pulses(10, 4), post, trace=replace)
    burst = changes(pulses(10, 2, 3, 4), post, trace=replace)
    np.testing.assert_allclose(burst, alone, rtol=1e-6)
    every = changes(pulses(10, 2, 3, 4), post).sum()
    assert float(every) > 2.5 * float(alone.sum())


def test_no_change_while_one_side_is_silent():
    active, silent = spikes(2, 30, 2, 3), jnp.zeros((30, 2, 3))
    assert not changes(active, silent).any()
    assert not changes(silent, active).any()
    assert changes(active, active).any()


def test_the_batch_is_a_sum_of_samples():
    pre, post = spikes(3, 20, 5, 3), spikes(4, 20, 5, 2)
    each = jax.vmap(changes, in_axes=1)(pre, post)
    assert each.shape == (5, 20, 3, 2)
    np.testing.assert_allclose(changes(pre, post), each.sum(0), atol=1e-6)


def test_rates_and_decays_of_each_neuron():
    pre, post = spikes(5, 20, 3), spikes(6, 20, 2)
    decay, plus = jnp.array([0.5, 0.7, 0.9]), jnp.array([0.1, 0.4])
    together = changes(pre, post, STDPParams(plus, 0.2, decay, 0.8))
    for m in range(3):
        for n in range(2):
            params = STDPParams(plus[n], 0.2, decay[m], 0.8)
            alone = changes(pre[:, m : m + 1], post[:, n : n + 1], params)
            np.testing.assert_allclose(together[:, m, n], alone[:, 0, 0], atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 2, 3), (1, 3, 1, 2)])
def test_convolution_sums_over_positions(shape):
    *_, ins, outs = shape
    pre, post = spikes(7, 2, 5, 4, ins), spikes(8, 2, 5, 4, outs)
    rng = np.random.default_rng(9)
    x, y = (jnp.asarray(rng.random(s.shape), jnp.float32) for s in (pre, post))
    params = STDPParams(1.0, 2.0, 0.5, 0.25)
    state = stdp_init(pre.shape, post.shape)._replace(pre=x, post=y)
    _, got = stdp_step(
        params, state, pre, post, jnp.zeros(shape), product=convolution(), coincidence=neither
    )
    want = conv_stdp_loop(0.5 * np.asarray(x), np.asarray(post), shape)
    want -= 2.0 * conv_stdp_loop(np.asarray(pre), 0.25 * np.asarray(y), shape)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_pointwise_convolution_is_a_dense_layer():
    pre, post = spikes(10, 2, 3, 3, 4), spikes(11, 2, 3, 3, 2)
    state = stdp_init(pre.shape, post.shape)
    _, conv = stdp_step(
        PARAMS, state, pre, post, jnp.zeros((1, 1, 4, 2)), product=convolution((1, 1), "VALID")
    )
    _, dense = stdp_step(PARAMS, state, pre, post, jnp.zeros((4, 2)))
    np.testing.assert_allclose(conv[0, 0], dense, atol=1e-6)


def test_a_narrow_weight_keeps_its_dtype_and_traces_stay_wide():
    weight, one = jnp.zeros((1, 1), jnp.bfloat16), jnp.ones((1,), jnp.bfloat16)
    state, change = stdp_step(PARAMS, stdp_init((1,), (1,)), one, one, weight)
    assert change.dtype == jnp.bfloat16
    assert state.pre.dtype == state.post.dtype == jnp.float32


def test_errors_say_what_to_do():
    state, weight = stdp_init((3,), (2,)), jnp.zeros((3, 2))
    step = partial(stdp_step, PARAMS, state)
    with pytest.raises(TypeError, match="`pre` must be floating point"):
        step(jnp.ones(3, jnp.int32), jnp.ones(2), weight)
    with pytest.raises(ValueError, match="`post` has shape"):
        step(jnp.ones(3), jnp.ones(3), weight)
    with pytest.raises((ValueError, TypeError)):
        step(jnp.ones(3), jnp.ones(2), weight.T)
