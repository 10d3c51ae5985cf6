"""How the timings relate: what is equal, and what only looks so."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    LIFParams,
    before_leak,
    lif_init,
    lif_step,
    next_step,
    previous_step,
    same_step,
    subtract,
    zero,
)
from snnjax.unroll import unroll

pytestmark = pytest.mark.usefixtures("strict_promotion")

X = np.random.default_rng(2).normal(0.3, 0.6, (400, 8)).astype(np.float32)


@partial(jax.jit, static_argnames=("timing", "reset"))
def run(beta, x, timing, reset=subtract):
    step = partial(lif_step, LIFParams(beta, 1.0), reset=reset, timing=timing)
    _, (z, records) = unroll(step, lif_init(x.shape[1:]), x, record=("v",))
    return z, records["v"]


@pytest.mark.parametrize("beta", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("reset", [subtract, zero])
def test_firing_on_the_old_membrane_is_one_step_late(beta, reset):
    late, _ = run(beta, X, previous_step, reset)
    early, _ = run(beta, X, next_step, reset)
    assert not late[0].any()
    assert early.any()
    np.testing.assert_array_equal(late[1:], early[:-1])


@pytest.mark.parametrize("beta", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("reset", [subtract, zero])
def test_a_reset_before_the_leak_gives_the_spikes_of_a_reset_at_once(beta, reset):
    z, v = run(beta, X, before_leak, reset)
    want, after = run(beta, X, same_step, reset)
    np.testing.assert_array_equal(z, want)
    np.testing.assert_allclose(reset(v, z, jnp.float32(1.0)), after, atol=1e-6)


def test_a_reset_in_the_next_step_is_the_same_only_without_leak():
    # sums of quarters are exact, so that no membrane meets its threshold from another side
    x = np.round(4 * X) / 4
    np.testing.assert_array_equal(run(1.0, x, next_step)[0], run(1.0, x, same_step)[0])
    share = np.mean(np.asarray(run(0.8, X, next_step)[0] != run(0.8, X, same_step)[0]))
    assert 0.02 < share < 0.2


def test_the_zero_of_the_next_step_takes_the_input_too():
    x = jnp.array([1.5, 0.9, 0.0])
    _, v = run(0.5, x, next_step, zero)
    assert v.tolist() == [1.5, 0.0, 0.0]
    _, v = run(0.5, x, before_leak, zero)
    assert v.tolist() == pytest.approx([1.5, 0.9, 0.45])
