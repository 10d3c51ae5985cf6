"""Two dimensions against dense convolutions of images, and maps from above."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import (
    bev_map,
    pack,
    sparse_conv,
    sparse_plane,
    sparse_tensor,
    strided_map,
    submanifold_map,
)
from tests.reference import sparse as reference

EXTENT, COUNTS, ROWS, C, OUT = (7, 6), (25, 4, 0, 1), 30, 2, 3


def plane(dtype=jnp.float32):
    coords = reference.random_coords(0, (1, *EXTENT), COUNTS, ROWS)[..., 1:]
    feats = np.random.default_rng(0).normal(size=(len(COUNTS), ROWS, C))
    return sparse_plane(
        jnp.asarray(feats, dtype), coords, np.array(COUNTS, np.int32), extent=EXTENT
    )


def conv_2d(image, weight, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        image,
        weight.reshape(*kernel, *weight.shape[1:]),
        stride,
        [(p, p) for p in padding],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize("kind", ["submanifold", "strided"])
def test_a_plane_is_convolved_as_an_image(kind):
    """k3 on the sites, and k(2,3) s(2,1) p(0,1) on those it reaches, with gradients."""
    with jax.enable_x64(True):
        x = plane(jnp.float64)
        weight = np.random.default_rng(1).normal(size=(9 if kind == "submanifold" else 6, C, OUT))

        def sparse(feats, weight):
            y = x.replace(feats=feats)
            if kind == "submanifold":
                kmap = submanifold_map(y, (1, 3, 3))
            else:
                kmap = strided_map(y, (1, 2, 3), (1, 2, 1), (0, 0, 1))
            return sparse_conv(y, weight, kmap).dense()[:, 0]

        def dense(feats, weight):
            image = x.replace(feats=feats).dense()[:, 0]
            if kind == "strided":
                return conv_2d(image, weight, (2, 3), (2, 1), (0, 1))
            full = conv_2d(image, weight, (3, 3), (1, 1), (1, 1))
            return jnp.where((image != 0).any(-1, keepdims=True), full, 0)

        @partial(jax.jit, static_argnums=0)
        def run(function, feats, weight):
            value, pull = jax.vjp(function, feats, weight)
            return value, *pull(
                jnp.cos(jnp.arange(value.size, dtype=value.dtype).reshape(value.shape))
            )

        for got, want in zip(
            *(run(f, x.feats, jnp.asarray(weight)) for f in (sparse, dense)), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_packed_planes_do_not_see_each_other():
    x = plane()
    weight = jnp.asarray(np.random.default_rng(1).normal(size=(9, C, C)), jnp.float32)

    @jax.jit
    def network(x):
        y = sparse_conv(x, weight, submanifold_map(x, (1, 3, 3)))
        return bev_map(sparse_conv(y, weight, strided_map(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))))

    np.testing.assert_allclose(network(pack(x, 2)), network(x), rtol=1e-5, atol=1e-6)


def test_positions_of_a_plane_have_two_coordinates():
    with pytest.raises(ValueError, match=r"y, x of shape \[B, N, 2\].* Use sparse_tensor"):
        sparse_plane(jnp.ones((1, 2, 1)), jnp.zeros((1, 2, 3), int), jnp.array([2]), extent=(4, 4))


# --- from above ---


@pytest.mark.parametrize("steps", [(), (2,)], ids=["no time", "T = 2"])
def test_the_map_from_above_is_the_dense_grid_with_planes_as_channels(steps):
    extent, counts = (3, 4, 5), (20, 3, 0, 1)
    coords = reference.random_coords(0, extent, counts, 20)
    feats = np.random.default_rng(0).normal(size=(*steps, 4, 20, C)).astype(np.float32)
    x = sparse_tensor(feats, coords, np.array(counts, np.int32), extent=extent)
    dense = np.moveaxis(np.asarray(x.dense()), -4, -2)  # [T?, B, Y, X, Z, C]
    np.testing.assert_array_equal(bev_map(x, flatten=False), dense)
    flat = np.asarray(bev_map(x))
    assert flat.shape == (*steps, 4, 4, 5, 3 * C)
    for c in range(C):
        for z in range(3):
            np.testing.assert_array_equal(flat[..., c * 3 + z], dense[..., z, c])
    for samples in (2, 4):
        np.testing.assert_array_equal(bev_map(pack(x, samples, depth=1)), flat)
    grad = jax.grad(lambda f: (bev_map(x.replace(feats=f)) ** 2).sum())(x.feats)
    np.testing.assert_allclose(grad, 2 * x.feats)
