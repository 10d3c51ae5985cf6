"""Events of spikes, found by counting bits, against NumPy's nonzero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import event_list, pack_spikes, spike_times
from snnjax.sparse.events import BITS, GROUP, find_events, nth_events

pytestmark = pytest.mark.usefixtures("strict_promotion")


def spikes_of(shape, density, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) < density) * rng.integers(1, 5, shape).astype(np.float32)


@pytest.mark.parametrize("n", [1, 32, 33, 100, BITS * GROUP + 1, 3 * BITS * GROUP])
def test_the_kth_event_is_found_by_counting(n):
    k = jnp.arange(n + 3, dtype=jnp.int32)
    find = jax.jit(lambda z: nth_events(find_events(z), k))
    for density in (0.0, 0.1, 1.0):
        z = spikes_of((3, n), density)
        for row, places in zip(z, np.asarray(find(z)), strict=True):
            want = np.flatnonzero(row)
            np.testing.assert_array_equal(places[: len(want)], want)
            assert (places[len(want) :] >= n).all()


@pytest.mark.parametrize("shape", [(3, 13), (2, 4, 8), (5,)])
def test_the_list_names_what_is_not_zero(shape):
    for density in (0.0, 0.2, 1.0):
        z = spikes_of(shape, density)
        index, count = event_list(z)
        assert index.dtype == count.dtype == jnp.int32
        for row in np.ndindex(shape[:-1]):
            want = np.flatnonzero(z[row])
            assert count[row] == len(want)
            np.testing.assert_array_equal(index[row][: len(want)], want)
            assert (np.asarray(index[row][len(want) :]) == shape[-1]).all()


def test_a_list_that_is_too_short_says_so():
    z = jnp.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match=r"`capacity` is 2, .* \(2, 4\) has 3 events. Raise it"):
        event_list(z, 2)
    index, count = jax.jit(lambda z: event_list(z, 2))(z)  # traced: the count says it
    assert index.tolist() == [[0, 2], [3, 4]]
    assert count.tolist() == [3, 1]
    with pytest.raises(ValueError, match="`capacity` must be at least 1; got 0"):
        event_list(z, 0)


@pytest.mark.parametrize("n", [1, 31, 32, 70])
def test_bits_hold_a_raster(n):
    z = spikes_of((9, n), 0.3)
    words = pack_spikes(z)
    assert words.dtype == jnp.uint32
    assert words.shape == (9, -(-n // BITS))
    np.testing.assert_array_equal(spike_times(words), np.nonzero(z))
    with pytest.raises(ValueError, match=r"must be uint32 \[T, W\]; got float32 \(9,"):
        spike_times(z)
