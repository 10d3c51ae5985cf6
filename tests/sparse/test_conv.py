"""Sparse convolution against dense convolution, dictionary loops and finite differences."""

from __future__ import annotations

import re
from functools import cache, partial
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from snnjax.sparse import (
    SparseTensor,
    conv,
    inverse_map,
    masked_moments,
    masked_normalise,
    sparse_conv,
    sparse_tensor,
    strided_map,
    submanifold_map,
    voxelize,
)
from tests.reference import sparse as reference

# A crowded sample, a sparser one, and an empty one; enough rows for several tiles of pairs.
EXTENT, COUNTS, ROWS, C, OUT = (5, 6, 7), (100, 37, 0), 100, 3, 4
B, T = len(COUNTS), 2
DOWN = {"k2s2": (2, 2, 0), "k3s2p1": (3, 2, 1), "k3s2p1 table": (3, 2, 1)}
UP = {f"up {kind}": geometry for kind, geometry in DOWN.items()}
SAME = {"pairs": 3, "table": 3, "table k1": 1}
KINDS = [*SAME, *DOWN, *UP]
FEW = ["pairs", "table", *(k for k in KINDS if "k3s2p1" in k)]  # one of each way to compute


def geometry(kind):
    """Kernel size, stride and padding of the convolution, or of the one it inverts."""
    if kind in SAME:
        return SAME[kind], 1, SAME[kind] // 2
    return (DOWN | UP)[kind]


def make_map(x, kind):
    """The map of a kind over the sites of `x`, and a tensor of its input sites."""
    if kind in SAME:
        return submanifold_map(x, SAME[kind], arithmetic=kind.split()[0]), x
    way = "table" if kind.endswith("table") else "pairs"
    down = strided_map(x, *geometry(kind), arithmetic=way)
    if kind in DOWN:
        return down, x
    return inverse_map(down, x), SparseTensor(
        x.feats, down.coords, down.n, x.overflow + down.overflow, down.out_extent, down.out_stride
    )


build = jax.jit(partial(sparse_tensor, extent=EXTENT))
mapped = jax.jit(make_map, static_argnums=1)


