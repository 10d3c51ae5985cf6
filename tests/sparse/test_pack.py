"""Packed samples compute what they compute alone, in fewer rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import (
    SparseTensor,
    global_max_pool,
    global_mean_pool,
    inverse_map,
    masked_moments,
    pack,
    packable,
    sparse_conv,
    sparse_tensor,
    spatial_pyramid_pool,
    strided_map,
    submanifold_map,
)

EXTENT, CHANNELS = (4, 4, 4), 3
COUNTS = (5, 0, 64, 1, 17, 2)  # an empty one, a full one, single sites


def clouds(seed: int = 0) -> SparseTensor:
    """Six samples of random sites in 64 rows each; the full one touches both ends of z."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.unravel_index(np.arange(64), EXTENT), axis=-1)
    coords = np.stack([cells[rng.permutation(64)] for _ in COUNTS])
    feats = rng.integers(-1, 2, (len(COUNTS), 64, CHANNELS)).astype(np.float32)
    return sparse_tensor(
        jnp.asarray(feats),
        jnp.asarray(coords, jnp.int32),
        jnp.asarray(COUNTS, jnp.int32),
        extent=EXTENT,
    )


def by_site(x: SparseTensor) -> dict[tuple[int, ...], tuple[float, ...]]:
    """Features by (sample, z, y, x), whether samples are packed or not."""
    pitch = x.extent[0] // x.samples
    found = {}
    for b, n in enumerate(np.asarray(x.n)):
        for coords, feats in zip(
            np.asarray(x.coords)[b, :n], np.asarray(x.feats)[b, :n], strict=True
        ):
            sample = b * x.samples + int(coords[0]) // pitch
            place = (sample, int(coords[0]) % pitch, int(coords[1]), int(coords[2]))
            assert place not in found
            found[place] = tuple(map(float, feats))
    return found


@pytest.mark.parametrize("samples", [1, 2, 6])
def test_packing_moves_every_site_and_keeps_the_order_of_keys(samples):
    x = clouds()
    packed = pack(x, samples, depth=2)
    assert packed.coords.shape[0] == len(COUNTS) // samples
    assert by_site(packed) == by_site(x)
    keys = np.asarray(packed.coords) @ np.array([1000, 10, 1])
    for row, n in zip(keys, np.asarray(packed.n), strict=True):
        assert np.all(np.diff(row[:n]) > 0)
    assert not np.asarray(packed.feats)[~np.asarray(packed.valid)].any()
    assert not np.asarray(packed.coords)[~np.asarray(packed.valid)].any()


def network(x: SparseTensor, weights: tuple[jax.Array, ...]) -> tuple[SparseTensor, ...]:
    """A submanifold convolution at each of three levels, and the strided ones between them."""
    outs = []
    for level, weight in enumerate(weights[:3]):
        x = sparse_conv(x, weight, submanifold_map(x, 3, arithmetic="pairs"))
        outs.append(x)
        if level < 2:
            x = sparse_conv(x, weights[3], strided_map(x, 2, 2))
    return tuple(outs)


Alone = tuple[tuple[jax.Array, ...], tuple[SparseTensor, ...]]


@pytest.fixture(scope="module")
def alone() -> Alone:
    """Weights, and what the network gives without packing; integers add up alike in any order."""
    rng = np.random.default_rng(1)
    shapes = [(27, CHANNELS, CHANNELS)] * 3 + [(8, CHANNELS, CHANNELS)]
    weights = tuple(jnp.asarray(rng.integers(-1, 2, s).astype(np.float32)) for s in shapes)
    return weights, jax.jit(network)(clouds(), weights)


@pytest.mark.parametrize("samples", [2, 6])
def test_no_convolution_sees_a_neighbouring_sample(samples: int, alone: Alone) -> None:
    weights, outs = alone
    x = pack(clouds(), samples, rows=96 * samples // 2, depth=2)
    for one, many in zip(outs, jax.jit(network)(x, weights), strict=True):
        assert by_site(many) == by_site(one)
        np.testing.assert_array_equal(global_mean_pool(many), global_mean_pool(one))
        np.testing.assert_array_equal(global_max_pool(many), global_max_pool(one))
        for a, b in zip(
            masked_moments(many.feats, many.n), masked_moments(one.feats, one.n), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_steps_of_time_are_packed_alike():
    x = clouds()
    series = x.replace(feats=jnp.stack([x.feats, 2 * x.feats]))
    packed = pack(series, 3)
    np.testing.assert_array_equal(packed.feats[1], 2 * packed.feats[0])
    np.testing.assert_array_equal(packed.feats[0], pack(x, 3).feats)
    np.testing.assert_array_equal(global_mean_pool(packed), global_mean_pool(series))


def test_sums_by_sample_skip_nobody():
    x = clouds()
    counts = pack(x, 3).sum_rows(jnp.asarray(pack(x, 3).valid, jnp.int32))
    assert counts.tolist() == list(COUNTS)


def test_what_does_not_fit_is_counted_and_corrupts_nothing():
    x = clouds()
    held = by_site(pack(x, 6, rows=70))
    assert int(pack(x, 6, rows=70).overflow[0]) == sum(COUNTS) - 70
    whole = by_site(x)
    assert len(held) == 70
    assert all(whole[place] == feats for place, feats in held.items())


def test_gradients_reach_the_unpacked_features():
    x = clouds()
    grad = jax.grad(lambda f: (pack(x.replace(feats=f), 3).feats ** 2).sum())(x.feats)
    np.testing.assert_array_equal(grad, 2 * x.feats)


def test_impossible_packings():
    x = clouds()
    with pytest.raises(ValueError, match="samples must divide a batch"):
        pack(x, 4)
    with pytest.raises(ValueError, match="not packed yet"):
        pack(pack(x, 2), 3)
    with pytest.raises(ValueError, match="depth >= 0"):
        pack(x, 2, depth=-1)
    with pytest.raises(ValueError, match="one sample"):
        spatial_pyramid_pool(pack(x, 2))
    assert packable(EXTENT, 6, 2)
    assert not packable((1408, 1408, 128), 24, 3)


def test_maps_that_would_join_samples_are_refused():
    x = clouds()
    flat, deep = pack(x, 2), pack(x, 2, depth=1)
    assert (flat.gap, deep.gap) == (1, 2)
    with pytest.raises(ValueError, match="a kernel of 5 reaches 2 planes, but only"):
        submanifold_map(flat, 5)
    submanifold_map(deep, 5)
    with pytest.raises(ValueError, match="must be a multiple of the stride"):
        strided_map(flat, 2, 2)
    with pytest.raises(ValueError, match="hold the 6 planes of the output"):
        strided_map(flat, 1, 1, 1)
    down = strided_map(deep, 2, 2)
    low = sparse_conv(deep, jnp.ones((8, CHANNELS, 1)), down)
    assert (low.gap, low.extent[0]) == (1, deep.extent[0] // 2)
    with pytest.raises(ValueError, match="3 planes apart, 1 of them empty"):
        strided_map(low, 2, 2)
    up = sparse_conv(low, jnp.ones((8, 1, 1)), inverse_map(down, deep))
    assert up.gap == 2
