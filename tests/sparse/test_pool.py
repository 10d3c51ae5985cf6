"""Pooling over maps, samples and pyramid bins, against loops over dictionaries of voxels."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.sparse import (
    adaptive_bins,
    global_max_pool,
    global_mean_pool,
    inverse_map,
    max_pool,
    mean_pool,
    pack,
    paper_bins,
    pyramid_pool,
    sparse_tensor,
    spatial_pyramid_pool,
    strided_map,
    submanifold_map,
    sum_pool,
)
from tests.reference import sparse as reference

EXTENT, COUNTS, ROWS, CHANNELS, T = (5, 4, 6), (60, 1, 0), 64, 3, 2
LEVELS = (1, 2, 3)


build = jax.jit(partial(sparse_tensor, extent=EXTENT))
down_map = jax.jit(strided_map, static_argnames=("kernel_size", "stride", "padding", "capacity"))
same_map = jax.jit(submanifold_map, static_argnames="arithmetic")
pool_max, pool_mean, pool_sum = jax.jit(max_pool), jax.jit(mean_pool), jax.jit(sum_pool)
POOLS = {"max": (pool_max, np.max), "mean": (pool_mean, np.mean), "sum": (pool_sum, np.sum)}
pool_all = jax.jit(lambda x: (global_max_pool(x), global_mean_pool(x)))
pyramid = jax.jit(spatial_pyramid_pool, static_argnames=("levels", "reduce", "occupancy"))


@pytest.fixture(scope="module")
def x():
    """Two steps on random sites; every value is negative, so an absent 0 would win a maximum."""
    coords = reference.random_coords(0, EXTENT, COUNTS, ROWS)
    feats = -1 - np.random.default_rng(0).random((T, len(COUNTS), ROWS, CHANNELS))
    return build(feats.astype(np.float32), coords, np.array(COUNTS, np.int32))


@pytest.fixture(scope="module")
def down(x):
    return down_map(x, 2, 2, 0)


def step(x, t=0):
    return x.replace(feats=x.feats[t])


# --- over maps ---


@pytest.mark.parametrize("geometry", [(2, 2, 0), (3, 2, 1)], ids=["k2s2", "k3s2p1"])
@pytest.mark.parametrize("name", POOLS)
def test_a_pool_equals_the_loop_over_present_sources(x, name, geometry):
    pool, reduce = POOLS[name]
    kmap = down_map(x, *geometry)
    out = pool(x, kmap)
    assert np.array_equal(out.feats[0], pool(step(x), kmap).feats)
    assert (out.extent, out.stride) == (reference.out_extent(EXTENT, *geometry), (2, 2, 2))
    for t in range(T):
        inputs = reference.to_samples(x.feats[t], x.coords, x.n)
        outputs = reference.to_samples(out.feats[t], out.coords, out.n)
        for given_sites, got in zip(inputs, outputs, strict=True):
            sites = reference.reached(given_sites, EXTENT, *geometry)
            want = reference.pool_loop(given_sites, sites, *geometry, reduce)
            assert list(got) == list(want)
            for site in want:
                np.testing.assert_allclose(got[site], want[site], rtol=1e-6)
    assert not np.asarray(out.feats)[:, ~np.asarray(out.valid)].any()


def test_a_pool_may_overlap_on_the_sites_it_reads(x):
    out = pool_max(step(x), same_map(x, arithmetic="table"))
    inputs = reference.to_samples(x.feats[0], x.coords, x.n)
    for given_sites, got in zip(
        inputs, reference.to_samples(out.feats, out.coords, out.n), strict=True
    ):
        want = reference.pool_loop(given_sites, given_sites, 3, 1, 1, np.max)
        assert all(np.array_equal(got[site], want[site]) for site in want)


def test_sites_beyond_the_capacity_are_counted(x, down):
    before = jnp.array([1, 2, 3], jnp.int32)
    out = pool_mean(step(x).replace(overflow=before), down_map(x, 2, 2, 0, capacity=3))
    lost = np.maximum(np.asarray(down.n) - 3, 0)
    assert lost[0] > 0
    assert out.overflow.tolist() == (lost + before).tolist()
    assert np.array_equal(out.feats, pool_mean(step(x), down).feats[:, :3])


def test_the_gradient_of_a_mean_is_shared_and_of_a_maximum_goes_to_the_largest(x, down):
    @jax.jit
    def gradients(feats):
        def total(feats, pool):
            return pool(x.replace(feats=feats), down).feats.sum()

        return [jax.grad(partial(total, pool=pool))(feats) for pool in (mean_pool, max_pool)]

    table = np.asarray(down.table)
    sources = (table < ROWS).sum(-1)
    mean, top = gradients(x.feats[0])
    for b in range(len(COUNTS)):
        want = np.zeros((2, ROWS + 1, CHANNELS))
        for u in range(int(down.n[b])):
            present = table[b, u][table[b, u] < ROWS]
            want[0, present] += 1 / sources[b, u]
            values = np.asarray(x.feats[0, b])[present]
            want[1, present[values.argmax(0)], range(CHANNELS)] += 1
        np.testing.assert_allclose(mean[b], want[0, :ROWS], rtol=1e-6)
        np.testing.assert_allclose(top[b], want[1, :ROWS], rtol=1e-6)


@pytest.mark.parametrize("kind", ["strided", "submanifold"])
def test_the_gradient_of_a_sum_is_that_of_the_gathered_sum(x, kind):
    """It gathers rows instead of scattering them."""
    kmap = down_map(x, 3, 2, 1) if kind == "strided" else same_map(x, arithmetic="table")

    def by_gather(feats):
        rows = jax.vmap(lambda f, t: f.at[t].get(mode="fill", fill_value=0))(feats, kmap.table)
        return (rows.sum(axis=2) ** 2).sum()

    def by_pool(feats):
        return (sum_pool(x.replace(feats=feats), kmap).feats ** 2).sum()

    got, want = (jax.jit(jax.grad(f))(x.feats[0]) for f in (by_pool, by_gather))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert "scatter" not in str(jax.make_jaxpr(jax.grad(by_pool))(x.feats[0]))


def test_pooling_refuses_a_map_it_cannot_read(x, down):
    for kmap in (same_map(x, arithmetic="pairs"), inverse_map(down, x)):
        with pytest.raises(ValueError, match="needs a table"):
            max_pool(x, kmap)
    other = x.replace(extent=(5, 4, 7))
    with pytest.raises(ValueError, match=r"built for extent \(5, 4, 6\)"):
        mean_pool(other, down)


def test_pooling_refuses_the_map_of_another_batch(x, down):
    fewer = jax.tree.map(lambda leaf: leaf[:-1], dataclasses.replace(down, pairs=None))
    for pool in (max_pool, mean_pool):
        with pytest.raises(
            ValueError, match=r"strided map was built for a batch of 2; .*batch size 3\."
        ):
            pool(x, fewer)


@pytest.mark.parametrize(
    "pool",
    [max_pool, mean_pool, global_mean_pool, partial(spatial_pyramid_pool, reduce="sum")],
    ids=["max", "mean", "global mean", "pyramid sum"],
)
def test_what_would_wrap_or_truncate_integers_refuses_them(x, down, pool):
    spikes = x.replace(feats=x.feats.astype(jnp.int8))
    with pytest.raises(TypeError, match=r"floating point; got int8\. Cast spikes .*astype"):
        pool(spikes, down) if pool in (max_pool, mean_pool) else pool(spikes)


def test_the_maximum_over_samples_and_bins_takes_integers(x):
    spikes = step(x).replace(feats=x.feats[0].astype(jnp.int8))
    wide = spikes.replace(feats=spikes.feats.astype(jnp.float32))
    for pool in (global_max_pool, partial(pyramid, levels=(2,))):
        got = pool(spikes)
        assert got.dtype == jnp.int8
        assert np.array_equal(got, pool(wide))


# --- over samples ---


def test_global_pools_ignore_padding_and_give_0_for_an_empty_sample(x):
    together = np.asarray(pool_all(x))
    for t in range(T):
        got = np.asarray(pool_all(step(x, t)))
        np.testing.assert_array_equal(got, together[:, t])
        for b, sample in enumerate(reference.to_samples(x.feats[t], x.coords, x.n)):
            values = list(sample.values()) or [np.zeros(CHANNELS)]
            want = np.max(values, axis=0), np.mean(values, axis=0)
            np.testing.assert_allclose(got[:, b], want, rtol=1e-6)


@pytest.mark.parametrize("pool", [global_max_pool, global_mean_pool])
def test_rows_without_a_site_have_no_gradient(x, pool):
    grad = jax.jit(jax.grad(lambda f: pool(x.replace(feats=f)).sum()))(x.feats)
    valid = np.asarray(x.valid)
    assert np.isfinite(grad).all()
    assert not np.asarray(grad)[:, ~valid].any()
    np.testing.assert_allclose(np.asarray(grad).sum((0, 2))[:2], 2.0, rtol=1e-5)


# --- over the bins of a pyramid, sparse ---


@pytest.mark.parametrize(
    ("name", "reduce", "occupancy"), [("max", np.max, True), ("sum", np.sum, False)]
)
def test_a_spatial_pyramid_equals_the_loop_over_bins(x, name, reduce, occupancy):
    got = pyramid(x, levels=LEVELS, reduce=name, occupancy=occupancy)
    assert got.shape == (T, len(COUNTS), (CHANNELS + occupancy) * (1 + 8 + 27))
    for t in range(T):
        for b, sample in enumerate(reference.to_samples(x.feats[t], x.coords, x.n)):
            parts = []
            for level in LEVELS:
                bins = reference.bins_loop(sample, EXTENT, level, CHANNELS, reduce)
                held = (bins != 0).any(axis=1, keepdims=True)
                parts.append(np.concatenate([bins, held], axis=1) if occupancy else bins)
            want = np.concatenate([part.reshape(-1) for part in parts])
            np.testing.assert_allclose(got[t, b], want, rtol=1e-6)


def test_more_capacity_and_another_order_do_not_change_a_spatial_pyramid(x):
    wide = x.replace(
        feats=jnp.pad(x.feats, ((0, 0), (0, 0), (0, ROWS), (0, 0))),
        coords=jnp.pad(x.coords, ((0, 0), (0, ROWS), (0, 0))),
    )
    assert np.array_equal(pyramid(wide), pyramid(x))
    order = np.random.default_rng(0).permutation(COUNTS[0])
    mixed = x.replace(
        feats=x.feats.at[:, 0, : COUNTS[0]].set(x.feats[:, 0, order]),
        coords=x.coords.at[0, : COUNTS[0]].set(x.coords[0, order]),
    )
    assert np.array_equal(pyramid(mixed), pyramid(x))


def test_level_1_is_the_global_maximum(x):
    assert np.array_equal(pyramid(step(x), (1,)), pool_all(step(x))[0])


def test_a_spatial_pyramid_sends_one_unit_to_each_largest_value(x):
    grad = jax.jit(jax.grad(lambda f: spatial_pyramid_pool(x.replace(feats=f), (2,)).sum()))(
        x.feats
    )
    bins = pyramid(x, (2,))
    assert np.array_equal(np.unique(grad), [0, 1])
    per_sample = np.asarray(grad).sum((0, 2, 3))
    assert np.array_equal(per_sample, (np.asarray(bins) != 0).sum((0, 2)))
    assert not per_sample[COUNTS.index(0)]


def test_the_maximum_of_spikes_is_an_or_and_at_least_the_maximum_of_rates(x):
    spikes = (np.random.default_rng(1).random(x.feats.shape) < 0.2) & np.asarray(x.valid)[..., None]
    trains = x.replace(feats=jnp.asarray(spikes, jnp.float32))
    pooled = np.asarray(pyramid(trains, LEVELS))
    assert np.array_equal(np.unique(pooled), [0, 1])
    rates = trains.replace(feats=trains.feats.mean(axis=0))
    assert (pooled.mean(axis=0) >= np.asarray(pyramid(rates, LEVELS))).all()
    constant = trains.replace(feats=jnp.broadcast_to(trains.feats[:1], trains.feats.shape))
    still = constant.replace(feats=constant.feats[0])
    pooled = pyramid(constant, LEVELS).mean(axis=0)
    assert np.array_equal(pooled, pyramid(still, LEVELS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduce": "mean"}, '"max" or "sum"; got \'mean\''),
        ({"levels": ()}, "at least one"),
        ({"levels": (1, 0)}, "positive integers"),
    ],
)
def test_a_spatial_pyramid_refuses_what_it_cannot_do(x, change, message):
    with pytest.raises(ValueError, match=message):
        spatial_pyramid_pool(x, **change)


# --- over the bins of a pyramid, dense ---


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.sampled_from([1, 2, 3, 4, 6]))
def test_adaptive_bins_cover_an_axis_without_gap(size, parts):
    bins = adaptive_bins(size, parts)
    assert len(bins) == parts
    assert (bins[0][0], bins[-1][1]) == (0, size)
    assert all(start < end for start, end in bins)
    assert all(after[0] <= before[1] for before, after in pairwise(bins))
    if size >= parts:
        assert all(before[1] - after[0] <= 1 for before, after in pairwise(bins))


def works(size, parts):
    try:
        bins = paper_bins(size, parts)
    except ValueError:
        return False
    assert len(bins) == parts
    assert bins[-1][1] == size
    return True


@pytest.mark.parametrize(
    ("parts", "wrong_count", "rows_left_out"),
    [
        (1, [], []),
        (2, [], []),
        (3, [5], [8, 11, 14, 17]),
        (4, [6, 7, 11], [10, 14, 15, 18, 19]),
        (6, [8, 9, 10, 11, 15, 16, 17, 22, 23, 29], [14, 20, 21, 26, 27, 28]),
    ],
)
def test_the_published_bins_fail_for_the_known_sizes(parts, wrong_count, rows_left_out):
    failing = [size for size in range(parts, 41) if not works(size, parts)]
    assert set(failing) >= {*wrong_count, *rows_left_out}
    for size in wrong_count:
        with pytest.raises(ValueError, match="Use adaptive_bins"):
            paper_bins(size, parts)
    if parts <= 2:
        assert not failing
    if parts == 6:
        with pytest.raises(ValueError, match="gives 9 bins on 10 cells"):
            paper_bins(10, 6)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6])
def test_both_rules_agree_on_13_cells(parts):
    assert paper_bins(13, parts) == adaptive_bins(13, parts)


@pytest.mark.parametrize("shape", [(7, 9), (1, 1)])
def test_a_dense_pyramid_has_one_length_and_equals_the_loop(shape):
    maps = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    levels = (1, 2, 3, 6)
    pooled = jax.jit(partial(pyramid_pool, levels=levels))(maps)
    assert pooled.shape == (2, 3 * 50)
    want = []
    for level in levels:
        for i in range(level):
            for j in range(level):
                rows, columns = (
                    range(k * size // level, -(-(k + 1) * size // level))
                    for k, size in ((i, shape[0]), (j, shape[1]))
                )
                want.append(np.max([maps[:, r, c] for r in rows for c in columns], axis=0))
    assert np.array_equal(pooled, np.concatenate(want, axis=1))


def test_as_many_bins_as_cells_is_the_map_itself():
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    assert np.array_equal(pyramid_pool(maps, (4,)), maps.reshape(2, -1))
    with pytest.raises(ValueError, match="must be positive"):
        adaptive_bins(4, 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("samples", [1, 2])
def test_sums_over_many_sites_do_not_narrow(dtype, samples):
    """A thousand sites of 100: the sum is past float16, and bfloat16 would stop at 256 ones."""
    coords = np.stack(np.unravel_index(np.arange(1000), (10, 10, 10)), axis=-1)
    x = sparse_tensor(
        jnp.full((2, 1000, 1), 100, dtype),
        jnp.asarray(np.stack([coords] * 2), jnp.int32),
        jnp.array([1000, 500], jnp.int32),
        extent=(10, 10, 10),
    )
    mean = global_mean_pool(x if samples == 1 else pack(x, samples))
    assert mean.dtype == dtype
    np.testing.assert_array_equal(mean.astype(jnp.float32), 100)
    ones = x.replace(feats=jnp.where(x.valid[..., None], jnp.ones((), dtype), 0))
    total = spatial_pyramid_pool(ones, (1,), reduce="sum")
    np.testing.assert_array_equal(total.astype(jnp.float32), [[1000], [500]])


def test_bins_beyond_int32_are_refused():
    x = sparse_tensor(
        jnp.ones((1, 1, 1)),
        jnp.zeros((1, 1, 3), jnp.int32),
        jnp.ones(1, jnp.int32),
        extent=(1, 1, 2**30),
    )
    with pytest.raises(ValueError, match=r"extent \* level must fit an int32"):
        spatial_pyramid_pool(x, (1, 3))
