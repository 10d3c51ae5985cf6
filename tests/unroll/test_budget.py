"""What to recompute for a budget: measured on the compiled programs, and chosen in order."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from snnjax.neurons import LIFParams, lif_init, lif_step
from snnjax.unroll import budget, checkpoint_for, scratch_bytes, segment_lengths, unroll

T, B, N = 256, 4, 32
WEIGHTS = tuple(jax.ShapeDtypeStruct((N, N), jnp.float32) for _ in range(2))
X = jax.ShapeDtypeStruct((T, B, N), jnp.float32)
SHORT = (True, 64, 16, 4)


def gradient(weights, x, *, checkpoint):
    """The gradient of a loss with both layers of the model in one step."""
    cell = partial(lif_step, LIFParams(0.9, 1.0))

    def step(weights, states, frame):
        first, z = cell(states[0], frame @ weights[0])
        second, z = cell(states[1], z @ weights[1])
        return (first, second), z

    def loss(weights):
        start = tuple(lif_init((B, N)) for _ in weights)
        _, z = unroll(partial(step, weights), start, x, checkpoint=checkpoint)
        return (z.sum(0) ** 2).mean()

    return jax.grad(loss)(weights)


@pytest.fixture(scope="module")
def needs():
    """Scratch bytes of each setting, each compiled once."""
    return {c: scratch_bytes(partial(gradient, checkpoint=c), WEIGHTS, X) for c in (False, *SHORT)}


@pytest.fixture
def known(needs, monkeypatch):
    """The search over what is measured already."""

    def look_up(function, *args):
        return needs[function.keywords["checkpoint"]]

    monkeypatch.setattr(budget, "scratch_bytes", look_up)


def test_segments_need_less_than_all_states_and_those_less_than_everything(needs):
    assert needs[16] < needs[True] < needs[False]
    assert needs[16] < 0.6 * needs[True]
    bytes_of_states = 4 * 2 * B * N * T
    assert needs[False] > bytes_of_states


def test_a_real_search_fits(needs):
    """Arguments are shapes only; what comes back is what was measured."""
    allowed = needs[True] - 1
    chosen = checkpoint_for(gradient, WEIGHTS, X, steps=T, budget=allowed, candidates=(True, 16))
    assert chosen == 16
    assert needs[chosen] <= allowed


@pytest.mark.usefixtures("known")
def test_more_memory_never_chooses_a_later_candidate(needs):
    search = partial(checkpoint_for, gradient, WEIGHTS, X, steps=T)
    for candidates in (SHORT, (False, *SHORT)):
        places = []
        for allowed in sorted(needs.values()):
            chosen = search(budget=allowed, candidates=candidates)
            assert needs[chosen] <= allowed
            assert all(needs[c] > allowed for c in candidates[: candidates.index(chosen)])
            places.append(candidates.index(chosen))
        assert places == sorted(places, reverse=True)
        assert places[-1] == 0
    least = min(needs, key=lambda c: needs[c])
    text = rf"no setting .* fits 10 bytes; the lowest is {needs[least]:,} with checkpoint={least}"
    with pytest.raises(ValueError, match=text):
        search(budget=10, candidates=SHORT)


def test_lengths_and_bad_arguments():
    assert segment_lengths(4096) == (256, 128, 64, 32, 16, 8)
    assert segment_lengths(1) == ()
    for steps in (2, 5, 37, 1000):
        assert all(1 <= n < steps for n in segment_lengths(steps))
    with pytest.raises(ValueError, match="`steps` must be at least 1, `budget` at least 0"):
        checkpoint_for(gradient, WEIGHTS, X, steps=0, budget=10)
    with pytest.raises(ValueError, match="`candidates` is empty"):
        checkpoint_for(gradient, WEIGHTS, X, steps=T, budget=10, candidates=())


@pytest.mark.parametrize("steps", [0, -3])
def test_segments_need_a_step(steps):
    with pytest.raises(ValueError, match="`steps` must be at least 1"):
        segment_lengths(steps)
