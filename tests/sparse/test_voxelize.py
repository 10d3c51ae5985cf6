"""Points to voxels against a loop over points, and on the clouds that real data never has."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnjax.sparse import (
    level_counts,
    level_occupancy,
    pack,
    point_rows,
    point_values,
    voxelize,
)
from snnjax.sparse.tensor import INT32_MAX
from snnjax.sparse.voxelize import search_rows, unique_keys
from tests.reference.sparse import voxel_loop

EXTENT, SIZE, ORIGIN = (3, 4, 5), 0.5, (-1.0, 0.25, 2.0)  # x has 5 cells, z has 3
POINTS, CHANNELS = 24, 4

run = jax.jit(partial(voxelize, extent=EXTENT, voxel_size=SIZE, origin=ORIGIN))
run_shifted = jax.jit(partial(voxelize, extent=EXTENT, voxel_size=SIZE))
run_small = jax.jit(partial(voxelize, extent=EXTENT, voxel_size=SIZE, origin=ORIGIN, capacity=6))


def clouds(seed, batch=3, spread=1.2):
    """Points in and around the grid; the fourth feature is the index of the point."""
    rng = np.random.default_rng(seed)
    size = np.array(EXTENT[::-1]) * SIZE
    xyz = np.array(ORIGIN) + size * (0.5 + spread * (rng.random((batch, POINTS, 3)) - 0.5))
    index = np.broadcast_to(np.arange(POINTS)[:, None], (batch, POINTS, 1))
    return np.concatenate([xyz, index], axis=-1).astype(np.float32)


def check(x, points, count, origin):
    """Every sample has the rows of the loop, in key order, with zeroes after them."""
    for b, cloud in enumerate(points):
        want, lost = voxel_loop(cloud[: count[b], :3], EXTENT, SIZE, origin)
        n = int(x.n[b])
        assert [tuple(c) for c in x.coords[b, :n].tolist()] == list(want)
        assert np.array_equal(x.feats[b, :n], cloud[list(want.values())])
        assert int(x.overflow[b]) == lost
        assert not np.asarray(x.coords[b, n:]).any()
        assert not np.asarray(x.feats[b, n:]).any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("origin", [ORIGIN, None], ids=["fixed", "shifted"])
def test_equals_the_loop_over_points(seed, origin):
    points, count = clouds(seed), np.array([POINTS, 7, 0], np.int32)
    check((run if origin else run_shifted)(points, count), points, count, origin)


@pytest.mark.parametrize("origin", [ORIGIN, None], ids=["fixed", "shifted"])
def test_every_point_finds_the_row_of_its_voxel(origin):
    points, count = clouds(1), np.array([POINTS, 7, 0], np.int32)
    points[0, 0] = np.nan
    x = run_small(points, count) if origin else run_shifted(points, count)
    rows = np.asarray(point_rows(points, count, x, voxel_size=SIZE, origin=origin))
    for b, cloud in enumerate(points):
        kept = {tuple(c): i for i, c in enumerate(x.coords[b, : int(x.n[b])].tolist())}
        seen = cloud[: count[b]][np.isfinite(cloud[: count[b], :3]).all(axis=1)]
        corner = np.array(origin, np.float32) if origin else seen[:, :3].min(0, initial=np.inf)
        for p in range(POINTS):
            cell = None
            if p < count[b] and np.isfinite(cloud[p, :3]).all():
                cell = tuple(np.floor((cloud[p, :3] - corner) / SIZE).astype(int)[::-1].tolist())
            assert rows[b, p] == kept.get(cell, x.capacity)


def test_rows_of_points_need_the_tensor_of_their_clouds():
    points, count = clouds(0, batch=2), np.array([4, 4], np.int32)
    x = voxelize(points, count, extent=(4, 4, 4), voxel_size=1.0)
    for wrong in (
        pack(voxelize(points[:1], count[:1], extent=(4, 4, 4), voxel_size=1.0), 1),
        x.replace(stride=(2, 2, 2)),
    ):
        with pytest.raises(ValueError, match="the 2 clouds at stride"):
            point_rows(points, count, wrong, voxel_size=1.0)


@pytest.mark.parametrize("samples", [2, 4])
def test_values_of_packed_rows_reach_the_points_of_each_cloud(samples):
    points, count = clouds(1, batch=4), np.array([POINTS, 7, 0, POINTS], np.int32)
    x = run_small(points, count)
    grid = {"voxel_size": SIZE, "origin": ORIGIN}
    alone = point_values(x.feats, point_rows(points, count, x, **grid), missing=-1)
    packed = pack(x, samples)
    rows = point_rows(points, count, packed, **grid)
    np.testing.assert_array_equal(point_values(packed.feats, rows, missing=-1), alone)
    steps = jnp.stack([packed.feats, 2 * packed.feats])
    np.testing.assert_array_equal(point_values(steps, rows)[1], 2 * point_values(steps, rows)[0])
    labels = packed.feats[..., 3].astype(jnp.int32)  # the index of the representative point
    got = np.asarray(point_values(labels, rows, missing=-1))
    assert got.shape == points.shape[:2]
    np.testing.assert_array_equal(got, np.asarray(alone)[..., 3])
    assert (got[0] == -1).any()
    assert (got[1, 7:] == -1).all()


def test_values_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r"rows \[B \* samples, P\]; got \(2, 3, 1\) and \(3, 4\)"):
        point_values(jnp.zeros((2, 3, 1)), jnp.zeros((3, 4), jnp.int32))


@pytest.mark.parametrize(
    ("origin", "match"),
    [((0, 0), "three numbers"), ((0, 0, 0, 1), "three numbers"), ((0, np.nan, 0), "finite")],
)
def test_an_origin_is_a_place(origin, match):
    with pytest.raises(ValueError, match=match):
        voxelize(clouds(0), np.ones(3, np.int32), extent=EXTENT, voxel_size=SIZE, origin=origin)


def test_an_origin_may_be_traced_and_is_no_reason_to_compile():
    points, count = clouds(0), np.array([POINTS, 7, 0], np.int32)
    moved = jax.jit(lambda o: voxelize(points, count, extent=EXTENT, voxel_size=SIZE, origin=o))
    chex.assert_trees_all_equal(moved(jnp.array(ORIGIN)), run(points, count))
    for shift in (0.0, 0.1):
        origin = np.array(ORIGIN) + shift
        x = voxelize(points, count, extent=EXTENT, voxel_size=SIZE, origin=origin)
        check(x, points, count, tuple(origin.astype(np.float32)))


coordinate = st.one_of(
    st.floats(-2, 4, width=32),
    st.sampled_from([-1.0, -0.0, 0.25, 0.5, 1.25, 1.5, 2.0, 2.25, 3.5]),
    st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 2.0**31, 1e-45]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=POINTS))
@example([(-1.0, 0.25, 2.0)] * POINTS)
@example([(np.nan, np.nan, np.nan)] * POINTS)
def test_any_cloud_equals_the_loop(cloud):
    points = np.full((3, POINTS, CHANNELS), 7.0, np.float32)
    points[0, : len(cloud), :3] = np.array(cloud, np.float32).reshape(-1, 3)
    count = np.array([len(cloud), 0, 1], np.int32)
    x = run(points, count)
    check(x, points, count, ORIGIN)
    assert np.isfinite(x.feats).all()


def test_an_empty_cloud_has_no_voxels():
    for function in (run, run_shifted, run_small):
        x = function(clouds(0), np.zeros(3, np.int32))
        assert x.n.tolist() == [0, 0, 0]
        assert x.overflow.tolist() == [0, 0, 0]
        assert not np.asarray(x.feats).any()


def test_one_point_is_one_voxel():
    x = run_shifted(clouds(1), np.ones(3, np.int32))
    assert x.n.tolist() == [1, 1, 1]
    assert not np.asarray(x.coords).any()  # the grid starts at the point
    assert np.array_equal(x.feats[:, 0], clouds(1)[:, 0])


def test_equal_points_are_one_voxel_of_the_first():
    points = clouds(2)
    points[..., :3] = np.array(ORIGIN) + 0.6
    x = run(points, np.full(3, POINTS, np.int32))
    assert x.n.tolist() == [1, 1, 1]
    assert x.overflow.tolist() == [0, 0, 0]
    assert x.feats[:, 0, 3].tolist() == [0, 0, 0]


def test_the_nearest_to_the_centre_is_kept_and_ties_go_to_the_lowest_index():
    points = np.full((3, POINTS, CHANNELS), 9.0, np.float32)
    centre = np.array(ORIGIN) + SIZE / 2
    for i, shift in enumerate([0.2, 0.125, -0.125, 0.2]):
        points[0, i, :3] = centre + np.array([shift, 0, 0])
        points[0, i, 3] = i
    x = run(points, np.array([4, 0, 0], np.int32))
    assert x.feats[0, 0, 3] == 1
    x = run(points[:, ::-1], np.array([POINTS, 0, 0], np.int32))  # the others are out of range
    assert x.feats[0, 0, 3] == 2
    assert x.overflow.tolist() == [POINTS - 4, 0, 0]


def test_points_that_are_not_finite_are_dropped_and_counted():
    points, count = clouds(3, spread=0.9), np.full(3, POINTS, np.int32)
    points[0, 0, 0], points[0, 1, 1], points[0, 2, 2] = np.nan, np.inf, -np.inf
    for function, origin in ((run, ORIGIN), (run_shifted, None)):
        x = function(points, count)
        check(x, points, count, origin)
        assert int(x.overflow[0]) >= 3
        assert np.isfinite(x.feats).all()


def test_a_feature_that_is_not_finite_does_not_move_its_point():
    points = clouds(4)
    points[..., 3] = np.nan
    x = run(points, np.full(3, POINTS, np.int32))
    assert x.n.tolist() == run(clouds(4), np.full(3, POINTS, np.int32)).n.tolist()


def test_points_outside_the_range_are_dropped_and_counted():
    points = np.full((3, POINTS, CHANNELS), 1e30, np.float32)
    low, high = np.array(ORIGIN), np.array(ORIGIN) + SIZE * np.array(EXTENT[::-1])
    points[0, 0, :3] = low  # the lower corner belongs to the grid
    points[0, 1, :3] = high  # the upper one does not
    points[0, 2, :3] = high - 1e-3
    points[0, 3, :3] = low - 1e-3
    points[0, 4, :3] = low + SIZE * 2.0**32  # would wrap round as an int32
    x = run(points, np.array([6, 0, 0], np.int32))
    assert x.coords[0, : int(x.n[0])].tolist() == [[0, 0, 0], [e - 1 for e in EXTENT]]
    assert x.overflow.tolist() == [4, 0, 0]


def test_voxels_beyond_the_capacity_are_counted_and_the_rest_is_whole():
    points, count = clouds(5), np.array([POINTS, 7, 0], np.int32)
    whole, small = run(points, count), run_small(points, count)
    assert int(whole.n[0]) > 6 >= int(whole.n[1]) > 0
    assert small.n.tolist() == [6, int(whole.n[1]), 0]
    for field in ("coords", "feats"):
        kept = np.asarray(getattr(whole, field))[:, :6]
        assert np.array_equal(getattr(small, field), kept)
    missing = np.maximum(np.asarray(whole.n) - 6, 0)
    assert np.array_equal(small.overflow, whole.overflow + missing)


def test_the_order_of_distinct_points_does_not_matter():
    points = clouds(6)
    count = np.full(3, POINTS, np.int32)
    shuffled = np.random.default_rng(0).permutation(points, axis=1)
    chex.assert_trees_all_equal(run(points, count), run(shuffled, count))


def test_gradients_reach_the_points_that_were_kept():
    points, count = clouds(7), np.array([POINTS, 7, 0], np.int32)
    x = run(points, count)
    grad = jax.jit(jax.grad(lambda p: run(p, count).feats[..., 3].sum()))(points)
    kept = np.zeros((3, POINTS))
    for b in range(3):
        kept[b, np.asarray(x.feats[b, : int(x.n[b]), 3]).astype(int)] = 1
    assert np.array_equal(grad[..., 3], kept)


def test_one_compilation_serves_all_clouds_of_a_shape():
    function = jax.jit(
        chex.assert_max_traces(
            lambda p, n: voxelize(p, n, extent=EXTENT, voxel_size=SIZE, origin=ORIGIN), n=1
        )
    )
    for seed in range(3):
        function(clouds(seed), np.full(3, seed * 5, np.int32))


def test_float64_stays_float64():
    with jax.enable_x64(True):
        points = clouds(8).astype(np.float64) + 1e-9
        x = run(points, np.full(3, POINTS, np.int32))
        check(x, points, np.full(3, POINTS), ORIGIN)
        assert x.feats.dtype == jnp.float64
        assert x.coords.dtype == x.n.dtype == x.overflow.dtype == jnp.int32


def test_half_precision_gives_finite_voxels():
    x = run(clouds(9).astype(jnp.bfloat16), np.full(3, POINTS, np.int32))
    assert x.feats.dtype == jnp.bfloat16
    assert int(x.n.sum()) > 0


POINTS_ARG = jnp.zeros((2, 5, 3))
COUNT_ARG = jnp.zeros(2, jnp.int32)


@pytest.mark.parametrize(
    ("points", "count", "change", "error", "message"),
    [
        (POINTS_ARG.astype(jnp.int32), COUNT_ARG, {}, TypeError, "floating point; got int32"),
        (POINTS_ARG[..., :2], COUNT_ARG, {}, ValueError, "C >= 3"),
        (POINTS_ARG[0], COUNT_ARG, {}, ValueError, r"\[B, P, C\]"),
        (POINTS_ARG[:, :0], COUNT_ARG, {}, ValueError, "row of zeros"),
        (POINTS_ARG, COUNT_ARG[:1], {}, ValueError, "count must be integers of shape"),
        (POINTS_ARG, jnp.zeros(2), {}, ValueError, "count must be integers"),
        (POINTS_ARG, COUNT_ARG, {"voxel_size": 0.0}, ValueError, "voxel_size must be positive"),
        (POINTS_ARG, COUNT_ARG, {"voxel_size": np.nan}, ValueError, "voxel_size must be positive"),
        (POINTS_ARG, COUNT_ARG, {"capacity": 0}, ValueError, "capacity must be at least 1"),
        (POINTS_ARG, COUNT_ARG, {"extent": (2048,) * 3}, ValueError, "int32"),
        (POINTS_ARG, COUNT_ARG, {"extent": (0, 1, 1)}, ValueError, "three positive integers"),
    ],
)
def test_wrong_input_is_refused_with_what_is_needed(points, count, change, error, message):
    with pytest.raises(error, match=message):
        voxelize(points, count, **({"extent": EXTENT, "voxel_size": 1.0} | change))


def test_unique_keys_are_sorted_and_counted_before_clipping():
    keys = jnp.array([[5, 3, 5, 9, INT32_MAX], [INT32_MAX] * 5, [0, 0, 0, 0, 0]], jnp.int32)
    sites, found = unique_keys(keys, 2)
    assert sites.tolist() == [[3, 5], [INT32_MAX] * 2, [0, INT32_MAX]]
    assert found.tolist() == [3, 0, 1]
    rows = search_rows(sites, keys)
    assert rows.tolist() == [[1, 0, 1, 2, 2], [2] * 5, [0] * 5]


def test_voxels_may_have_another_edge_along_each_axis():
    """They are the cubes of a cloud whose axes were scaled first."""
    points, count = np.abs(clouds(2))[..., :3], np.array([POINTS, 7, 0], np.int32)
    scale = np.array([2.0, 1.0, 0.5], np.float32)
    grid = {"extent": (8, 4, 2), "origin": (0.0, 0.0, 0.0)}
    edges = tuple((1 / scale).tolist())
    x = voxelize(points, count, voxel_size=edges, **grid)
    want = voxelize(points * scale, count, voxel_size=1.0, **grid)
    assert int(x.n.sum()) > 0
    np.testing.assert_array_equal(x.coords, want.coords)
    np.testing.assert_array_equal(x.feats * scale, want.feats)
    rows = point_rows(points, count, x, voxel_size=edges, origin=(0.0, 0.0, 0.0))
    scaled = point_rows(points * scale, count, want, voxel_size=1.0, origin=(0.0, 0.0, 0.0))
    np.testing.assert_array_equal(rows, scaled)
    counts = level_counts(np.asarray(points), np.asarray(count), voxel_size=edges, **grid, depth=0)
    np.testing.assert_array_equal(counts[:, 0], x.n)


@pytest.mark.parametrize("size", [(1.0, 2.0), [1.0], np.ones(3), "1"])
def test_a_voxel_has_one_edge_or_three(size):
    points, count = np.zeros((1, 2, 3), np.float32), np.array([2])
    grid = {"extent": (4, 4, 4), "voxel_size": size}
    x = voxelize(points, count, extent=(4, 4, 4), voxel_size=1.0)
    for call in (
        lambda: voxelize(points, count, **grid),
        lambda: point_rows(points, count, x, voxel_size=size),
        lambda: level_counts(points, count, **grid, depth=1),
        lambda: level_occupancy(points, count, **grid, depth=1),
    ):
        with pytest.raises(TypeError, match=r"voxel_size must be one number .* or three.* got"):
            call()


def test_an_extent_of_one_number_is_refused_in_words():
    with pytest.raises(ValueError, match=r"three positive integers \(Z, Y, X\); got 4"):
        voxelize(np.zeros((1, 2, 3), np.float32), np.array([2]), extent=4, voxel_size=1.0)
