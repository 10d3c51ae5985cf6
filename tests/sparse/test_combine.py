"""Addition, concatenation, union and merging of tensors against dense grids, with gradients."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import add, bev_map, concatenate, merge, pack, sparse_tensor, sum_over_z, union
from tests.reference import sparse as reference

EXTENT, ROWS, C = (3, 4, 5), 40, 2
FIRST, SECOND = (30, 7, 0, 1), (9, 40, 0, 3)


def cloud(seed, counts, extent=EXTENT, stride=1, channels=C, steps=()):
    rng = np.random.default_rng(seed)
    coords = reference.random_coords(seed, extent, counts, ROWS)
    feats = rng.normal(size=(*steps, len(counts), ROWS, channels)).astype(np.float32)
    n = np.array(counts, np.int32)
    return sparse_tensor(feats, coords, n, extent=extent, stride=stride)


def held(x):
    """Which cells hold a site, from above, [B, Y, X, Z]."""
    ones = x.replace(feats=x.valid[..., None].astype(jnp.float32))
    return np.asarray(bev_map(ones, flatten=False))[..., 0] > 0


def grid(x):
    return bev_map(x, flatten=False)


def check_invariant(x):
    valid = np.asarray(x.valid)
    assert not np.asarray(x.feats)[..., ~valid, :].any()
    assert not np.asarray(x.coords)[~valid].any()
    keys = np.asarray(x.coords) @ np.array([x.extent[1] * x.extent[2], x.extent[2], 1])
    for row, n in zip(keys, np.asarray(x.n), strict=True):
        assert (np.diff(row[:n]) > 0).all()


@pytest.mark.parametrize("steps", [(), (2,)], ids=["no time", "T = 2"])
def test_sums_and_channels_on_the_union_equal_the_dense_ones(steps):
    x, y = cloud(0, FIRST, steps=steps), cloud(1, SECOND, steps=steps)

    @jax.jit
    def combined(x, y):
        both = union([x, y])
        return add(both), concatenate(both)

    total, channels = combined(x, y)
    np.testing.assert_array_equal(grid(total), grid(x) + grid(y))
    np.testing.assert_array_equal(grid(channels), jnp.concatenate([grid(x), grid(y)], -1))
    np.testing.assert_array_equal(held(total.replace(feats=x.feats)), held(x) | held(y))
    assert total.capacity == 60  # the cells of the grid are fewer than the rows of both
    assert total.overflow.tolist() == [0] * 4
    check_invariant(total)
    check_invariant(channels)


def test_gradients_reach_every_row_once():
    x, y = cloud(0, FIRST), cloud(1, SECOND)

    def loss(way, a, b):
        return (way(x.replace(feats=a), y.replace(feats=b)) ** 2).sum()

    ways = lambda a, b: grid(add(union([a, b]))), lambda a, b: grid(a) + grid(b)
    got, want = (jax.jit(jax.grad(partial(loss, way), (0, 1)))(x.feats, y.feats) for way in ways)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        assert np.asarray(b).any()
    text = str(jax.make_jaxpr(jax.grad(partial(loss, ways[0])))(x.feats, y.feats))
    assert "scatter-add" not in text  # of the features; sites are set, not added


def test_equal_sites_are_combined_without_a_search():
    x = cloud(0, FIRST)
    y = x.replace(feats=2 * x.feats)
    np.testing.assert_array_equal(add([x, y]).feats, 3 * x.feats)
    both = concatenate([x, y])
    assert both.feats.shape[-1] == 2 * C
    np.testing.assert_array_equal(both.feats[..., C:], y.feats)
    assert both.coords is x.coords
    assert "sort" not in str(jax.make_jaxpr(lambda x, y: concatenate([x, y]))(x, y))


def test_the_overflow_of_branches_is_not_counted_twice():
    x = cloud(0, FIRST).replace(overflow=jnp.array([3, 0, 1, 0], jnp.int32))
    y = x.replace(overflow=jnp.array([3, 2, 0, 0], jnp.int32))
    assert add([x, y]).overflow.tolist() == [3, 2, 1, 0]


def test_sites_of_a_union_beyond_its_capacity_are_counted():
    x, y = cloud(0, FIRST), cloud(1, SECOND)
    full, small = add(union([x, y])), add(union([x, y], capacity=20))
    lost = np.maximum(np.asarray(full.n) - 20, 0)
    assert (lost > 0).any()
    assert small.overflow.tolist() == lost.tolist()
    np.testing.assert_array_equal(small.feats, full.feats[:, :20])
    np.testing.assert_array_equal(small.coords, full.coords[:, :20])


@pytest.mark.parametrize("samples", [2, 4])
def test_packed_tensors_are_combined_alike(samples):
    x, y = cloud(0, FIRST), cloud(1, SECOND)
    coarse = cloud(2, (6, 3, 0, 5), (2, 2, 3), stride=2)

    @jax.jit
    def combined(x, y, coarse):
        total = add(union([x, y]))
        return grid(total), grid(merge([x, coarse])), grid(sum_over_z(x))

    alone = combined(x, y, coarse)
    packed = combined(*(pack(t, samples, depth=d) for t, d in ((x, 1), (y, 1), (coarse, 0))))
    for got, want in zip(packed, alone, strict=True):
        assert np.asarray(want).any()
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_tensors_of_several_strides_are_summed_on_the_finest_grid():
    x = cloud(0, FIRST)
    middle, coarse = cloud(1, (6, 8, 0, 1), (2, 2, 3), 2), cloud(2, (2, 1, 0, 1), (1, 1, 2), 4)
    total = jax.jit(lambda *tensors: merge(tensors))(x, middle, coarse)
    want = np.array(x.dense())
    for each, factor in ((middle, 2), (coarse, 4)):
        dense = np.asarray(each.dense())
        z, y, x_size = (-(-e // factor) for e in EXTENT)
        want[:, ::factor, ::factor, ::factor] += dense[:, :z, :y, :x_size]
    np.testing.assert_allclose(total.dense(), want, rtol=1e-6)
    assert (total.extent, total.stride) == (x.extent, x.stride)
    assert total.overflow.tolist() == [0] * 4
    check_invariant(total)
    # a pool over planes commutes with it
    flat = merge([sum_over_z(t) for t in (x, middle, coarse)][:1])
    np.testing.assert_allclose(flat.dense()[:, 0], x.dense().sum(1), rtol=1e-5, atol=1e-6)


def test_sites_that_move_beyond_the_finest_grid_are_counted():
    x, coarse = cloud(0, FIRST), cloud(1, (27, 0, 0, 0), (3, 3, 3), 2)
    total = merge([x, coarse])
    assert total.overflow.tolist() == [27 - 2 * 2 * 3, 0, 0, 0]


def test_sums_over_z_equal_the_dense_sums_with_their_gradient():
    x = cloud(0, FIRST)
    total = jax.jit(sum_over_z)(x)
    np.testing.assert_allclose(total.dense()[:, 0], x.dense().sum(axis=1), rtol=1e-6, atol=1e-6)
    assert (total.extent, total.stride) == ((1, 4, 5), (3, 1, 1))
    assert total.n.tolist() == held(x).any(-1).sum((1, 2)).tolist()
    check_invariant(total)

    def sparse(feats):
        return (sum_over_z(x.replace(feats=feats)).feats ** 2).sum()

    def dense(feats):
        return (x.replace(feats=feats).dense().sum(axis=1) ** 2).sum()

    got, want = (jax.jit(jax.grad(f))(x.feats) for f in (sparse, dense))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    small = sum_over_z(x, capacity=5)
    assert small.overflow.tolist() == np.maximum(np.asarray(total.n) - 5, 0).tolist()
    np.testing.assert_allclose(small.feats, total.feats[:, :5], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: add([x, y]), "tensor 1 has other sites .* with `union`"),
        (lambda x, y: add([x, x.replace(feats=x.feats[..., :1])]), r"same channels; got \[2, 1\]"),
        (lambda x, y: concatenate([]), "at least one tensor"),
        (lambda x, y: merge([]), "at least one tensor"),
        (lambda x, y: union([x, y.replace(extent=(3, 4, 6))]), "same grid; .* `merge`"),
        (lambda x, y: union([x, y.replace(stride=(2, 2, 2))]), "same grid; .* `merge`"),
        (lambda x, y: union([x, cloud(0, (3, 1))]), r"batch size; got .*\[2\] and \[4\]"),
        (lambda x, y: union([x, y], capacity=0), "capacity must be at least 1"),
        (lambda x, y: merge([x.replace(stride=(2, 2, 2)), y]), "strides must be multiples"),
        (lambda x, y: merge([pack(x, 2), pack(y, 4)]), "2 samples every"),
        (lambda x, y: sum_over_z(x, capacity=0), "capacity must be at least 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(cloud(0, FIRST), cloud(1, SECOND))
