"""Capacities chosen on the host: they hold the batch, and are few."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.sparse import (
    ArithmeticRule,
    ArithmeticTable,
    Buckets,
    Capacities,
    Geometry,
    fit_buckets,
    level_counts,
    level_occupancy,
    strided_map,
    submanifold_map,
    voxelize,
)

SMALL, LARGE = Capacities((8, 4), ("pairs", "table")), Capacities((16, 8), ("pairs", "table"))
BUCKETS = Buckets((SMALL, LARGE), (50, 20))


def test_the_smallest_bucket_that_holds_the_batch_is_chosen():
    assert BUCKETS.choose(np.array([[8, 4], [1, 1]])) is SMALL
    assert BUCKETS.choose(np.array([[9, 1], [1, 1]])) is LARGE
    assert BUCKETS.choose(np.array([[1, 1], [1, 5]])) is LARGE
    assert BUCKETS.choose(np.zeros((3, 2), int)) is SMALL


def test_a_batch_above_all_buckets_grows_the_last_by_factors():
    grown = BUCKETS.choose(np.array([[17, 3]]))
    assert grown == Capacities((24, 16), LARGE.arithmetic)
    assert BUCKETS.choose(np.array([[50, 20]])).rows == (50, 20)  # at most the cells
    assert hash(grown) == hash(BUCKETS.choose(np.array([[18, 1]])))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=6))
def test_the_chosen_bucket_always_holds_the_batch(counts):
    counts = np.array(counts)
    chosen = BUCKETS.choose(counts)
    assert (counts <= chosen.rows).all()
    rows = len(counts) * sum(chosen.rows)
    assert chosen.padding(counts) == pytest.approx(1 - counts.sum() / rows)


def test_packed_samples_share_the_rows_of_their_grid():
    counts = np.array([[5, 1], [3, 3], [7, 2], [0, 0], [9, 4]])
    pairs = Capacities((10, 4), samples=2)
    assert pairs.need(counts).tolist() == [9, 4]
    assert pairs.padding(counts) == pytest.approx(1 - counts.sum() / (3 * 14))
    buckets = Buckets((pairs, Capacities((20, 8), samples=2)), (100, 40))
    assert buckets.choose(counts) is pairs
    assert buckets.choose(counts[[0, 2]]).rows == (20, 8)  # 12 sites together
    assert buckets.choose(2 * counts[[2, 4]]) == Capacities((32, 16), samples=2)
    assert Buckets.from_json(buckets.to_json()) == buckets


def test_fitted_grids_hold_whole_batches_when_packed():
    counts = np.random.default_rng(1).integers(20, 40, (24, 2))
    fitted = fit_buckets(counts, extent=(8, 8, 8), batch_size=4, packed=True, choices=1)
    (only,) = fitted.choices
    assert only.samples == 4
    assert fitted.cells == (4 * 512, 4 * 64)
    peak = counts.reshape(6, 4, 2).sum(axis=1).max(axis=0)
    for rows, most in zip(only.rows, peak, strict=True):
        assert 1.1 * most <= rows < 1.1 * most + 8


def test_more_sites_than_the_buckets_were_fitted_for_are_an_error():
    with pytest.raises(ValueError, match=r"\[51, 2\] sites.*at most \[50, 20\]"):
        BUCKETS.choose(np.array([[51, 2]]))


def test_buckets_survive_json():
    assert Buckets.from_json(BUCKETS.to_json()) == BUCKETS
    assert hash(Buckets.from_json(BUCKETS.to_json())) == hash(BUCKETS)


def test_fitted_buckets_hold_the_scan_with_a_margin():
    counts = np.random.default_rng(0).integers(20, 40, (24, 2))
    buckets = fit_buckets(counts, extent=(8, 8, 8), batch_size=4, choices=1)
    (only,) = buckets.choices
    assert buckets.cells == (512, 64)
    for rows, peak in zip(only.rows, counts.max(axis=0), strict=True):
        assert rows % 8 == 0
        assert 1.1 * peak <= rows < 1.1 * peak + 8


def test_a_second_bucket_needs_batches_that_are_much_smaller():
    even = np.full((24, 1), 100)
    uneven = even.copy()
    uneven[0] = 300
    fit = partial(fit_buckets, extent=(8, 8, 8), batch_size=4)
    assert [c.rows for c in fit(even).choices] == [(112,)]
    assert [c.rows for c in fit(uneven).choices] == [(112,), (336,)]
    assert len(fit(uneven, choices=1).choices) == 1
    assert [c.rows for c in fit(uneven[:3]).choices] == [(336,)]  # less than one batch


def test_rows_are_at_most_the_cells_or_the_points():
    counts = np.array([[60, 8], [64, 8]])
    assert fit_buckets(counts, extent=(4, 4, 4), batch_size=1).choices[-1].rows == (64, 8)
    limited = fit_buckets(counts, extent=(40, 40, 40), batch_size=1, limit=66)
    assert limited.choices[-1].rows == (66, 16)
    assert limited.cells == (66, 66)
    tiny = fit_buckets(np.array([[1, 1, 1]]), extent=(2, 1, 1), batch_size=1)
    assert tiny.choices[-1].rows == (2, 1, 1)  # an axis of one cell keeps it


def test_levels_that_dilate_may_have_more_sites_than_points():
    downs = [Geometry.of(3, 2, 1), Geometry.of((3, 1, 1), (2, 1, 1))]
    counts = np.array([[10, 60, 100]])
    fit = partial(fit_buckets, counts, extent=(41, 40, 40), batch_size=2, limit=10)
    fitted = fit(depth=downs)
    assert fitted.cells == (10, 80, 160)  # an input site reaches 8 sites, and then 2
    assert fitted.choices[-1].rows == (10, 72, 112)
    assert fit(depth=downs, packed=True).cells == (20, 160, 320)
    small = fit_buckets(counts, extent=(5, 4, 4), batch_size=1, depth=downs)
    assert small.cells == (80, 12, 4)
    with pytest.raises(ValueError, match="counts have 3 levels, but depth means 2"):
        fit(depth=1)


def test_the_arithmetic_of_each_level_follows_the_table():
    table = ArithmeticTable((ArithmeticRule("cpu", 500, 0.5),))
    counts = np.array([[400, 200, 10]])
    fit = partial(fit_buckets, counts, extent=(16,) * 3, batch_size=2, table=table, backend="cpu")
    assert fit(occupancy=(0.1, 0.6, 0.1)).choices[-1].arithmetic == ("pairs", "table", "table")
    assert fit().choices[-1].arithmetic == ("pairs", "table", "table")


@pytest.mark.parametrize("counts", [np.zeros((0, 2), int), np.zeros(3, int)])
def test_counts_need_a_scan(counts):
    with pytest.raises(ValueError, match="S >= 1"):
        fit_buckets(counts, extent=(4, 4, 4), batch_size=1)


def coarser(x):
    """The sites after a strided convolution."""
    kmap = strided_map(x)
    feats = jax.numpy.zeros((*kmap.coords.shape[:2], 1))
    return x.replace(feats=feats, coords=kmap.coords, n=kmap.n, extent=kmap.out_extent)


EXTENT, SIZE, POINTS, DEPTH = (9, 6, 5), 0.5, 40, 2


@pytest.mark.parametrize("origin", [(-1.0, 0.25, 2.0), None], ids=["fixed", "shifted"])
def test_counts_on_the_host_equal_those_of_the_network(origin):
    rng = np.random.default_rng(1)
    points = (rng.random((4, POINTS, 3)) * 6 - 2).astype(np.float32)
    points[0, 0] = np.nan
    points[0, 1] = np.inf, 0, 0
    points[1] = points[1, 0]
    count = np.array([POINTS, 7, 0, 1], np.int32)
    grid = {"extent": EXTENT, "voxel_size": SIZE, "origin": origin}

    @jax.jit
    def counted(points, count):
        x = voxelize(points, count, **grid)
        counts = [x.n]
        for _ in range(DEPTH):
            x = coarser(x)
            counts.append(x.n)
        return jax.numpy.stack(counts, axis=1)

    want = level_counts(points, count, **grid, depth=DEPTH)
    assert want.shape == (4, DEPTH + 1)
    assert want[2].tolist() == [0, 0, 0]
    assert np.array_equal(counted(points, count), want)


def test_no_clouds_and_no_depth_are_counted_too():
    points = np.zeros((2, 3, 3), np.float32)
    counts = level_counts(points, np.array([0, 3]), extent=(2, 2, 2), voxel_size=1.0, depth=0)
    assert counts.tolist() == [[0], [1]]


def test_counts_by_marks_equal_those_by_sorting(monkeypatch):
    rng = np.random.default_rng(2)
    points = rng.random((3, 50, 3)).astype(np.float32)
    count = np.array([50, 0, 20])
    grid = {"extent": (8, 4, 6), "voxel_size": 0.15, "origin": (0, 0, 0)}
    marked = level_counts(points, count, **grid, depth=3)
    monkeypatch.setattr("snnjax.sparse.levels.MARKS", 0)
    np.testing.assert_array_equal(marked, level_counts(points, count, **grid, depth=3))
    assert not marked[:, 3].any()  # the middle axis has no cell left
    assert marked[0, 2] > 0


def test_occupancy_is_the_share_of_neighbours_that_a_map_finds():
    rng = np.random.default_rng(3)
    points = rng.random((2, 60, 3)).astype(np.float32) * 4
    count = np.array([60, 25], np.int32)
    grid = {"extent": (9, 6, 5), "voxel_size": 0.5, "origin": (0.0, 0.0, 0.0)}

    @jax.jit
    def found(points, count):
        x = voxelize(points, count, **grid)
        levels = [x, coarser(x), coarser(coarser(x))]
        tables = [submanifold_map(x, arithmetic="table").table < x.capacity for x in levels]
        return [hits.sum() / (27 * x.n.sum()) for hits, x in zip(tables, levels, strict=True)]

    shares = [float(share) for share in found(points, count)]
    assert level_occupancy(points, count, **grid, depth=2) == pytest.approx(shares)


def test_a_level_without_a_site_counts_as_full():
    grid = {"extent": (2, 2, 2), "voxel_size": 1.0, "origin": (0, 0, 0)}
    nothing = np.zeros((1, 1, 3), np.float32)
    assert level_occupancy(nothing, np.array([0]), **grid, depth=1) == (1.0, 1.0)


@pytest.mark.parametrize("extent", [32, 48, 80, 96, 112])
def test_points_on_the_borders_of_voxels_are_counted_as_the_device_does(extent):
    """2 / extent is no power of two for most: both sides must round alike."""
    points = (np.random.default_rng(0).integers(-24, 24, (8, 64, 3)) / 24).astype(np.float32)
    points[0, :48] = (np.arange(48) / 24 - 1)[:, None]
    count = np.full(8, 64, np.int32)
    grid = {"extent": (extent,) * 3, "voxel_size": 2 / extent, "origin": (-1.0, -1.0, -1.0)}
    want = level_counts(points, count, depth=0, **grid)[:, 0]
    x = voxelize(points, count, **grid)
    np.testing.assert_array_equal(x.n, want)
