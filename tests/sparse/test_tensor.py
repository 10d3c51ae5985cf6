"""The fixed-capacity tensor: row order, zeroed padding, counted overflow, int32 keys."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.sparse import check_extent, linear_key, sparse_conv, sparse_tensor, submanifold_map
from snnjax.sparse.tensor import INT32_MAX, key_coords, valid_rows
from tests.reference.sparse import random_coords, to_samples

EXTENT, COUNTS, ROWS, CHANNELS = (3, 4, 5), (9, 1, 0), 12, 2

build = jax.jit(sparse_tensor, static_argnames=("extent", "stride"))
merge = jax.jit(sparse_tensor, static_argnames=("extent", "duplicates"))


def arrays(seed=0, extent=EXTENT):
    coords = random_coords(seed, extent, COUNTS, ROWS)
    feats = np.random.default_rng(seed).normal(size=(len(COUNTS), ROWS, CHANNELS))
    return feats.astype(np.float32), coords, np.array(COUNTS, np.int32)


def test_rows_are_in_key_order_and_padding_is_zero():
    feats, coords, n = arrays()
    x = build(feats, coords, n, extent=EXTENT)
    assert x.capacity == ROWS
    assert x.n.tolist() == list(COUNTS)
    assert x.overflow.tolist() == [0, 0, 0]
    assert (x.coords.dtype, x.n.dtype, x.overflow.dtype) == (jnp.int32,) * 3
    for given_sample, sample in zip(
        to_samples(feats, coords, n), to_samples(x.feats, x.coords, x.n), strict=True
    ):
        assert list(sample) == sorted(given_sample)
        for site, value in sample.items():
            assert np.array_equal(value, given_sample[site])
    padding = ~np.asarray(x.valid)
    assert padding.sum() == len(COUNTS) * ROWS - sum(COUNTS)
    assert not np.asarray(x.coords)[padding].any()
    assert not np.asarray(x.feats)[padding].any()


def test_garbage_in_padding_rows_is_removed():
    feats, coords, n = arrays()
    beyond = np.arange(ROWS) >= n[:, None]
    dirty = np.where(beyond[..., None], np.nan, feats).astype(np.float32)
    x = build(feats, coords, n, extent=EXTENT)
    y = build(dirty, np.where(beyond[..., None], 10**6, coords), n, extent=EXTENT)
    chex.assert_trees_all_equal(x, y)


def test_sites_outside_the_extent_are_dropped_and_counted():
    feats, coords, n = arrays()
    coords[0, 0] = (-1, 0, 0)
    coords[0, 1] = (0, 4, 0)
    coords[0, 2] = (0, 0, 2**31 - 1)
    x = build(feats, coords, n, extent=EXTENT)
    assert x.n.tolist() == [COUNTS[0] - 3, 1, 0]
    assert x.overflow.tolist() == [3, 0, 0]
    want = to_samples(feats[:1, 3:], coords[:1, 3:], n[:1] - 3)[0]
    assert set(to_samples(x.feats, x.coords, x.n)[0]) == set(want)


def test_more_sites_than_rows_are_counted():
    feats, _, _ = arrays()
    coords = random_coords(0, (30, 40, 50), (ROWS, 1, 0), ROWS)
    x = build(feats, coords, np.array([ROWS + 5, 1, 0], np.int32), extent=(30, 40, 50))
    assert x.overflow.tolist() == [5, 0, 0]
    assert x.n.tolist() == [ROWS, 1, 0]


def test_time_leads_the_batch():
    feats, coords, n = arrays()
    steps = np.stack([feats, 2 * feats, -feats])
    x = build(steps, coords, n, extent=EXTENT)
    for step, feats_t in zip(x.feats, steps, strict=True):
        one = build(feats_t, coords, n, extent=EXTENT)
        assert np.array_equal(step, one.feats)
        assert np.array_equal(x.coords, one.coords)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_dense_grid_holds_each_site_where_it_is(steps):
    feats, coords, n = arrays()
    feats = np.stack([feats, 3 * feats]) if steps else feats
    x = build(feats, coords, n, extent=EXTENT)
    want = np.zeros((*feats.shape[:-2], *EXTENT, CHANNELS))
    for b, count in enumerate(COUNTS):
        for i in range(count):
            want[(..., b, *coords[b, i], slice(None))] = feats[..., b, i, :]
    assert np.array_equal(x.dense(), want)


def test_a_tensor_is_a_pytree_and_can_be_replaced():
    x = build(*arrays(), extent=EXTENT, stride=2)
    assert (x.extent, x.stride) == (EXTENT, (2, 2, 2))
    doubled = jax.tree.map(lambda leaf: leaf * 2, x)
    assert (doubled.extent, doubled.stride) == (EXTENT, (2, 2, 2))
    y = x.replace(feats=x.feats[..., :1])
    assert y.feats.shape == (3, ROWS, 1)
    assert y.coords is x.coords
    with pytest.raises(AttributeError):
        x.stride = (3, 3, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**20), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 2))
def test_keys_number_the_cells_of_the_padded_grid(seed, extent, radius):
    site = np.array([np.random.default_rng(seed).integers(e) for e in extent], np.int32)
    key = int(linear_key(site, extent, radius))
    padded = tuple(e + 2 * radius for e in extent)
    assert key == np.ravel_multi_index(tuple(site + radius), padded)
    if radius == 0:
        assert key_coords(jnp.int32(key), extent).tolist() == site.tolist()


def test_a_grid_with_too_many_cells_for_int32_keys_is_refused():
    assert check_extent((1, 1, INT32_MAX - 1)) == (1, 1, INT32_MAX - 1)
    assert check_extent((41, 1600, 1408)) == (41, 1600, 1408)
    with pytest.raises(ValueError, match="int32"):
        check_extent((1, 1, INT32_MAX))
    with pytest.raises(ValueError, match="padded by 1"):
        check_extent((1, 1, INT32_MAX - 1), 1)
    with pytest.raises(ValueError, match="larger voxels"):
        sparse_tensor(*arrays(), extent=(2048, 2048, 512))
    last = jnp.array([1023, 1023, 2046], jnp.int32)
    assert int(linear_key(last, (1024, 1024, 2047))) == 1024 * 1024 * 2047 - 1


@pytest.mark.parametrize("extent", [(4, 4), (4, 4, 4, 4), (4, 0, 4), (4, -1, 4), (4, 2.5, 4)])
def test_an_extent_is_three_positive_integers(extent):
    with pytest.raises(ValueError, match="three positive integers"):
        check_extent(extent)


def test_wrong_shapes_and_dtypes_are_refused():
    feats, coords, n = arrays()
    with pytest.raises(TypeError, match="integers; got float32"):
        sparse_tensor(feats, jnp.asarray(coords, jnp.float32), n, extent=EXTENT)
    with pytest.raises(ValueError, match=r"\[B, N, 3\]"):
        sparse_tensor(feats, jnp.asarray(coords[..., :2]), n, extent=EXTENT)
    with pytest.raises(ValueError, match=r"\[B, N, C\]"):
        sparse_tensor(feats[:, 1:], coords, n, extent=EXTENT)
    with pytest.raises(ValueError, match=r"\[T, B, N, C\]"):
        sparse_tensor(feats[None, None], coords, n, extent=EXTENT)


def test_valid_rows_are_the_first_ones():
    mask = valid_rows(jnp.array([0, 2, 3]), 3)
    assert mask.astype(int).tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]


# --- the same site twice ---


REPEATED = np.array(
    [
        [(1, 1, 1), (0, 0, 2), (1, 1, 1), (9, 9, 9), (1, 1, 1)],
        [(2, 3, 4), (0, 0, 0), (0, 0, 0)] + [(0, 0, 0)] * 2,
    ],
    np.int32,
)
VALUES = np.array([[1.0, 10.0, 2.0, 99.0, 6.0], [7.0, 4.0, -4.0, 0.0, 0.0]], np.float32)[..., None]
REPEATED_N = np.array([5, 3], np.int32)
MERGED = {"sum": [[10, 9], [0, 7]], "mean": [[10, 3], [0, 7]], "max": [[10, 6], [4, 7]]}


def test_a_site_given_twice_is_refused():
    with pytest.raises(
        ValueError, match=r"rows 0 and 2 of sample 0 are both at site \(1, 1, 1\).*duplicates='sum'"
    ):
        sparse_tensor(VALUES, REPEATED, REPEATED_N, extent=EXTENT)
    one = np.array([2, 2], np.int32)  # what repeats beyond n, or outside the grid, is not a site
    assert sparse_tensor(VALUES, REPEATED, one, extent=EXTENT).n.tolist() == [2, 2]
    outside = sparse_tensor(VALUES, REPEATED + 100, REPEATED_N, extent=EXTENT)
    assert outside.overflow.tolist() == [5, 3]


def test_a_site_given_twice_under_jit_keeps_its_first_row_and_counts_the_others():
    x = build(VALUES, REPEATED, REPEATED_N, extent=EXTENT)
    assert x.n.tolist() == [2, 2]
    assert x.overflow.tolist() == [3, 1]  # two repeats and one row outside; one repeat
    assert x.feats[:, :2, 0].tolist() == [[10, 1], [4, 7]]
    ones = x.replace(feats=x.valid[..., None].astype(jnp.float32))
    kmap = submanifold_map(ones, 3, arithmetic="table")
    # each site sees itself and, in sample 0, the other
    y = sparse_conv(ones, jnp.ones((27, 1, 1)), kmap)
    assert y.feats[:, :2, 0].tolist() == [[2, 2], [1, 1]]
    assert not y.feats[:, 2:].any()


@pytest.mark.parametrize("rule", ["sum", "mean", "max"])
@pytest.mark.parametrize("steps", [0, 2])
def test_rows_of_one_site_are_merged_by_a_rule(rule, steps):
    feats = np.stack([VALUES, -VALUES]) if steps else VALUES
    make = partial(sparse_tensor, extent=EXTENT, duplicates=rule)
    x = jax.jit(make)(feats, REPEATED, REPEATED_N)
    chex.assert_trees_all_equal(x, make(feats, REPEATED, REPEATED_N))
    assert x.n.tolist() == [2, 2]
    assert x.overflow.tolist() == [1, 0]  # the row outside the grid
    assert x.coords[:, :2].tolist() == [[[0, 0, 2], [1, 1, 1]], [[0, 0, 0], [2, 3, 4]]]
    assert not x.coords[:, 2:].any()
    assert not x.feats[..., 2:, :].any()
    first = x.feats[0] if steps else x.feats
    assert first[:, :2, 0].tolist() == MERGED[rule]
    if steps:
        sign = {
            "sum": [[-10, -9], [0, -7]],
            "mean": [[-10, -3], [0, -7]],
            "max": [[-10, -1], [4, -7]],
        }
        assert x.feats[1, :, :2, 0].tolist() == sign[rule]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20))
def test_merging_equals_a_dictionary_of_sites(seed):
    rng = np.random.default_rng(seed)
    coords = rng.integers(0, 3, (3, ROWS, 3)).astype(np.int32)
    feats = rng.integers(-8, 9, (3, ROWS, 2)).astype(np.float32)
    n = rng.integers(0, ROWS + 1, 3).astype(np.int32)
    for rule, reduce in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        x = merge(feats, coords, n, extent=(3, 3, 3), duplicates=rule)
        assert not x.overflow.any()
        for b, sample in enumerate(to_samples(x.feats, x.coords, x.n)):
            groups: dict = {}
            for row in range(n[b]):
                groups.setdefault(tuple(coords[b, row].tolist()), []).append(feats[b, row])
            assert list(sample) == sorted(groups)
            for site, rows in groups.items():
                np.testing.assert_allclose(sample[site], reduce(rows, axis=0), rtol=1e-6)


def test_gradients_of_merged_rows():
    def total(feats, rule):
        x = sparse_tensor(feats, REPEATED, REPEATED_N, extent=EXTENT, duplicates=rule)
        return (x.feats * jnp.arange(1.0, 6.0)[:, None]).sum()  # row 0 of x weighs 1, row 1 2

    def gradient(rule):
        return jax.grad(total)(jnp.asarray(VALUES), rule)[..., 0]

    assert gradient("sum").tolist() == [[2, 1, 2, 0, 2], [2, 1, 1, 0, 0]]
    np.testing.assert_allclose(gradient("mean")[0], [2 / 3, 1, 2 / 3, 0, 2 / 3], rtol=1e-6)
    assert gradient("max").tolist() == [[0, 1, 0, 0, 2], [2, 1, 0, 0, 0]]


def test_merging_keeps_the_dtype_and_shows_nan():
    half = VALUES.astype(jnp.bfloat16)
    for rule in ("sum", "mean", "max"):
        assert (
            merge(half, REPEATED, REPEATED_N, extent=EXTENT, duplicates=rule).feats.dtype
            == half.dtype
        )
        bad = merge(VALUES.copy() * np.nan, REPEATED, REPEATED_N, extent=EXTENT, duplicates=rule)
        assert np.isnan(bad.feats[:, :2]).all()
        assert not bad.feats[:, 2:].any()
    # 257 ones are 257 + rounding in float32, but stay at 256 when added in bfloat16
    many = jnp.ones((1, 384, 1), jnp.bfloat16)
    x = merge(
        many,
        np.zeros((1, 384, 3), np.int32),
        np.array([384], np.int32),
        extent=EXTENT,
        duplicates="sum",
    )
    assert x.feats[0, 0, 0] == 384
    counts = VALUES.astype(np.int32)
    x = merge(counts, REPEATED, REPEATED_N, extent=EXTENT, duplicates="max")
    assert (x.feats.dtype, x.feats[:, :2, 0].tolist()) == (jnp.int32, MERGED["max"])


def test_unknown_rules_and_means_of_integers_are_refused():
    with pytest.raises(
        ValueError, match="duplicates must be 'error', 'sum', 'mean' or 'max'; got 'last'"
    ):
        sparse_tensor(VALUES, REPEATED, REPEATED_N, extent=EXTENT, duplicates="last")
    with pytest.raises(TypeError, match="mean of int32 features"):
        sparse_tensor(
            VALUES.astype(np.int32), REPEATED, REPEATED_N, extent=EXTENT, duplicates="mean"
        )


def test_coordinates_beyond_int32_are_outside_and_do_not_wrap():
    coords = REPEATED.astype(np.int64)
    coords[0, 2], coords[0, 4], coords[1, 2] = 2**32 + 1, -(2**32), 2**33
    x = sparse_tensor(VALUES, coords, REPEATED_N, extent=EXTENT)
    assert x.overflow.tolist() == [3, 1]
    assert x.n.tolist() == [2, 2]
