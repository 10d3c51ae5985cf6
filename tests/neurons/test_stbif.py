"""The ternary bipolar neuron settles at the quantised activation."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import STBIFParams, stbif_init, stbif_step
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")
LEVELS = [(0, 15), (0, 3), (-4, 3)]


def quantise(x, scale, low, high):
    """Halves up, in float64: clip(floor(x / scale + 1/2), low, high) * scale."""
    return np.clip(np.floor(np.asarray(x, np.float64) / scale + 0.5), low, high) * scale


def run(x, scale, low, high):
    """The input, then silence until all neurons have settled; also counts after every step."""

    def step(state, current):
        state, out = stbif_step(STBIFParams(scale), state, current, low=low, high=high)
        return state, (out, state.count)

    silence = jnp.zeros((40 + len(x) * 8, *x.shape[1:]))
    return jax.jit(partial(unroll, step))(stbif_init(x.shape[1:]), jnp.concatenate([x, silence]))


@pytest.mark.parametrize(("low", "high"), LEVELS)
def test_one_input_settles_at_its_quantised_value(low, high):
    """Binary fractions, so that nothing rounds: every level, and the ties between two of them."""
    x = jnp.arange(-40, 81, dtype=jnp.float32)[None] / 8
    state, (outs, _) = run(x, 0.25, low, high)
    np.testing.assert_array_equal(outs.sum(0), quantise(x[0], 0.25, low, high))
    np.testing.assert_array_equal(state.count.astype(jnp.float32) * 0.25, outs.sum(0))
    settled = np.arange(len(outs))[:, None] >= max(high, -low)
    assert not np.where(settled, outs, 0).any()


@pytest.mark.parametrize(("low", "high"), LEVELS)
def test_a_stream_settles_at_the_quantised_sum_within_the_bounds(low, high):
    """Whatever was emitted too early is taken back."""
    x = jnp.asarray(np.random.default_rng(0).integers(-12, 14, (10, 200)), jnp.float32) / 16
    _, (outs, counts) = run(x, 0.25, low, high)
    np.testing.assert_array_equal(outs.sum(0), quantise(x.sum(0), 0.25, low, high))
    assert (outs < 0).any()
    assert (counts.min(), counts.max()) == (low, high)
    assert set(np.unique(outs)) == {-0.25, 0, 0.25}


def test_bounds_must_enclose_the_start():
    for low, high in ((1, 4), (-4, -1)):
        with pytest.raises(ValueError, match="`low` and `high` must enclose 0"):
            stbif_step(STBIFParams(1.0), stbif_init(()), jnp.array(0.0), low=low, high=high)
