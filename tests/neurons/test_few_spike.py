"""The few-spike neuron: binary digits, windows, and its tables."""

from __future__ import annotations

import math
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import FewSpikeParams, few_spike_init, few_spike_relu, few_spike_step
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")


def window(params, x, windows=1):
    """The weighted spikes for `x` in the first step of each window."""
    steps = len(params.d)
    drive = jnp.zeros((windows, steps, *x.shape)).at[:, 0].set(x)
    step = partial(few_spike_step, params)
    state, outs = unroll(step, few_spike_init(x.shape), drive.reshape(-1, *x.shape))
    assert float(state.t) == 0
    return outs.reshape(windows, steps, *x.shape)


@pytest.mark.parametrize(("steps", "maximum"), [(1, 1.0), (4, 8.0), (6, 1.0)])
def test_the_tables_of_a_relu_give_binary_digits(steps, maximum):
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1.5, 1000) * maximum, jnp.float32)
    step = maximum / 2**steps
    want = np.clip(np.floor(np.asarray(x) / step), 0, 2**steps - 1) * step
    np.testing.assert_array_equal(window(few_spike_relu(steps, maximum), x)[0].sum(0), want)


def test_a_spike_emits_and_subtracts_the_entries_of_its_step():
    params = FewSpikeParams(jnp.array([2.0, 0.5]), jnp.array([1.0, 4.0]), jnp.array([8.0, -3.0]))
    outs = window(params, jnp.array([2.0, 1.9, 0.4]))[0]
    assert outs.tolist() == [[8.0, 0.0, 0.0], [-3.0, -3.0, 0.0]]
    state, _ = few_spike_step(params, few_spike_init(()), jnp.array(2.0))
    assert (float(state.v), float(state.t)) == (1.0, 1.0)


def test_a_window_drops_what_the_last_one_left():
    outs = window(few_spike_relu(3, 1.0), jnp.array([0.3, 0.99, 7.0, -5.0]), windows=3)
    assert outs.any()
    np.testing.assert_array_equal(outs[1], outs[0])
    np.testing.assert_array_equal(outs[2], outs[0])


def test_wrong_tables():
    one, two = jnp.ones(1), jnp.ones(2)
    for params in (FewSpikeParams(one, one, two), FewSpikeParams(jnp.ones((1, 1)), one, one)):
        with pytest.raises(ValueError, match="three tables of the same shape"):
            few_spike_step(params, few_spike_init(()), jnp.array(0.0))
    for steps, maximum in ((0, 1.0), (3, 0.0), (3, math.nan), (3, math.inf)):
        with pytest.raises(ValueError, match="`steps` must be at least 1 and `maximum` above 0"):
            few_spike_relu(steps, maximum)
