"""Kernel maps: the laws of their tables, the sites they reach, and what they refuse."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.sparse import (
    Geometry,
    inverse_map,
    outdegree,
    pack,
    sparse_tensor,
    spatial_pyramid_pool,
    strided_map,
    submanifold_map,
    transposed_map,
)
from tests.reference import sparse as reference

EXTENT, COUNTS, ROWS = (4, 5, 6), (30, 1, 0, 11), 32
GEOMETRIES = {"k2s2": (2, 2, 0), "k3s2p1": (3, 2, 1), "k3s1p1": (3, 1, 1), "k2s3p1": (2, 3, 1)}

table_map = jax.jit(partial(submanifold_map, arithmetic="table"), static_argnames="kernel_size")
pairs_map = jax.jit(partial(submanifold_map, arithmetic="pairs"), static_argnames="kernel_size")
degree = jax.jit(outdegree)
down_map = jax.jit(
    strided_map, static_argnames=("kernel_size", "stride", "padding", "capacity", "arithmetic")
)


build = jax.jit(sparse_tensor, static_argnames="extent")


def tensor(coords, n, extent=EXTENT):
    """A tensor of these sites with one feature."""
    coords, n = np.asarray(coords, np.int32), np.asarray(n, np.int32)
    return build(np.ones((*coords.shape[:2], 1), np.float32), coords, n, extent=extent)


def sites(*positions, extent=EXTENT):
    """A batch of the usual shape; its first sample has the given sites, the others none."""
    coords = np.zeros((len(COUNTS), ROWS, 3), np.int32)
    coords[0, : len(positions)] = np.array(positions, np.int32).reshape(-1, 3)
    return tensor(coords, [len(positions), 0, 0, 0], extent)


@pytest.fixture(scope="module")
def x():
    return tensor(reference.random_coords(0, EXTENT, COUNTS, ROWS), COUNTS)


def site_rows(coords, n, sample):
    """The row of each site of a sample."""
    return {
        tuple(c): i for i, c in enumerate(np.asarray(coords)[sample, : int(n[sample])].tolist())
    }


def table_loop(coords, n, sample, kernel):
    """The neighbour table by a dictionary of sites: [N, K]."""
    rows = site_rows(coords, n, sample)
    table = np.full((coords.shape[1], kernel**3), coords.shape[1])
    for site, row in rows.items():
        for k, source in enumerate(reference.sources(site, kernel, 1, kernel // 2)):
            table[row, k] = rows.get(source, coords.shape[1])
    return table


# --- submanifold ---


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_neighbour_table_equals_a_dictionary_of_sites(x, kernel):
    kmap = table_map(x, kernel_size=kernel)
    assert kmap.table.dtype == jnp.int32
    for sample in range(len(COUNTS)):
        want = table_loop(x.coords, x.n, sample, kernel)
        assert np.array_equal(kmap.table[sample], want)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(*[st.integers(0, e - 1) for e in EXTENT]), max_size=ROWS))
def test_any_set_of_sites_has_the_table_of_the_dictionary(cells):
    x = sites(*cells)
    table = np.asarray(table_map(x, kernel_size=3).table[0])
    assert np.array_equal(table, table_loop(x.coords, x.n, 0, 3))


def test_neighbours_are_mutual_under_the_opposite_offset(x):
    table = np.asarray(table_map(x, kernel_size=3).table)
    sample, row, offset = np.nonzero(table < ROWS)
    assert len(row) > sum(COUNTS)
    assert np.array_equal(table[sample, table[sample, row, offset], 26 - offset], row)


def test_the_output_sites_are_the_input_sites(x):
    for kmap in (table_map(x, kernel_size=3), pairs_map(x, kernel_size=3)):
        assert np.array_equal(kmap.coords, x.coords)
        assert np.array_equal(kmap.n, x.n)
        assert kmap.overflow.tolist() == [0] * len(COUNTS)
        assert (kmap.kind, kmap.volume, kmap.out_rows, kmap.in_rows) == ("submanifold", 27, 32, 32)
        assert (kmap.in_stride, kmap.out_stride) == (x.stride, x.stride)


def test_the_end_of_a_line_is_not_beside_the_start_of_the_next():
    x = sites((0, 0, EXTENT[2] - 1), (0, 1, 0))
    assert (np.asarray(table_map(x, kernel_size=3).table) < ROWS).sum() == 2  # the centres
    assert int(pairs_map(x, kernel_size=3).pairs.used) == 0
    x = sites((0, EXTENT[1] - 1, EXTENT[2] - 1), (1, 0, 0))  # nor planes
    assert (np.asarray(table_map(x, kernel_size=5).table) < ROWS).sum() == 2


def test_the_border_of_the_grid_has_its_own_neighbours_only():
    corners = [(z, y, x) for z in (0, 3) for y in (0, 4) for x in (0, 5)]
    assert (np.asarray(table_map(sites(*corners), kernel_size=3).table) < ROWS).sum() == 8


def test_a_full_grid_of_edge_4_has_1000_pairs():
    full = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=-1)
    x = tensor(full[None], [64], (4, 4, 4))
    table = table_map(x, kernel_size=3)
    assert int((table.table < 64).sum()) == 1000
    assert int(degree(table, x.n).sum()) == 1000
    assert int(degree(pairs_map(x, kernel_size=3), x.n).sum()) == 1000


def test_an_empty_sample_has_no_neighbours_and_a_single_site_has_itself(x):
    present = np.asarray(table_map(x, kernel_size=3).table) < ROWS
    assert not present[COUNTS.index(0)].any()
    single = present[COUNTS.index(1)]
    assert single.sum() == 1
    assert single[0, 13]


def test_the_largest_grid_has_right_neighbours():
    extent = (1023, 1023, 2040)  # padded keys end 10 million below 2^31
    top = tuple(e - 1 for e in extent)
    x = sites(top, (top[0], top[1], top[2] - 1), (0, 0, 0), extent=extent)
    table = np.asarray(table_map(x, kernel_size=3).table[0])
    assert np.array_equal(table, table_loop(x.coords, x.n, 0, 3))
    assert (table < ROWS).sum() == 5


def test_a_submanifold_map_refuses_what_it_does_not_mean(x):
    with pytest.raises(ValueError, match=r"stride 1; got 2.*strided_map"):
        submanifold_map(x, 3, stride=2)
    for even in (2, 4, 0, -1):
        with pytest.raises(ValueError, match=f"must be odd; got {even}"):
            submanifold_map(x, even)
    with pytest.raises(ValueError, match="pairs, table; got 'dense'"):
        submanifold_map(x, arithmetic="dense")
    with pytest.raises(ValueError, match="padded by"):
        submanifold_map(sites(extent=(1024, 1024, 2047)))


# --- strided and inverse ---


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_output_sites_are_those_that_some_input_reaches(x, geometry):
    kernel, stride, padding = GEOMETRIES[geometry]
    kmap = down_map(x, *GEOMETRIES[geometry])
    assert kmap.out_extent == reference.out_extent(EXTENT, kernel, stride, padding)
    assert (kmap.in_stride, kmap.out_stride) == ((1,) * 3, (stride,) * 3)
    assert kmap.overflow.tolist() == [0] * len(COUNTS)
    for sample in range(len(COUNTS)):
        inputs = site_rows(x.coords, x.n, sample)
        want = reference.reached(inputs, EXTENT, kernel, stride, padding)
        assert list(site_rows(kmap.coords, kmap.n, sample)) == want
        assert not np.asarray(kmap.coords[sample, len(want) :]).any()
        for u, row in site_rows(kmap.coords, kmap.n, sample).items():
            read = [inputs.get(p, ROWS) for p in reference.sources(u, kernel, stride, padding)]
            assert kmap.table[sample, row].tolist() == read
        assert (np.asarray(kmap.table[sample, len(want) :]) == ROWS).all()


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_tables_of_both_directions_are_mutually_inverse(x, geometry):
    kmap = down_map(x, *GEOMETRIES[geometry])
    table, slots = np.asarray(kmap.table), np.asarray(kmap.slots)
    places = kmap.out_rows * kmap.volume
    assert (table < ROWS).sum() == (slots < places).sum() > 0
    sample, row, column = np.nonzero(slots < places)
    u, k = np.divmod(slots[sample, row, column], kmap.volume)
    assert np.array_equal(table[sample, u, k], row)


@pytest.mark.parametrize("kind", ["strided", "inverse", "transposed"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_listed_pairs_are_those_of_the_table(x, geometry, kind):
    kernel, stride, padding = GEOMETRIES[geometry]
    x = x.replace(stride=(stride,) * 3)
    if kind == "transposed":
        kmap = jax.jit(lambda x: transposed_map(x, kernel, stride, padding, arithmetic="pairs"))(x)
    else:
        kmap = down_map(x, kernel, stride, padding, arithmetic="pairs")
    kmap = inverse_map(kmap, x) if kind == "inverse" else kmap
    pairs, table = kmap.pairs, np.asarray(kmap.table)
    used, totals = int(pairs.used), (len(COUNTS) * kmap.in_rows, len(COUNTS) * kmap.out_rows)
    assert used <= len(pairs.offset)
    listed = []
    for rows_in, rows_out, k in zip(pairs.rows_in, pairs.rows_out, pairs.offset, strict=True):
        rows_in, rows_out = np.asarray(rows_in), np.asarray(rows_out)
        for rows in (rows_in, rows_out):
            assert (np.diff(rows) > 0).all()  # padding too: indices are unique and sorted
        real = rows_in < totals[0]
        assert np.array_equal(real, rows_out < totals[1])
        listed += [
            (int(k), int(i), int(o)) for i, o in zip(rows_in[real], rows_out[real], strict=True)
        ]
    sample, row, k = np.nonzero(table < (kmap.out_rows if kmap.adjoint else kmap.in_rows))
    other = table[sample, row, k]
    ends = (row, other) if kmap.adjoint else (other, row)
    flat = (sample * kmap.in_rows + ends[0], sample * kmap.out_rows + ends[1])
    want = zip(k.tolist(), flat[0].tolist(), flat[1].tolist(), strict=True)
    assert sorted(listed) == sorted(want)
    tiles = sum(-(-c // len(rows_in)) for c in np.bincount(k))
    assert used == tiles > 0


def test_without_a_capacity_nothing_can_overflow():
    full = np.stack(np.unravel_index(np.arange(120), EXTENT), axis=-1)[None]
    x = tensor(full, [120])
    assert jax.eval_shape(strided_map, x).out_rows == 2 * 2 * 3
    kmap = down_map(x, 3, 2, 1)
    assert kmap.out_rows == 2 * 3 * 3
    assert kmap.n.tolist() == [18]
    assert kmap.overflow.tolist() == [0]
    single = tensor([[[1, 1, 1]]], [1])
    assert jax.eval_shape(strided_map, single).coords.shape == (1, 1, 3)
    assert jax.eval_shape(partial(strided_map, padding=1, kernel_size=3), single).out_rows == 8


def test_sites_beyond_the_capacity_are_counted_and_the_rest_is_whole(x):
    whole = down_map(x, 3, 2, 1)
    most = int(whole.n.max())
    small = down_map(x, 3, 2, 1, capacity=most - 1)
    assert small.n.tolist() == np.minimum(whole.n, most - 1).tolist()
    assert small.overflow.tolist() == [int(n == most) for n in whole.n]
    assert np.array_equal(small.coords, whole.coords[:, : most - 1])
    assert np.array_equal(small.table, whole.table[:, : most - 1])
    places = (most - 1) * 27
    slots = np.asarray(whole.slots)
    assert np.array_equal(small.slots, np.where(slots < places, slots, places))


def test_the_last_plane_of_an_odd_extent_feeds_nothing_under_kernel_2():
    x = sites((0, 0, 0), (0, 4, 0), (0, 4, 3))
    kmap = down_map(x, 2, 2, 0)
    assert kmap.n.tolist() == [1, 0, 0, 0]
    assert degree(kmap, x.n)[0, :3].tolist() == [1, 0, 0]


@pytest.mark.parametrize("geometry", ["k2s2", "k3s2p1"])
def test_the_inverse_map_goes_back_to_the_sites_it_came_from(x, geometry):
    down = down_map(x, *GEOMETRIES[geometry])
    up = inverse_map(down, x)
    assert up.kind == "inverse"
    assert np.array_equal(up.coords, x.coords)
    assert np.array_equal(up.n, x.n)
    assert (up.in_extent, up.out_extent) == (down.out_extent, EXTENT)
    assert (up.in_stride, up.out_stride) == ((2,) * 3, (1,) * 3)
    assert (up.in_rows, up.out_rows) == (down.out_rows, ROWS)
    assert up.table is down.table
    assert up.overflow.tolist() == [0] * len(COUNTS)


def test_only_a_strided_map_of_the_same_tensor_has_an_inverse(x):
    with pytest.raises(ValueError, match="got a submanifold map"):
        inverse_map(table_map(x, kernel_size=3), x)
    down = down_map(x, 2, 2, 0)
    with pytest.raises(ValueError, match="only a strided map"):
        inverse_map(inverse_map(down, x), x)
    with pytest.raises(ValueError, match="the tensor the map was built from"):
        inverse_map(down, sites((0, 0, 0), extent=(4, 5, 7)))


@pytest.mark.parametrize("kind", ["table", "pairs", "k2s2", "k3s2p1", "up"])
def test_outdegree_counts_the_pairs_that_read_each_row(x, kind):
    n = x.n
    if kind in GEOMETRIES:
        kmap = down_map(x, *GEOMETRIES[kind])
    elif kind == "up":
        down = down_map(x, *GEOMETRIES["k3s2p1"])
        kmap, n = inverse_map(down, x), down.n
    else:
        kmap = (table_map if kind == "table" else pairs_map)(x, kernel_size=3)
    if kind == "up":
        want = (np.asarray(kmap.table) < ROWS).sum(axis=-1)
    else:
        whole = kmap.table if kind != "pairs" else table_map(x, kernel_size=3).table
        read = np.asarray(whole).reshape(len(COUNTS), -1)
        want = np.stack([np.bincount(each, minlength=ROWS + 1)[:ROWS] for each in read])
    got = degree(kmap, n)
    assert got.dtype == jnp.int32
    assert np.array_equal(got, want)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": 0}, "capacity must be at least 1"),
        ({"kernel_size": 0}, "kernel_size >= 1"),
        ({"stride": 0}, "stride >= 1"),
        ({"padding": -1}, "padding >= 0"),
        ({"dilation": 0}, "dilation >= 1"),
        ({"kernel_size": 9}, "does not fit into extent"),
    ],
)
def test_a_strided_map_refuses_an_impossible_geometry(x, change, message):
    with pytest.raises(ValueError, match=message):
        strided_map(x, **change)


# --- all kinds ---


def test_maps_under_vmap_equal_those_of_the_batch(x):
    def alone(sample):
        one = jax.tree.map(lambda leaf: leaf[None], sample)
        down = strided_map(one, 3, 2, 1, arithmetic="table")
        return submanifold_map(one, arithmetic="table"), down

    batch = table_map(x, kernel_size=3), down_map(x, 3, 2, 1, arithmetic="table")
    mapped = jax.jit(jax.vmap(alone))(x)
    chex.assert_trees_all_equal(jax.tree.map(lambda leaf: leaf[:, 0], mapped), batch)


def test_one_compilation_serves_all_sites_of_a_capacity():
    @jax.jit
    @partial(chex.assert_max_traces, n=1)
    def build_maps(x):
        down = strided_map(x, 3, 2, 1)
        return submanifold_map(x), down, inverse_map(down, x)

    for seed in range(3):
        coords = reference.random_coords(seed, EXTENT, COUNTS, ROWS)
        build_maps(tensor(coords, [seed * 5, 1, 0, 3]))


def test_an_output_grid_beyond_int32_is_refused():
    """Padding may make the output larger than an input that still fits."""
    x = sparse_tensor(
        jnp.ones((1, 1, 1)),
        jnp.zeros((1, 1, 3), jnp.int32),
        jnp.ones(1, jnp.int32),
        extent=(1290, 1290, 1290),
    )
    with pytest.raises(ValueError, match="int32"):
        strided_map(x, 3, 1, 2, capacity=64)


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (lambda x, size: strided_map(x, 3, 2, capacity=size), "capacity"),
        (lambda x, size: pack(x, size), "samples"),
        (lambda x, size: pack(x, 2, rows=size), "rows"),
        (lambda x, size: spatial_pyramid_pool(x, (1, size)), "levels"),
    ],
)
@pytest.mark.parametrize("size", [(3, 3, 3), [2, 2, 2], 2.0, True])
def test_a_number_of_rows_or_samples_is_one_integer(x, call, given, size):
    with pytest.raises(TypeError, match=f"{given} must be one integer; got ") as error:
        call(x, size)
    assert repr(size) in str(error.value)


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (lambda x, size: submanifold_map(x, size), "kernel_size"),
        (lambda x, size: submanifold_map(x, stride=size), "stride"),
        (lambda x, size: submanifold_map(x, dilation=size), "dilation"),
        (lambda x, size: strided_map(x, size), "kernel_size"),
        (lambda x, size: strided_map(x, 3, size), "stride"),
        (lambda x, size: strided_map(x, 3, 2, size), "padding"),
        (lambda x, size: transposed_map(x, 3, 2, output_padding=size), "output_padding"),
    ],
)
@pytest.mark.parametrize("size", [(3, 3), (1, 2, 2.0), 2.0, True, None, "3"])
def test_a_size_is_one_integer_or_three(x, call, given, size):
    with pytest.raises(TypeError, match=f"{given} must be one integer .* or three") as error:
        call(x, size)
    assert repr(size) in str(error.value)


def test_sizes_may_be_numpy_integers(x):
    kmap = strided_map(x, np.int64(2), [np.int32(2)] * 3)
    assert kmap.geometry == Geometry.of(2, 2)
    assert {type(size) for field in kmap.geometry for size in field} == {int}
