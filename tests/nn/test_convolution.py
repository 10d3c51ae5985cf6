"""Convolution and pooling against loops in NumPy and XLA's own forms, with their gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from snnjax.nn import Conv, conv, max_pool
from snnjax.nn.convolution import _products

pytestmark = pytest.mark.usefixtures("strict_promotion")

T, B, H, W, C, K, OUT = 2, 3, 5, 4, 2, 3, 3


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    shapes = (T, B, H, W, C), (K, K, C, OUT), (T, B, H, W, OUT), (T, B, H, W, C), (K, K, C, OUT)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def loop(x, weight):
    """One place and one tap at a time."""
    out = np.zeros((*x.shape[:-1], weight.shape[-1]), np.float64)
    for h, w, i, j in np.ndindex(*x.shape[-3:-1], *weight.shape[:2]):
        row, column = h + i - weight.shape[0] // 2, w + j - weight.shape[1] // 2
        if 0 <= row < x.shape[-3] and 0 <= column < x.shape[-2]:
            out[..., h, w, :] += x[..., row, column, :].astype(np.float64) @ weight[i, j]
    return out


@pytest.mark.parametrize(("patches", "few"), [(1, 8), (2 * H * W * K * K * C, 0), (2**18, 8)])
def test_conv_equals_the_loop_in_both_modes(arrays, monkeypatch, patches, few):
    """With one image a group, two of six, and all of them; taps and channels as two axes or one."""
    monkeypatch.setattr("snnjax.nn.convolution.PATCHES", patches)
    monkeypatch.setattr("snnjax.nn.convolution.FEW", few)
    x, weight, upstream, dx, dweight = arrays

    @jax.jit
    def run(x, weight, upstream, dx, dweight):
        out, pull = jax.vjp(conv, x, weight)
        tangent = jax.jvp(conv, (x, weight), (dx, dweight))[1]
        alone = jax.grad(lambda w: (conv(x, w) * upstream).sum())(weight)
        return out, tangent, pull(upstream), alone

    out, tangent, (gx, gweight), alone = run(x, weight, upstream, dx, dweight)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(out, loop(x, weight), **close)
    np.testing.assert_allclose(tangent, loop(dx, weight) + loop(x, dweight), **close)
    np.testing.assert_allclose((gx * dx).sum(), (loop(dx, weight) * upstream).sum(), rtol=1e-3)
    places = np.stack(
        [
            (loop(x, np.eye(K * K * C * OUT, dtype=np.float32)[n].reshape(weight.shape)) * upstream)
            for n in range(K * K * C * OUT)
        ]
    )
    expected = places.sum(tuple(range(1, places.ndim))).reshape(weight.shape)
    np.testing.assert_allclose(gweight, expected, **close)
    np.testing.assert_allclose(alone, expected, **close)


def test_narrow_weights_gather_their_gradient_in_float32(monkeypatch):
    """A group for each of 600 images, each adding 1: bfloat16 counts no further than 256."""
    monkeypatch.setattr("snnjax.nn.convolution.PATCHES", 1)
    x = jnp.ones((600, 2, 2, 1), jnp.bfloat16)

    def loss(weight):
        return (conv(x, weight).astype(jnp.float32) / 4).sum()

    gradient = jax.jit(jax.grad(loss))(jnp.ones((3, 3, 1, 1), jnp.bfloat16))
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        gradient[..., 0, 0].astype(jnp.float32), [[150, 300, 150], [300, 600, 300], [150, 300, 150]]
    )


def test_patches_of_all_images_are_never_held(monkeypatch):
    monkeypatch.setattr("snnjax.nn.convolution.PATCHES", 2**12)
    x, weight = jnp.ones((64, 8, 8, 4)), jnp.ones((3, 3, 4, 2))
    compiled = jax.jit(jax.grad(lambda w: conv(x, w).sum())).lower(weight).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 9 * x.nbytes / 2


def test_groups_that_do_not_divide(arrays, monkeypatch):
    x, weight = arrays[0][0], arrays[1]
    monkeypatch.setattr("snnjax.nn.convolution.PATCHES", 2 * H * W * K * K * C)
    np.testing.assert_allclose(_products(x, weight), loop(x, weight), rtol=1e-4, atol=1e-4)


def test_layer_holds_what_the_function_takes(arrays):
    layer = Conv(C, OUT, K, use_bias=True, rngs=nnx.Rngs(0))
    weight = np.asarray(layer.weight[...])
    assert weight.shape == (K, K, C, OUT)
    assert 0 < np.abs(weight).max() <= (K * K * C) ** -0.5
    layer.bias = nnx.Param(jnp.arange(float(OUT)))
    expected = loop(arrays[0], weight) + np.arange(OUT)
    np.testing.assert_allclose(layer(arrays[0]), expected, rtol=1e-4, atol=1e-5)
    assert Conv(C, OUT, K, rngs=nnx.Rngs(0)).bias is None


@pytest.mark.parametrize("size", [2, 3])
def test_pooling_and_its_gradient_are_those_of_xla(size):
    """Of spikes, so that most windows hold equal values."""
    rng = np.random.default_rng(1)
    x = (rng.random((T, B, 7, 6, C)) < 0.4).astype(np.float32)
    upstream = rng.normal(size=(T, B, 7 // size, 6 // size, C)).astype(np.float32)

    def window(x):
        edges = (1, 1, size, size, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, edges, edges, "VALID")

    both = []
    for pool in (lambda x: max_pool(x, size), window):

        @jax.jit
        def run(x, upstream, pool=pool):
            out, pull = jax.vjp(pool, x)
            return out, pull(upstream)[0]

        both.append(run(x, upstream))
    jax.tree.map(np.testing.assert_array_equal, *both)
    assert (both[0][1] != 0).sum() == upstream.size


def test_pooling_passes_nan_on():
    x = jnp.zeros((4, 4, 1)).at[0, 1].set(jnp.nan).at[3, 2].set(jnp.nan)
    np.testing.assert_array_equal(jnp.isnan(max_pool(x))[..., 0], [[True, False], [False, True]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Conv(0, 1, 3, rngs=nnx.Rngs(0)), "in_channels"),
        (lambda: Conv(1, 1, 2, rngs=nnx.Rngs(0)), "odd"),
        (lambda: conv(jnp.ones((4, 4, 2)), jnp.ones((3, 3, 1, 1))), "last axis of x"),
        (lambda: conv(jnp.ones((0, 4, 4, 1)), jnp.ones((3, 3, 1, 1))), "none of them 0"),
        (lambda: conv(jnp.ones((4, 4, 1)), jnp.ones((3, 2, 1, 1))), "odd"),
        (lambda: max_pool(jnp.ones((4, 1, 1))), "at least size=2"),
        (lambda: max_pool(jnp.ones((4, 4, 1)), 0), "size"),
    ],
)
def test_bad_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="astype"):
        conv(jnp.ones((4, 4, 1), jnp.int32), jnp.ones((3, 3, 1, 1)))
