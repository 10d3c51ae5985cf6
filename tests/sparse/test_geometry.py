"""Kernels, strides, paddings and dilations of each axis, against dense convolutions in float64."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.sparse import (
    Geometry,
    bev_map,
    inverse_map,
    level_counts,
    outdegree,
    pack,
    sparse_conv,
    sparse_tensor,
    strided_map,
    submanifold_map,
    transposed_map,
    voxelize,
)
from tests.reference import sparse as reference

EXTENT, COUNTS, ROWS, C, OUT = (5, 6, 7), (60, 9, 0, 1), 60, 2, 3
BATCH = len(COUNTS)

# kernel size, stride, padding, dilation
STRIDED = {
    "k(3,1,1) s(2,1,1)": ((3, 1, 1), (2, 1, 1), 0, 1),
    "k(1,3,2) s(1,2,1) p(0,1,1)": ((1, 3, 2), (1, 2, 1), (0, 1, 1), 1),
    "k4 s2 p1": (4, 2, 1, 1),
    "k2 s2 p2": (2, 2, 2, 1),
    "k(2,3,4) s(3,2,1) p(0,1,2)": ((2, 3, 4), (3, 2, 1), (0, 1, 2), 1),
    "k3 s1 p2 d2": (3, 1, 2, 2),
    "k(2,3,3) s(2,2,3) p(1,2,3) d(2,1,3)": ((2, 3, 3), (2, 2, 3), (1, 2, 3), (2, 1, 3)),
}
SUBMANIFOLD = {
    "k(1,3,3)": ((1, 3, 3), 1),
    "k(3,1,5)": ((3, 1, 5), 1),
    "k(5,3,1)": ((5, 3, 1), 1),
    "k3 d2": (3, 2),
    "k(3,3,5) d(2,1,3)": ((3, 3, 5), (2, 1, 3)),
}


def dense_conv(grid, weight, geometry):
    """A dense convolution of [B, Z, Y, X, C] with a weight [K, C, O]."""
    return jax.lax.conv_general_dilated(
        grid,
        weight.reshape(*geometry.kernel_size, *weight.shape[1:]),
        geometry.stride,
        [(p, p) for p in geometry.padding],
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


def dense_transposed(grid, weight, geometry, extent):
    """The adjoint of `dense_conv` from a grid of `extent`."""
    shape = jax.ShapeDtypeStruct((len(grid), *extent, weight.shape[2]), grid.dtype)
    down = partial(dense_conv, weight=weight.swapaxes(1, 2), geometry=geometry)
    return jax.linear_transpose(down, shape)(grid)[0]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def cloud(seed=0, stride=1, counts=COUNTS, extent=EXTENT):
    """Random sites with random features, in float64 where that is enabled."""
    coords = reference.random_coords(seed, extent, counts, ROWS)
    feats, n = jnp.asarray(normal(seed, len(counts), ROWS, C)), np.array(counts, np.int32)
    return sparse_tensor(feats, coords, n, extent=extent, stride=stride)


def with_gradients(function, feats, weight, shape):
    """The value of a function of features and weight, and its gradients for a fixed cotangent."""
    value, pull = jax.vjp(function, feats, weight)
    return value, *pull(jnp.asarray(normal(9, *shape)))


@partial(jax.jit, static_argnums=(2, 3))
def each_way(x, weight, make_map, dense):
    """The grid of the sparse and of the dense convolution, with their gradients; and a map."""
    maps = [make_map(x, arithmetic=way) for way in ("table", "pairs")]
    assert [kmap.pairs is None for kmap in maps] == [True, False]

    def sparse(kmap, feats, weight):
        return sparse_conv(x.replace(feats=feats), weight, kmap).dense()

    def full(feats, weight):
        return dense(x.replace(feats=feats).dense(), weight, maps[0])

    functions = [full, *(partial(sparse, kmap) for kmap in maps)]
    shape = jax.eval_shape(full, x.feats, weight).shape
    return [with_gradients(f, x.feats, weight, shape) for f in functions], maps[0]


def compare(x, make_map, dense, volume):
    with jax.enable_x64(True):
        weight = jnp.asarray(normal(1, volume, C, OUT))
        (full, *sparse), kmap = each_way(x, weight, make_map, dense)
        assert full[0].dtype == sparse[0][0].dtype == jnp.float64
    for found in sparse:
        for got, want in zip(found, full, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
            assert np.abs(want).max() > 0.1
    return kmap


def check_strided(x, options):
    geometry = Geometry.of(*options)
    *plain, dilation = options

    def make(x, arithmetic):
        return strided_map(x, *plain, dilation=dilation, arithmetic=arithmetic)

    def dense(grid, weight, kmap):
        return dense_conv(grid, weight, geometry)

    kmap = compare(x, make, dense, geometry.volume)
    # every site that an input reaches, and no other: a kernel of ones on a grid of ones
    ones = x.replace(
        feats=jnp.where(x.valid[..., None], jnp.ones_like(x.feats[..., :1]), 0)
    ).dense()
    counts = dense_conv(ones, jnp.ones((geometry.volume, 1, 1), ones.dtype), geometry)[..., 0]
    assert kmap.out_extent == counts.shape[1:]
    assert kmap.n.tolist() == (np.asarray(counts) > 0.5).sum((1, 2, 3)).tolist()
    assert kmap.out_stride == geometry.stride
    pairs = np.asarray(counts).sum((1, 2, 3))
    np.testing.assert_allclose(outdegree(kmap, x.n).sum(axis=1), pairs, rtol=1e-6)
    return kmap


@pytest.mark.parametrize("name", STRIDED)
def test_a_strided_convolution_equals_the_dense_one(name):
    with jax.enable_x64(True):
        x = cloud()
        check_strided(x, STRIDED[name])


sizes = st.tuples(*[st.integers(1, 3)] * 3)


@settings(max_examples=3, deadline=None)
@given(sizes, sizes, st.tuples(*[st.integers(0, 3)] * 3), st.tuples(*[st.integers(1, 2)] * 3))
def test_any_geometry_equals_the_dense_convolution(kernel, stride, padding, dilation):
    with jax.enable_x64(True):
        check_strided(cloud(1, counts=(40, 3)), (kernel, stride, padding, dilation))


@pytest.mark.parametrize("name", SUBMANIFOLD)
def test_a_submanifold_convolution_equals_the_dense_one_at_its_sites(name):
    kernel, dilation = SUBMANIFOLD[name]

    def dense(grid, weight, kmap):
        held = jnp.any(grid != 0, axis=-1, keepdims=True)
        return jnp.where(held, dense_conv(grid, weight, kmap.geometry), 0)

    make = partial(submanifold_map, kernel_size=kernel, dilation=dilation)
    with jax.enable_x64(True):
        compare(cloud(), make, dense, Geometry.of(kernel).volume)


# --- transposed ---

TRANSPOSED = {
    "k2 s2": ((2, 2, 0, 1), 0),
    "k3 s2 p1": ((3, 2, 1, 1), (1, 0, 1)),
    "k(1,3,4) s(1,2,3) p(0,2,1) d(1,2,1)": (((1, 3, 4), (1, 2, 3), (0, 2, 1), (1, 2, 1)), 0),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_a_transposed_convolution_equals_the_dense_one(name):
    options, extra = TRANSPOSED[name]
    geometry = Geometry.of(*options)
    kernel, stride, padding, dilation = options

    options = {"dilation": dilation, "output_padding": extra}

    def make(x, arithmetic):
        return transposed_map(x, kernel, stride, padding, **options, arithmetic=arithmetic)

    def dense(grid, weight, kmap):
        return dense_transposed(grid, weight, geometry, kmap.out_extent)

    with jax.enable_x64(True):
        x = cloud(stride=geometry.stride, counts=(20, 3, 0, 1))
        kmap = compare(x, make, dense, geometry.volume)
        ones = x.replace(feats=x.valid[..., None].astype(jnp.float64)).dense()
        weight = jnp.ones((geometry.volume, 1, 1))
        counts = np.asarray(dense_transposed(ones, weight, geometry, kmap.out_extent))
    assert kmap.n.tolist() == (counts > 0.5).sum((1, 2, 3, 4)).tolist()
    assert kmap.out_stride == (1, 1, 1)
    np.testing.assert_allclose(outdegree(kmap, x.n).sum(axis=1), counts.sum((1, 2, 3, 4)))


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_onto_known_sites_the_others_are_left_out(kernel):
    """A U-net returns to its sites with another kernel than it came down with."""
    skip_counts = (30, 5, 0, 2)

    def make(x, arithmetic):
        skip = cloud(3, counts=skip_counts, extent=(6, 6, 8))
        padding = (kernel - 1) // 2
        return transposed_map(x, kernel, 2, padding, onto=skip, arithmetic=arithmetic)

    def dense(grid, weight, kmap):
        skip = cloud(3, counts=skip_counts, extent=(6, 6, 8))
        full = dense_transposed(grid, weight, kmap.geometry, skip.extent)
        return jnp.where(jnp.any(skip.dense() != 0, axis=-1, keepdims=True), full, 0)

    with jax.enable_x64(True):
        x = cloud(stride=2, counts=(20, 3, 0, 1), extent=(3, 3, 4))
        kmap = compare(x, make, dense, kernel**3)
    assert kmap.n.tolist() == list(skip_counts)
    assert not np.asarray(kmap.overflow).any()


def test_onto_its_own_sites_an_even_kernel_reads_the_neighbours_that_padding_says():
    def make(x, arithmetic):
        return strided_map(x, 2, 1, (1, 0, 1), onto=x, arithmetic=arithmetic)

    def dense(grid, weight, kmap):
        held = jnp.any(grid != 0, axis=-1, keepdims=True)
        wide = jnp.pad(grid, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 0)))
        full = dense_conv(wide, weight, kmap.geometry)[:, :5, :6, :7]
        return jnp.where(held, full, 0)

    with jax.enable_x64(True):
        kmap = compare(cloud(), make, dense, 8)
    assert (kmap.out_extent, kmap.out_stride) == (EXTENT, (1, 1, 1))


def test_a_transposed_map_with_the_sites_of_a_strided_one_is_its_inverse():
    x = cloud(extent=(6, 6, 8))
    weight = jnp.asarray(normal(2, 27, C, OUT), jnp.float32)

    @jax.jit
    def both_ways(x):
        down = strided_map(x, 3, 2, 1, arithmetic="table")
        low = sparse_conv(x, jnp.ones((27, C, C)), down)
        maps = transposed_map(low, 3, 2, 1, onto=x, arithmetic="table"), inverse_map(down, x)
        return [(kmap.table, sparse_conv(low, weight, kmap)) for kmap in maps]

    (table, up), (wanted, back) = both_ways(x)
    np.testing.assert_array_equal(up.feats, back.feats)
    np.testing.assert_array_equal(table, wanted)
    assert (up.extent, up.stride, up.gap) == (back.extent, back.stride, back.gap)


# --- packed samples, capacities ---

LEVELS = {
    "k3 s2 p1": (3, 2, 1),
    "k(3,1,1) s(2,1,1)": ((3, 1, 1), (2, 1, 1), 0),
    "k2 s2": (2, 2, 0),
    "k(1,3,3) s(1,2,2) p(0,1,1)": ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
}


@pytest.mark.parametrize("name", LEVELS)
def test_packed_samples_do_not_see_each_other(name):
    geometry = LEVELS[name]
    x = cloud(counts=(60, 60, 9, 1))  # the largest ones touch the last plane
    weights = [jnp.asarray(normal(seed, 27, C, C), jnp.float32) for seed in (0, 1)]
    volume = Geometry.of(*geometry).volume

    @jax.jit
    def network(x):
        down = strided_map(x, *geometry)
        y = sparse_conv(x, weights[0][:volume], down)
        z = sparse_conv(y, weights[1], submanifold_map(y, 3))
        back = sparse_conv(z, weights[0][:volume], inverse_map(down, x))
        return [bev_map(t, flatten=False) for t in (y, z, back)]

    packed = pack(x, 2 if name == "k2 s2" else 4, depth=1)
    for got, want in zip(network(packed), network(x), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_of_packed_samples_equals_that_of_each():
    x = cloud(stride=2, counts=(60, 60, 9, 1))
    weight = jnp.asarray(normal(0, 27, C, C), jnp.float32)

    @jax.jit
    def network(x):
        y = sparse_conv(x, weight, transposed_map(x, 3, 2, 1))
        return bev_map(sparse_conv(y, weight, submanifold_map(y, 3)), flatten=False)

    np.testing.assert_allclose(network(pack(x, 2)), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [strided_map, transposed_map])
def test_sites_beyond_the_capacity_are_counted(make):
    x = cloud(stride=2)
    full = make(x, 3, 2, 1)
    most = int(full.n.max())
    small = make(x, 3, 2, 1, capacity=most - 1)
    lost = np.maximum(np.asarray(full.n) - (most - 1), 0)
    assert lost.max() == 1
    assert small.overflow.tolist() == lost.tolist()
    np.testing.assert_array_equal(small.coords, full.coords[:, : most - 1])
    weight = jnp.asarray(normal(0, 27, C, OUT), jnp.float32)
    got, want = (sparse_conv(x, weight, kmap) for kmap in (small, full))
    np.testing.assert_allclose(got.feats, want.feats[:, : most - 1], rtol=1e-6)
    assert got.overflow.tolist() == lost.tolist()


def test_the_host_counts_the_sites_of_any_levels():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.2, 7.2, (BATCH, 50, 3)).astype(np.float32)
    count = np.array([50, 7, 0, 1], np.int32)
    grid = {"extent": EXTENT, "voxel_size": (1.0, 1.5, 0.5), "origin": (0.0, 0.0, 0.0)}
    downs = [Geometry.of(3, 2, 1), Geometry.of((3, 1, 1), (2, 1, 1)), Geometry.of((1, 2, 2))]

    x = voxelize(points, count, **grid)
    want = [x.n]
    for down in downs:
        kmap = strided_map(x, *down[:3])
        x = sparse_conv(x, jnp.ones((down.volume, x.feats.shape[-1], 1)), kmap)
        want.append(kmap.n)
    counts = level_counts(points, count, **grid, depth=downs)
    np.testing.assert_array_equal(counts, np.stack(want, 1))


# --- what is refused ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: strided_map(x, (9, 1, 1)), r"kernel of \(9, 1, 1\).* does not fit"),
        (lambda x: strided_map(x, 3, dilation=4), "does not fit into extent"),
        (lambda x: strided_map(x, 2, capacity=4, onto=x), "`capacity` or `onto`"),
        (lambda x: strided_map(x, 2, onto=x), "`onto` must be of stride"),
        (lambda x: transposed_map(x), r"stride \(2, 2, 2\) needs an input .*multiple"),
        (lambda x: transposed_map(x, 2, 1, output_padding=1), "output_padding must be below"),
        (lambda x: transposed_map(x, 1, 1, 9), "leaves nothing"),
        (lambda x: transposed_map(x, 3, 1, onto=x.replace(stride=(2, 1, 1))), "must be of stride"),
        (lambda x: strided_map(pack(x, 2), 3, 1, onto=pack(x, 2, depth=1)), "one every 8 planes"),
        (lambda x: submanifold_map(x, (3, 2, 3)), r"must be odd; got \(3, 2, 3\).*onto=x"),
        (lambda x: submanifold_map(x, stride=(1, 2, 1)), "has stride 1; got"),
        (lambda x: submanifold_map(x, dilation=0), "dilation must be at least 1"),
        (lambda x: submanifold_map(pack(x, 2), 3, dilation=(2, 1, 1)), "reaches 2 planes"),
        (lambda x: strided_map(pack(x, 2), 3, 4, 1), "multiple of the stride along z"),
    ],
)
def test_impossible_geometries_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(cloud())
