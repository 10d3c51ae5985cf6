"""Drawn spikes have the rate, the gradient and the key they should; noise stays in the gradient."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.surrogates import (
    bernoulli,
    circular,
    erf,
    soft,
    stochastic_spike_operator,
    straight_through,
)
from tests.reference.surrogates import CLOSED, sigma

pytestmark = pytest.mark.usefixtures("strict_promotion")
KEY = jax.random.key(3)


@pytest.mark.parametrize("base", [erf, circular, straight_through])
def test_rate_is_the_primitive_of_the_base(base):
    levels = jnp.array([-0.6, 0.1, 0.3, 0.95])
    x = jnp.broadcast_to(levels[:, None], (4, 40_000))
    spikes = bernoulli(x, key=KEY, base=base)
    assert set(np.unique(spikes)) <= {0.0, 1.0}
    want = np.clip(soft(base)(levels), 0, 1)
    np.testing.assert_allclose(spikes.mean(1), want, atol=0.01)  # four deviations
    # each entry is drawn for itself
    assert abs(np.corrcoef(spikes[1], spikes[2])[0, 1]) < 0.03


def test_gradient_is_that_of_the_expected_spike():
    x = jnp.linspace(-2.0, 2.0, 41)
    fire = functools.partial(bernoulli, key=KEY, slope=3.0)
    g = jax.grad(lambda v: fire(v).sum())(x)
    np.testing.assert_allclose(g, CLOSED["sigmoid"].g(np.asarray(x), 3.0), rtol=1e-4)
    scaled = jax.grad(lambda v: fire(v, gain=0.5).sum())(x)
    np.testing.assert_allclose(scaled, 0.5 * g, rtol=1e-6)
    np.testing.assert_array_equal(fire(x), fire(x, gain=0.5))
    # in the slope too, unlike a step: d sigma(a x) / da = x sigma (1 - sigma)
    slope = jax.grad(lambda a: bernoulli(x, key=KEY, slope=a).sum())(3.0)
    p = sigma(3.0 * np.asarray(x))
    assert float(slope) == pytest.approx(float((x * p * (1 - p)).sum()), abs=1e-4)
    assert float(jax.grad(lambda c: bernoulli(x, key=KEY, gain=c).sum())(1.0)) == 0.0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("drawn", [bernoulli, stochastic_spike_operator])
def test_transformations_agree_and_keep_the_dtype(drawn, dtype):
    x = jnp.concatenate([jnp.linspace(-1.0, 1.0, 30), jnp.array([-1e4, 1e4])]).astype(dtype)
    spike = functools.partial(drawn, key=KEY)
    value, tangent = jax.jvp(spike, (x,), (jnp.ones_like(x),))
    assert value.dtype == tangent.dtype == dtype
    assert jnp.isfinite(tangent).all()
    np.testing.assert_array_equal(value, spike(x))
    np.testing.assert_array_equal(value, jax.jit(spike)(x))
    (backward,) = jax.vjp(spike, x)[1](jnp.ones_like(x))
    np.testing.assert_allclose(backward.astype(jnp.float32), tangent.astype(jnp.float32), rtol=1e-2)


def test_one_key_is_one_draw_and_mapped_keys_are_many():
    x = jnp.full((64,), 0.05)
    np.testing.assert_array_equal(bernoulli(x, key=KEY), bernoulli(x, key=KEY))
    keys = jax.random.split(KEY, 2)
    first, second = jax.vmap(lambda key: bernoulli(x, key=key))(keys)
    assert (first != second).any()
    np.testing.assert_array_equal(first, bernoulli(x, key=keys[0]))


def test_soft_form_is_the_probability_and_noise_has_none():
    x = jnp.array([-0.5, 0.2])
    np.testing.assert_allclose(soft(bernoulli)(x, key=KEY), sigma(4.0 * np.asarray(x)), rtol=1e-5)
    partial = functools.partial(bernoulli, base=straight_through)
    np.testing.assert_array_equal(soft(partial)(x), x)
    with pytest.raises(ValueError, match="stochastic_spike_operator has no primitive"):
        soft(stochastic_spike_operator)


def test_impossible_and_certain_probabilities():
    x = jnp.array([-0.5, 0.0, 1.0, 7.0])
    for key in jax.random.split(KEY, 20):
        assert bernoulli(x, key=key, base=straight_through).tolist() == [0, 0, 1, 1]
    lost = jnp.array([jnp.nan, 0.5])
    assert jnp.isnan(bernoulli(lost, key=KEY)).tolist() == [True, False]
    assert jnp.isnan(stochastic_spike_operator(lost, key=KEY)).tolist() == [True, False]


def test_a_neuron_fires_at_random_with_a_key_a_step():
    params = LIFParams(jnp.array(0.9), jnp.array(1.0))

    def step(state, inputs):
        x, key = inputs
        return lif_step(params, state, x, spike=functools.partial(bernoulli, key=key))

    @jax.jit
    @jax.value_and_grad
    def run(scale, key):
        xs = scale * jnp.ones((50, 100)), jax.random.split(key, 50)
        return jax.lax.scan(step, lif_init((100,)), xs)[1].mean()

    rate, slope = run(0.3, KEY)
    other, _ = run(0.3, jax.random.key(4))
    assert 0.1 < float(rate) < 0.6
    assert float(rate) != float(other)
    assert float(rate) == pytest.approx(float(other), abs=0.05)
    assert float(slope) > 0
