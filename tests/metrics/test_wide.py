"""Wide sums against Python integers, which cannot wrap."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.metrics import wide_dot, wide_sum, wide_value
from snnjax.metrics.wide import word_bits

TOP = 2**31 - 1
# Ends and powers of two are where a carry or a mask goes wrong.
ENTRY = st.one_of(
    st.integers(0, TOP), st.sampled_from([0, 1, 2**15, 2**16 - 1, 2**16, 2**30, TOP - 1, TOP])
)
# Each number of entries is a compilation; these give words of 31, 30, 29, 27, 21 and 1 bits.
SIZES = st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 16), (5, 1024), (5, 2**30 - 1)])
quick = settings(max_examples=60, deadline=None)


@given(st.data())
@quick
def test_a_sum_is_that_of_python(data):
    size, n = data.draw(SIZES)
    x = data.draw(st.lists(ENTRY, min_size=size, max_size=size))
    words = jax.jit(lambda x: wide_sum(x, n=n))(jnp.array(x, jnp.int32))
    assert words.dtype == jnp.int32
    assert wide_value(words, n).tolist() == sum(x)


@given(st.data())
@quick
def test_a_sum_of_products_is_that_of_python(data):
    size, n = data.draw(SIZES)
    entries = st.lists(ENTRY, min_size=size, max_size=size)
    a, b = data.draw(entries), data.draw(entries)
    words = jax.jit(lambda a, b: wide_dot(a, b, n=n))(
        jnp.array(a, jnp.int32), jnp.array(b, jnp.int32)
    )
    assert words.dtype == jnp.int32
    assert wide_value(words, n).tolist() == sum(i * j for i, j in zip(a, b, strict=True))


@given(st.integers(0, 2**30 - 1))
def test_no_word_can_wrap(n):
    assert n * (2 ** word_bits(n) - 1) < 2**31
    assert word_bits(n) == 31 - (math.ceil(math.log2(n)) if n else 0)


@pytest.mark.parametrize("size", [1023, 1024, 1025])
def test_the_largest_entries_fill_the_words(size):
    full = jnp.full((size,), TOP, jnp.int32)
    assert wide_value(wide_sum(full), size).item() == size * TOP
    assert wide_value(wide_dot(full, full), size).item() == size * TOP**2


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)])
def test_axes_vmap_and_x64(axis):
    x = np.random.default_rng(0).integers(0, TOP, (3, 4, 5), np.int64)
    n = x.size if axis is None else math.prod(np.take(x.shape, axis, mode="wrap").ravel().tolist())
    expected = x.astype(object).sum(axis=axis)
    squares = (x.astype(object) ** 2).sum(axis=axis)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            words = wide_sum(x, axis)
            assert words.dtype == jnp.int32
            np.testing.assert_array_equal(wide_value(words, n), expected)
            np.testing.assert_array_equal(wide_value(wide_dot(x, x, axis), n), squares)
    rows = jax.vmap(wide_sum)(jnp.asarray(x, jnp.int32))
    np.testing.assert_array_equal(wide_value(rows, 20), x.sum(axis=(1, 2)))
    rows = jax.vmap(wide_dot, in_axes=(0, None))(
        jnp.asarray(x, jnp.int32), jnp.full((4, 5), 27, jnp.int32)
    )
    np.testing.assert_array_equal(wide_value(rows, 20), 27 * x.sum(axis=(1, 2)))


def test_products_broadcast():
    counts, degree = np.arange(24).reshape(2, 3, 4), np.array([[5], [6], [7]])
    expected = (counts * degree).sum(axis=(1, 2))
    assert wide_value(wide_dot(counts, degree, (1, 2)), 12).tolist() == expected.tolist()


def test_the_activity_that_wrapped():
    """One sample of 100,000 sites: int32 gave -1,530,167,296 and -1,494,967,296."""
    rows = jnp.full((100_000,), 256 * 4, jnp.int32)
    assert wide_value(wide_dot(rows, jnp.full_like(rows, 27)), 100_000).item() == 2_764_800_000
    assert wide_value(wide_sum(jnp.full((28,), 10**8, jnp.int32)), 28).item() == 2_800_000_000


def test_words_of_several_calls_add_up():
    x = np.random.default_rng(1).integers(0, TOP, (4, 100))
    words = sum(wide_sum(row, n=400) for row in x)
    assert wide_value(words, 400).item() == x.sum()


def test_values_are_int64_where_they_fit():
    assert wide_value(wide_sum([TOP, TOP]), 2).dtype == np.int64
    assert wide_value(wide_dot([TOP] * 3, [TOP] * 3), 3).dtype == object
    assert wide_value(wide_dot([TOP] * 3, [TOP] * 3), 3).tolist() == 3 * TOP**2


def test_sums_of_nothing():
    empty = jnp.zeros((0, 3), jnp.int32)
    assert wide_value(wide_sum(empty, 0), 0).tolist() == [0, 0, 0]
    assert wide_value(wide_sum(empty, 1), 3).shape == (0,)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.uint64])
def test_narrower_and_numpy_integers(dtype):
    assert wide_value(wide_sum(np.array([1, 0, 1], dtype)), 3).item() == 2


def test_invalid_input_is_refused():
    with pytest.raises(ValueError, match=r"x must be in 0\.\.2147483647; got values from -1 to 3"):
        wide_sum([3, -1])
    with pytest.raises(ValueError, match="to 2147483648"):
        wide_sum(np.array([2**31]))
    with pytest.raises(TypeError, match="b must be integers of at most 31 bits; got float32"):
        wide_dot([1], jnp.ones(1))
    with pytest.raises(TypeError, match="got uint32"):
        jax.jit(wide_sum)(jnp.ones(1, jnp.uint32))
    with pytest.raises(ValueError, match=r"n must be in 0\.\.2\^30 - 1"):
        wide_sum([1], n=2**30)
    with pytest.raises(ValueError, match="at least the 2 of this call; got 1"):
        wide_sum([1, 2], n=1)
    with pytest.raises(ValueError, match="distinct axes of an array with 1; got 1"):
        wide_sum([1], 1)
    with pytest.raises(ValueError, match="distinct axes"):
        wide_sum([[1]], (0, -2))
    with pytest.raises(ValueError, match="Pass the n that the words were made with"):
        wide_value(wide_sum([1] * 1000), 2**20)
    with pytest.raises(ValueError, match="give the complete n"):
        wide_value(np.array([-1], np.int32), 1)
