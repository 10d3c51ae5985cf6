"""LIF with branches: against a loop over batches, as a plain LIF, and its masks."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import DHLIFParams, DHLIFState, branch_masks, dhlif_init, dhlif_step, zero
from snnjax.unroll import unroll
from tests.reference.compartment import dhlif_loop

pytestmark = pytest.mark.usefixtures("strict_promotion")


def test_a_batch_equals_the_loop():
    """[T, B, N, D], with decays of [N, D] and [N] that are the same for all neurons."""
    x = np.random.default_rng(0).normal(0.6, 2.0, (30, 2, 3, 4)).astype(np.float32)
    branch_decay = [0.2, 0.5, 0.8, 0.95]
    params = DHLIFParams(jnp.tile(jnp.array(branch_decay), (3, 1)), jnp.full(3, 0.7), 0.5)
    state, z = unroll(
        partial(dhlif_step, params, scale_input=True), dhlif_init((2, 3, 4)), jnp.asarray(x)
    )
    assert z.shape == (30, 2, 3)
    for b in range(2):
        want, fields, margin = dhlif_loop(x[:, b], branch_decay, 0.7, 0.5)
        assert np.abs(margin).min() > 1e-5
        assert 0.05 < want.mean() < 0.7
        np.testing.assert_array_equal(z[:, b], want)
        for got, name in zip(state, state._fields, strict=True):
            np.testing.assert_allclose(got[b], fields[name][-1], rtol=1e-4, atol=1e-5)


def test_one_instant_branch_is_a_neuron_that_resets_in_the_next_step():
    """u = a u + (1 - a) x - threshold z, the soft reset not decayed; `zero` drops a u."""
    x = np.abs(np.random.default_rng(1).normal(0.5, 0.7, 60)).astype(np.float32)
    for named, keep in (({}, False), ({"reset": zero}, True)):
        step = partial(dhlif_step, DHLIFParams(0.0, 0.5, 0.5), scale_input=True, **named)
        _, spikes = unroll(step, dhlif_init((1, 1)), jnp.asarray(x)[:, None, None])
        u = z = 0.0
        want = []
        for value in x:
            u = (0.5 * u * (1 - z) if keep else 0.5 * u - 0.5 * z) + 0.5 * float(value)
            z = float(u >= 0.5)
            want.append(z)
        assert 0 < sum(want) < 60
        assert spikes[:, 0].tolist() == want


def test_the_branches_remember_for_their_own_time():
    params, state = DHLIFParams(jnp.array([0.5, 0.9]), 0.5, 10.0), dhlif_init((1, 2))
    state, _ = dhlif_step(params, state, jnp.array([[1.0, 1.0]]), scale_input=True)
    first = state.i
    for _ in range(3):
        state, _ = dhlif_step(params, state, jnp.zeros((1, 2)))
    np.testing.assert_allclose(state.i / first, [[0.5**3, 0.9**3]], rtol=1e-5)


def test_a_random_start_is_a_state_like_any_other():
    start = DHLIFState(jnp.zeros((1, 2)), jnp.array([0.8]), jnp.array([1.0]))
    state, _ = dhlif_step(DHLIFParams(0.5, 0.5, 0.5), start, jnp.zeros((1, 2)))
    np.testing.assert_allclose(state.u, [0.5 * 0.8 - 0.5])


@pytest.mark.parametrize(("inputs", "branches"), [(8, 4), (10, 4), (7, 1), (5, 5)])
def test_masks_deal_every_input_to_one_branch(inputs, branches):
    mask = branch_masks(inputs, 3, branches, key=jax.random.key(0))
    assert (mask.shape, mask.dtype) == ((inputs, 3, branches), jnp.bool)
    assert (mask.sum(2) == 1).all()
    sizes = mask.sum(0)
    assert set(np.unique(sizes)) <= {inputs // branches, -(-inputs // branches)}


def test_masks_differ_by_neuron_and_by_key():
    mask = branch_masks(32, 2, 4, key=jax.random.key(0))
    assert (mask[:, 0] != mask[:, 1]).any()
    assert (mask != branch_masks(32, 2, 4, key=jax.random.key(1))).any()
    np.testing.assert_array_equal(mask, branch_masks(32, 2, 4, key=jax.random.key(0)))


def test_wrong_shapes():
    for branches in (0, 5):
        with pytest.raises(ValueError, match="`branches` must be 1 to the number of inputs"):
            branch_masks(4, 2, branches, key=jax.random.key(0))
    with pytest.raises(ValueError, match="must be that of one step of branch currents"):
        dhlif_init(())
