"""Taps that repel each other: a loop, differences, ties, and descent that separates them."""

from __future__ import annotations

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.delays import clamp_delay
from snnjax.losses import tap_repulsion

SHAPES = {"delays": (3, 2, 4), "positions": (2, 3, 2, 4)}


def loop(place, distance):
    place = place.reshape(-1, *place.shape[-3:])
    pairs = [
        max(1 - np.linalg.norm(place[:, i, o, c] - place[:, i, o, e]) / distance, 0)
        for i, o in np.ndindex(place.shape[1:3])
        for c, e in combinations(range(place.shape[-1]), 2)
    ]
    return np.mean(pairs)


@pytest.mark.parametrize("kind", SHAPES)
def test_it_equals_the_loop_and_its_differences(kind):
    rng = np.random.default_rng(0)
    place, step = 3 * rng.random(SHAPES[kind]), rng.normal(size=SHAPES[kind])
    with jax.enable_x64(True):
        value, gradient = jax.jit(jax.value_and_grad(tap_repulsion), static_argnames="distance")(
            place, distance=1.5
        )
    np.testing.assert_allclose(value, loop(place, 1.5), rtol=1e-12)
    ends = [loop(place + e * step, 1.5) for e in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.vdot(gradient, step), (ends[0] - ends[1]) / 2e-6, rtol=1e-7)


def test_descent_separates_taps_that_share_a_step_even_at_the_clamp():
    start = np.full((1, 4, 2), 3.0, np.float32)
    start[0, 1:] = [[0, 0], [6, 6], [1, 5]]  # both ends, and a pair that is apart already

    @jax.jit
    def descend(delay):
        def one(_, delay):
            return clamp_delay(delay - 0.2 * jax.grad(tap_repulsion)(delay, distance=1.2), 6)

        return jax.lax.fori_loop(0, 60, one, delay)

    end = np.asarray(descend(jnp.asarray(start)))
    assert (np.abs(np.diff(np.round(end))) >= 1).all()
    assert (np.abs(np.diff(end)) > 1.1).all()
    np.testing.assert_array_equal(end[0, 3], [1, 5])
    assert tap_repulsion(jnp.zeros((1, 1, 2), jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("message", "place", "distance"),
    [
        (r"got \(2, 3, 1\)", np.ones((2, 3, 1)), 1.0),
        (r"got \(3,\)", np.ones(3), 1.0),
        (r"got \(0, 3, 2\)", np.ones((0, 3, 2)), 1.0),
        ("distance above 0; got 0", np.ones((1, 1, 2)), 0.0),
        ("distance above 0; got nan", np.ones((1, 1, 2)), np.nan),
        ("must be floating", np.ones((1, 1, 2), int), 1.0),
    ],
)
def test_places_without_pairs_are_refused(message, place, distance):
    with pytest.raises((ValueError, TypeError), match=message):
        tap_repulsion(place, distance=distance)