def normal(seed, shape, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def sites(seed=0, counts=COUNTS, rows=ROWS):
    coords = reference.random_coords(seed, EXTENT, counts, rows)
    return build(np.zeros((len(counts), rows, 1), np.float32), coords, np.array(counts, np.int32))


def fill(source, feats):
    """Features in the occupied rows only."""
    return source.replace(feats=jnp.where(source.valid[..., None], jnp.asarray(feats), 0))


def make_case(kind, x, dtype=np.float32):
    """Input, weight, bias, map, and a cotangent that is not zero in rows without a site."""
    kmap, source = mapped(x, kind)
    batch, rows = source.coords.shape[:2]
    return SimpleNamespace(
        kind=kind,
        kmap=kmap,
        x=fill(source, normal(1, (batch, rows, C), dtype)),
        weight=jnp.asarray(normal(2, (kmap.volume, C, OUT), dtype)),
        bias=jnp.asarray(normal(3, (OUT,), dtype)),
        cotangent=normal(4, (batch, kmap.out_rows, OUT), dtype),
    )


@partial(jax.jit, static_argnames="differentiate")
def run(x, weight, bias, kmap, cotangent, differentiate="fast"):
    """Output tensor, and the gradients of features, weight and bias."""

    def function(feats, weight, bias):
        out = sparse_conv(x.replace(feats=feats), weight, kmap, bias, differentiate=differentiate)
        return out.feats, out

    _, pull, out = jax.vjp(function, x.feats, weight, bias, has_aux=True)
    return out, *pull(cotangent)


def run_case(case, **changes):
    differentiate = changes.pop("differentiate", "fast")
    c = SimpleNamespace(**(vars(case) | changes))
    return run(c.x, c.weight, c.bias, c.kmap, c.cotangent, differentiate)


@cache
def get_case(kind):
    return make_case(kind, sites())


@cache
def get_result(kind):
    return run_case(get_case(kind))


@pytest.fixture(params=KINDS)
def case(request):
    return get_case(request.param)


@pytest.fixture(params=FEW)
def few(request):
    return get_case(request.param)


def close(got, want, tolerance):
    """Equal up to a share of the largest value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= tolerance * max(np.abs(want).max(initial=0), 1)


# --- against dense convolution and dictionaries ---


def dense_conv(grid, weight, stride, padding):
    kernel = round(len(weight) ** (1 / 3))
    return jax.lax.conv_general_dilated(
        grid,
        weight.reshape(kernel, kernel, kernel, *weight.shape[1:]),
        (stride,) * 3,
        [(padding, padding)] * 3,
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


@partial(jax.jit, static_argnames=("kind", "out_extent"))
def run_dense(grid, weight, bias, places, cotangent, kind, out_extent):
    """A dense convolution read at `places`, with the gradients of grid, weight and bias."""
    _, stride, padding = geometry(kind)

    def function(grid, weight, bias):
        if kind in UP:
            shape = jax.ShapeDtypeStruct((len(grid), *out_extent, OUT), grid.dtype)
            down = partial(dense_conv, weight=weight.swapaxes(1, 2), stride=stride, padding=padding)
            (out,) = jax.linear_transpose(down, shape)(grid)
        else:
            out = dense_conv(grid, weight, stride, padding)
        return jax.vmap(lambda o, p: o[tuple(p.T)])(out + bias, places), out

    _, pull, out = jax.vjp(function, grid, weight, bias, has_aux=True)
    return out, *pull(cotangent)


def compare_with_dense(case, result):
    out, d_feats, d_weight, d_bias = result
    valid, out_valid = np.asarray(case.x.valid), np.asarray(out.valid)
    at, out_at = np.asarray(case.x.coords), np.asarray(out.coords)
    batch = np.arange(len(valid))[:, None]
    grid = np.zeros((len(valid), *case.x.extent, C), np.float32)
    grid[np.nonzero(valid)[0], *at[valid].T] = case.x.feats[valid]
    cotangent = case.cotangent * out_valid[..., None]
    want, d_grid, want_weight, want_bias = run_dense(
        grid, case.weight, case.bias, out_at, cotangent, case.kind, out.extent
    )
    want, d_grid = np.asarray(want), np.asarray(d_grid)
    rows = want[batch, *np.moveaxis(out_at, -1, 0)] + np.asarray(case.bias)
    close(out.feats, rows * out_valid[..., None], 6e-6)
    close(d_feats, d_grid[batch, *np.moveaxis(at, -1, 0)] * valid[..., None], 6e-6)
    close(d_weight, want_weight, 6e-6)
    close(d_bias, want_bias, 6e-6)
    return want


def test_equals_the_dense_convolution_with_its_gradients(case):
    dense = compare_with_dense(case, get_result(case.kind))
    if case.kind in DOWN:  # what the dense convolution reaches is what the sparse one holds
        out = get_result(case.kind)[0]
        for b in range(B):
            held = {tuple(c) for c in out.coords[b, : int(out.n[b])].tolist()}
            assert {tuple(c) for c in np.argwhere(np.abs(dense[b]).sum(-1) > 0)} <= held


def test_equals_the_loop_over_dictionaries(case):
    out = get_result(case.kind)[0]
    kernel, stride, padding = geometry(case.kind)
    inputs = reference.to_samples(case.x.feats, case.x.coords, case.x.n)
    outputs = reference.to_samples(out.feats, out.coords, out.n)
    loop = reference.inverse_loop if case.kind in UP else reference.conv_loop
    weight = np.asarray(case.weight, np.float64)
    for given_sites, got in zip(inputs, outputs, strict=True):
        want = loop(given_sites, weight, got, kernel, stride, padding)
        for site, value in want.items():
            np.testing.assert_allclose(got[site], value + case.bias, atol=6e-6)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, np.prod(EXTENT) - 1), max_size=ROWS), st.integers(0, 2**16))
@pytest.mark.parametrize("kind", FEW)
def test_any_set_of_sites_equals_the_dense_convolution(kind, cells, seed):
    coords = np.zeros((B, ROWS, 3), np.int32)
    order = np.random.default_rng(seed).permutation(sorted(cells)).astype(int)
    coords[0, : len(cells)] = np.stack(np.unravel_index(order, EXTENT), axis=-1)
    coords[2, 0] = np.array(EXTENT) - 1
    n = np.array([len(cells), 0, 1], np.int32)
    case = make_case(kind, build(np.zeros((B, ROWS, 1), np.float32), coords, n))
    compare_with_dense(case, run_case(case))


def test_rows_without_a_site_are_zero(case):
    out, *_ = get_result(case.kind)
    padding = ~np.asarray(out.valid)
    assert padding.any()
    assert not np.asarray(out.feats)[padding].any()
    assert not np.asarray(out.coords)[padding].any()


def test_rows_without_a_site_get_no_gradient(case):
    d_feats = get_result(case.kind)[1]
    padding = ~np.asarray(case.x.valid)
    assert padding.any()
    assert not np.asarray(d_feats)[padding].any()


@partial(jax.jit, static_argnames="differentiate")
def run_plain(x, weight, kmap, cotangent, differentiate="fast"):
    """As `run`, without a bias."""

    def function(feats, weight):
        return sparse_conv(x.replace(feats=feats), weight, kmap, differentiate=differentiate).feats

    out, pull = jax.vjp(function, x.feats, weight)
    return out, *pull(cotangent)


@cache
def get_plain(kind):
    case = get_case(kind)
    return run_plain(case.x, case.weight, case.kmap, case.cotangent)


def test_without_a_bias_only_the_bias_is_missing(few):
    out, d_feats, d_weight, _ = get_result(few.kind)
    plain = get_plain(few.kind)
    bias = np.where(np.asarray(out.valid)[..., None], few.bias, 0)
    close(out.feats, plain[0] + bias, 1e-6)
    close(d_feats[few.x.valid], plain[1][few.x.valid], 1e-6)
    close(d_weight, plain[2], 1e-6)


def test_without_a_bias_rows_without_a_site_get_no_gradient_either(few):
    d_feats = get_plain(few.kind)[1]
    assert not np.asarray(d_feats)[~np.asarray(few.x.valid)].any()


def test_the_result_lies_on_the_grid_of_the_map(case):
    out, *gradients = get_result(case.kind)
    assert (out.extent, out.stride) == (case.kmap.out_extent, case.kmap.out_stride)
    assert out.stride == ({"u": 1, "k": 2}.get(case.kind[0], 1),) * 3
    assert np.array_equal(out.n, case.kmap.n)
    for leaf in (out.feats, *gradients):
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all()
        assert np.asarray(leaf).any()


def test_the_inverse_is_the_adjoint_of_the_strided_convolution():
    for kind, geom in DOWN.items():
        down, up = get_case(kind), get_case(f"up {kind}")
        weight = normal(5, (geom[0] ** 3, C, OUT))
        y = fill(up.x, normal(6, (*up.x.coords.shape[:2], OUT)))
        forward = jax.jit(sparse_conv)(down.x, weight, down.kmap).feats
        back = jax.jit(sparse_conv)(y, weight.swapaxes(1, 2), up.kmap).feats
        left = np.vdot(np.asarray(forward, np.float64), y.feats)
        right = np.vdot(np.asarray(back, np.float64), down.x.feats)
        assert abs(left) > 1
        np.testing.assert_allclose(left, right, rtol=1e-6)


# --- what must not change anything ---


def test_two_runs_agree_bit_for_bit(case):
    chex.assert_trees_all_equal(run_case(case), get_result(case.kind))


def test_the_order_of_the_sites_does_not_matter(case):
    x = sites()
    rows = np.arange(ROWS)
    order = np.stack(
        [np.r_[np.random.default_rng(b).permutation(n), rows[n:]] for b, n in enumerate(COUNTS)]
    )
    coords = np.take_along_axis(np.asarray(x.coords), order[..., None], axis=1)
    tag = order[..., None].astype(np.float32)
    shuffled = build(tag, coords, np.array(COUNTS, np.int32))
    valid = np.asarray(x.valid)
    assert np.array_equal(shuffled.feats[..., 0], np.where(valid, rows, 0))
    shuffled = shuffled.replace(feats=x.feats)
    chex.assert_trees_all_equal(run_case(make_case(case.kind, shuffled)), get_result(case.kind))


def test_more_capacity_leaves_every_row_and_only_reorders_sums(few):
    out, d_feats, d_weight, d_bias = get_result(few.kind)
    kmap, source = mapped(sites(rows=2 * ROWS), few.kind)
    extra = source.capacity - few.x.capacity, kmap.out_rows - few.kmap.out_rows
    pad = [((0, 0), (0, more), (0, 0)) for more in extra]
    wide = run_case(
        few,
        kmap=kmap,
        x=source.replace(feats=np.pad(few.x.feats, pad[0])),
        cotangent=np.pad(few.cotangent, pad[1]),
    )
    assert max(extra) == ROWS
    assert np.array_equal(wide[0].feats[:, : few.kmap.out_rows], out.feats)
    assert not np.asarray(wide[0].feats)[:, few.kmap.out_rows :].any()
    close(wide[1][:, : few.x.capacity], d_feats, 1e-6)
    close(wide[2], d_weight, 1e-6)
    close(wide[3], d_bias, 1e-6)


def test_a_vmapped_batch_equals_the_batch_and_a_loop_over_samples(few):
    def alone(x, cotangent, sample_sites):
        x, sample_sites = jax.tree.map(lambda leaf: leaf[None], (x, sample_sites))
        kmap, _ = make_map(sample_sites, few.kind)
        out, d_feats, d_weight = run_plain(x, few.weight, kmap, cotangent[None])
        return out[0], d_feats[0], d_weight

    batch = few.x, few.cotangent, sites()
    results = [jax.jit(jax.vmap(alone))(*batch)]
    if few.kind == "pairs":
        single = jax.jit(alone)
        loop = [single(*jax.tree.map(lambda leaf, b=b: leaf[b], batch)) for b in range(B)]
        results.append(jax.tree.map(lambda *leaves: np.stack(leaves), *loop))
    want = get_plain(few.kind)
    for out, d_feats, d_weight in results:
        close(out, want[0], 1e-6)
        close(d_feats, want[1], 2e-6)
        close(d_weight.sum(axis=0), want[2], 2e-6)


def test_steps_that_share_a_map_equal_one_after_the_other(few):
    steps = [few, SimpleNamespace(**vars(few))]
    steps[1].x = few.x.replace(feats=few.x.feats[..., ::-1] * 2)
    steps[1].cotangent = few.cotangent[..., ::-1]
    x = few.x.replace(feats=jnp.stack([s.x.feats for s in steps]))
    cotangent = np.stack([s.cotangent for s in steps])
    together = run_case(few, x=x, cotangent=cotangent)
    single = [run_case(s) for s in steps]
    assert together[0].feats.shape == (T, B, few.kmap.out_rows, OUT)
    close(together[0].feats, np.stack([s[0].feats for s in single]), 1e-6)
    close(together[1], np.stack([s[1] for s in single]), 2e-6)
    close(together[2], sum(np.asarray(s[2]) for s in single), 2e-6)
    close(together[3], sum(np.asarray(s[3]) for s in single), 2e-6)


def test_blocks_of_rows_equal_the_whole(monkeypatch):
    monkeypatch.setattr(conv, "BLOCK_BYTES", 27 * C * 4 * 64)  # 64 rows of a table

    @jax.jit  # a function of its own: nothing compiled before the change
    def blocks(x, weight, kmap):
        return sparse_conv(x, weight, kmap)

    for kind in ("table", "k3s2p1 table"):
        case = get_case(kind)
        got, pull = jax.vjp(lambda w, c=case: blocks(c.x, w, c.kmap).feats, case.weight)
        want, _, d_weight = get_plain(kind)
        close(got, want, 1e-6)
        close(pull(case.cotangent)[0], d_weight, 2e-6)


def test_jit_equals_eager():
    case = get_case("pairs")
    eager = sparse_conv(case.x, case.weight, case.kmap, case.bias)
    close(eager.feats, get_result("pairs")[0].feats, 1e-6)


def test_eight_devices_equal_one():
    counts = (9, 0, 16, 1, 5, 12, 3, 16)
    coords = reference.random_coords(0, (4, 4, 4), counts, 16)
    feats, cotangent = normal(0, (8, 16, C)), normal(1, (8, 16, C))
    x = jax.jit(partial(sparse_tensor, extent=(4, 4, 4)))(feats, coords, np.array(counts, np.int32))
    shapes = {"same": (27, C, C), "down": (27, C, OUT), "up": (27, OUT, C)}
    weights = {name: 0.3 * normal(2, shape) for name, shape in shapes.items()}

    def loss(weights, x, cotangent, axis_name):
        down = strided_map(x, 3, 2, 1)
        y = sparse_conv(x, weights["same"], submanifold_map(x, arithmetic="pairs"))
        moments = masked_moments(y.feats, y.n, axis_name=axis_name)
        ones = jnp.ones(C)
        y = y.replace(feats=masked_normalise(y.feats, y.n, *moments, ones, ones))
        y = sparse_conv(y, weights["down"], down)
        y = sparse_conv(y, weights["up"], inverse_map(down, x))
        return (y.feats * cotangent).sum(), y.feats

    def step(weights, x, cotangent, axis_name=None):
        function = jax.value_and_grad(partial(loss, axis_name=axis_name), has_aux=True)
        (total, feats), gradients = function(weights, x, cotangent)
        if axis_name is not None:
            total, gradients = jax.lax.psum((total, gradients), axis_name)
        return total, gradients, feats

    sharded = jax.shard_map(
        partial(step, axis_name="data"),
        mesh=jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)),
        in_specs=(P(), P("data"), P("data")),
        out_specs=(P(), P(), P("data")),
        check_vma=False,  # the custom derivative knows no mesh axis
    )
    one = jax.jit(step)(weights, x, cotangent)
    eight = jax.jit(sharded)(weights, x, cotangent)
    jax.tree.map(partial(close, tolerance=5e-6), eight, one)


# --- overflow and degenerate clouds ---


@pytest.mark.parametrize("kind", ["k3s2p1", "up k3s2p1"])
def test_an_overflow_is_counted_and_the_other_rows_are_whole(kind):
    whole, x = get_case("k3s2p1"), sites()
    most = int(whole.kmap.n.max())
    small = jax.jit(partial(strided_map, kernel_size=3, stride=2, padding=1, capacity=most - 1))(x)
    lost = (np.asarray(whole.kmap.n) == most).astype(np.int32)
    assert small.overflow.tolist() == lost.tolist()
    assert lost[0] == 1
    before = jnp.array([5, 0, 2], jnp.int32)
    if kind == "k3s2p1":
        case = SimpleNamespace(**(vars(whole) | {"kmap": small}))
        case.x, case.cotangent = case.x.replace(overflow=before), case.cotangent[:, : most - 1]
        out, d_feats, d_weight, d_bias = run_case(case)
        assert out.overflow.tolist() == (lost + before).tolist()
        assert np.array_equal(out.feats, get_result(kind)[0].feats[:, : most - 1])
        silent = whole.cotangent * (np.arange(whole.kmap.out_rows) < most - 1)[:, None]
        want = run_case(whole, cotangent=silent)  # as if nothing came back from the lost site
        for got, wanted in zip((d_feats, d_weight, d_bias), want[1:], strict=True):
            close(got, wanted, 1e-6)
    else:
        case = get_case(kind)
        kept = SparseTensor(
            case.x.feats[:, : most - 1], small.coords, small.n, before, small.out_extent, (2,) * 3
        )
        out = jax.jit(sparse_conv)(kept, case.weight, inverse_map(small, x), case.bias)
        assert out.overflow.tolist() == before.tolist()
        without = case.x.replace(feats=case.x.feats.at[:, most - 1 :].set(0))
        close(out.feats, run_case(case, x=without)[0].feats, 1e-6)


def test_an_empty_batch_gives_zeros_and_zero_gradients(few):
    case = make_case(few.kind, sites(counts=(0, 0, 0)))
    out, *gradients = run_case(case)
    assert out.n.tolist() == [0, 0, 0]
    for leaf in (out.feats, *gradients):
        assert not np.asarray(leaf).any()


def test_clouds_of_equal_points_and_single_points_pass_through():
    kinds = ("pairs", "k3s2p1")
    points = np.full((B, ROWS, C), 0.5, np.float32)
    points[1, 0] = 4.9, 5.9, 6.9  # x, y, z in the last voxel

    @jax.jit
    def through(points, count, weight, bias):
        extent = EXTENT[::-1]
        x = voxelize(points, count, extent=extent, voxel_size=1.0, origin=(0.0, 0.0, 0.0))
        outs = []
        for kind in kinds:
            kmap, source = make_map(x, kind)
            outs.append(sparse_conv(source, weight, kmap, bias))
        return outs

    weight, bias = get_case("pairs").weight, get_case("pairs").bias
    outs = through(points, np.array([ROWS, 1, 0], np.int32), weight, bias)
    for kind, out in zip(kinds, outs, strict=True):
        assert np.isfinite(out.feats).all()
        assert out.overflow.tolist() == [0, 0, 0]
        if kind == "k3s2p1":  # voxel (6, 5, 4) reaches 3 = 6 / 2, 2 and 3 (out of bounds), 2
            assert out.n.tolist() == [1, 1, 0]
            assert out.coords[1, 0].tolist() == [3, 2, 2]
        else:  # one site sees its own voxel only
            assert out.n.tolist() == [1, 1, 0]
            assert out.coords[1, 0].tolist() == [6, 5, 4]
            want = points[:2, 0] @ weight[13] + bias
            np.testing.assert_allclose(out.feats[:2, 0], want, rtol=1e-5, atol=1e-5)


# --- differentiation and precision ---


def test_float64_is_exact_and_gradients_are_those_of_finite_differences(few):
    kernel, stride, padding = geometry(few.kind)
    with jax.enable_x64(True):
        case = make_case(few.kind, sites(counts=(20, 4, 0), rows=20), np.float64)

        @jax.jit
        def function(feats, weight, bias):
            out = sparse_conv(fill(case.x, feats), weight, case.kmap, bias)
            assert out.coords.dtype == out.n.dtype == out.overflow.dtype == jnp.int32
            return out.feats

        arguments = case.x.feats, case.weight, case.bias
        out = function(*arguments)
        assert out.dtype == jnp.float64
        check_grads(function, arguments, order=1, modes=("rev",), atol=1e-7, rtol=1e-7)
    loop = reference.inverse_loop if few.kind in UP else reference.conv_loop
    inputs = reference.to_samples(case.x.feats, case.x.coords, case.x.n)
    outputs = reference.to_samples(out, case.kmap.coords, case.kmap.n)
    weight, bias = np.asarray(case.weight), np.asarray(case.bias)
    for sample, got in zip(inputs, outputs, strict=True):
        for site, value in loop(sample, weight, got, kernel, stride, padding).items():
            np.testing.assert_allclose(got[site], value + bias, rtol=1e-13, atol=1e-13)


def test_plain_autodiff_has_both_modes_and_agrees(few):
    tangents = fill(few.x, normal(7, few.x.feats.shape)).feats, normal(8, few.weight.shape)

    @jax.jit
    def both_modes(feats, weight, tangents, cotangent):
        def function(feats, weight):
            x = few.x.replace(feats=feats)
            return sparse_conv(x, weight, few.kmap, differentiate="both").feats

        out, pull = jax.vjp(function, feats, weight)
        return jax.jvp(function, (feats, weight), tangents)[1], (out, *pull(cotangent))

    tangent, both = both_modes(few.x.feats, few.weight, tangents, few.cotangent)
    fast = get_plain(few.kind)
    close(both[0], fast[0], 1e-6)
    close(both[1], fast[1], 2e-6)
    close(both[2], fast[2], 2e-6)
    left = np.vdot(np.asarray(tangent, np.float64), few.cotangent)
    right = sum(
        np.vdot(np.asarray(t, np.float64), g) for t, g in zip(tangents, fast[1:], strict=True)
    )
    np.testing.assert_allclose(left, right, rtol=2e-6)


@pytest.mark.parametrize("kind", ["pairs", "table"])
def test_forward_mode_through_the_fast_rule_is_an_error(kind):
    case = get_case(kind)

    def function(feats):
        return sparse_conv(case.x.replace(feats=feats), case.weight, case.kmap).feats

    for transformed in (function, jax.jit(function)):
        with pytest.raises(TypeError, match="forward-mode"):
            jax.jvp(transformed, (case.x.feats,), (case.x.feats,))
    quoted = "(jvp) to a custom_vjp function"  # JAX's own words, as the docstring has them
    assert quoted in " ".join(sparse_conv.__doc__.split())
    with pytest.raises(TypeError, match=re.escape(quoted)):
        jax.jvp(jax.jit(function), (case.x.feats,), (case.x.feats,))


def test_the_error_in_forward_mode_names_the_switch():
    case = get_case("table")

    def function(feats):
        return sparse_conv(case.x.replace(feats=feats), case.weight, case.kmap).feats

    with pytest.raises(TypeError, match='differentiate="both"'):
        jax.jvp(function, (case.x.feats,), (case.x.feats,))


def test_half_precision_is_summed_in_float32(few):
    half = few.x.replace(feats=few.x.feats.astype(jnp.bfloat16))
    weight, cotangent = (jnp.asarray(a, jnp.bfloat16) for a in (few.weight, few.cotangent))
    wide = (a.astype(jnp.float32) for a in (half.feats, weight, cotangent))
    got = run_plain(half, few.weight, few.kmap, cotangent)  # the weight in float32
    assert [a.dtype for a in got] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
    feats, weight, cotangent = wide
    want = run_plain(few.x.replace(feats=feats), weight, few.kmap, cotangent)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one.astype(jnp.float32), other, rtol=2.0**-8, atol=1e-6)


def test_integer_spikes_lose_nothing_in_half_precision(few):
    spikes = np.random.default_rng(0).integers(0, 5, few.x.feats.shape)
    weight = np.random.default_rng(1).integers(-1, 2, few.weight.shape).astype(np.float32)
    x = fill(few.x, spikes.astype(np.float32))
    half = x.replace(feats=x.feats.astype(jnp.bfloat16))
    exact = run_plain(x, weight, few.kmap, few.cotangent)[0]
    assert np.abs(exact).max() <= 256  # the integers of bfloat16
    got = run_plain(half, weight, few.kmap, jnp.asarray(few.cotangent, jnp.bfloat16))[0]
    assert np.array_equal(got, exact.astype(jnp.bfloat16))


# --- cost ---


def test_one_compilation_serves_all_sites_of_a_capacity():
    @jax.jit
    @partial(chex.assert_max_traces, n=1)
    def grad(x, weight):
        def loss(weight):
            return sparse_conv(x, weight, submanifold_map(x)).feats.sum()

        return jax.grad(loss)(weight)

    for seed in range(3):
        grad(sites(seed, counts=(30 * seed, 1, 0)), normal(seed, (27, 1, OUT)))


def test_memory_is_that_of_the_voxels_not_of_the_grid():
    rows = 500

    def loss(weight, feats, coords, n, extent):
        x = SparseTensor(feats, coords, n, n, extent)
        total = jnp.zeros(())
        for kind in ("pairs", "up k3s2p1"):
            kmap, source = make_map(x, kind)
            total += sparse_conv(
                fill(source, feats[:, : source.capacity]), weight, kmap
            ).feats.sum()
        return total

    def scratch(edge):
        shapes = (
            jax.ShapeDtypeStruct((27, C, OUT), jnp.float32),
            jax.ShapeDtypeStruct((1, 8 * rows, C), jnp.float32),
            jax.ShapeDtypeStruct((1, rows, 3), jnp.int32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
        )
        grad = jax.jit(jax.grad(loss), static_argnums=4)
        compiled = grad.lower(*shapes, (edge,) * 3).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = scratch(64), scratch(256)
    assert abs(large - small) <= 0.1 * small
    assert large < 256**3  # not one byte a cell


# --- mistakes ---


def test_a_map_of_another_tensor_is_refused():
    x, kmap, weight = (getattr(get_case("pairs"), name) for name in ("x", "kmap", "weight"))
    down, up = get_case("k3s2p1"), get_case("up k3s2p1")
    for wrong in (
        x.replace(extent=(5, 6, 8)),
        x.replace(stride=(2, 2, 2)),
        sites(rows=2 * ROWS).replace(feats=np.zeros((B, 2 * ROWS, C), np.float32)),
    ):
        with pytest.raises(ValueError, match="Build a map from this tensor"):
            sparse_conv(wrong, weight, kmap)
    with pytest.raises(ValueError, match="the inverse map was built for extent"):
        sparse_conv(down.x, up.weight, up.kmap)
    with pytest.raises(ValueError, match="the strided map was built for extent"):
        sparse_conv(up.x, down.weight, down.kmap)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": np.zeros((8, C, OUT), np.float32)}, ValueError, r"K=27 .* got \(8, 3, 4\)"),
        ({"weight": np.zeros((27, OUT, C), np.float32)}, ValueError, r"C=3 .* got \(27, 4, 3\)"),
        ({"weight": np.zeros((3, 3, 3, C, OUT), np.float32)}, ValueError, r"\[K, C, O\]"),
        ({"bias": np.zeros(OUT + 1, np.float32)}, ValueError, r"bias must have shape \(4,\)"),
        ({"differentiate": "forward"}, ValueError, '"fast" or "both"; got \'forward\''),
        ({"differentiate": None}, ValueError, '"fast" or "both"'),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_needed(change, error, message):
    case = vars(get_case("pairs"))
    arguments = {name: case[name] for name in ("x", "weight", "kmap", "bias")} | change
    with pytest.raises(error, match=message):
        sparse_conv(**arguments)


def test_integer_features_are_refused():
    case = get_case("pairs")
    spikes = case.x.replace(feats=case.x.feats.astype(jnp.int8))
    with pytest.raises(TypeError, match=r"floating point; got int8.*astype"):
        sparse_conv(spikes, case.weight, case.kmap)


@pytest.mark.parametrize("kind", FEW)
def test_a_map_of_another_batch_is_refused(kind):
    case = get_case(kind)
    fewer = jax.tree.map(lambda leaf: leaf[:-1], case.x)
    with pytest.raises(
        ValueError, match=r"map was built for a batch of 3; .* batch size 2\. Build"
    ):
        sparse_conv(fewer, case.weight, case.kmap)


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_double_weights_are_not_narrowed_in_silence(name, dtype):
    case = get_case("table k1")
    narrow = case.x.replace(feats=case.x.feats.astype(dtype))
    with jax.enable_x64(True):
        arguments = {"weight": case.weight, "bias": case.bias}
        arguments[name] = arguments[name].astype(jnp.float64)
        wanted = f"`{name}` is float64 but the features are {jnp.dtype(dtype)}: .* or cast `{name}`"
        with pytest.raises(TypeError, match=wanted):
            sparse_conv(narrow, kmap=case.kmap, **arguments)


def test_without_x64_a_numpy_array_of_doubles_is_a_float32_weight():
    case = get_case("table k1")
    out = sparse_conv(case.x, np.asarray(case.weight, np.float64), case.kmap)
    assert np.array_equal(out.feats, sparse_conv(case.x, case.weight, case.kmap).feats)
