"""Moments over occupied rows against NumPy, alone and over eight devices."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from snnjax.sparse import masked_moments, masked_normalise

T, B, N, C = 3, 8, 5, 4
COUNTS = np.array([5, 0, 3, 1, 2, 5, 4, 0], np.int32)
VALID = np.arange(N) < COUNTS[:, None]

moments = jax.jit(masked_moments)
normalise = jax.jit(masked_normalise)


def features(seed=0, shape=(B, N, C)):
    rng = np.random.default_rng(seed)
    feats = 2 * rng.normal(size=shape) + np.arange(C)
    return np.where(VALID[..., None], feats, 0).astype(np.float32)


@pytest.mark.parametrize("shape", [(B, N, C), (T, B, N, C)], ids=["alone", "over time"])
def test_moments_are_those_of_the_occupied_rows(shape):
    feats = features(shape=shape)
    rows = feats.reshape(-1, B, N, C)[:, VALID].reshape(-1, C).astype(np.float64)
    mean, var = moments(feats, COUNTS)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(var, rows.var(0), rtol=2e-6)


def test_normalised_rows_have_mean_shift_and_variance_scale():
    feats = features(1)
    scale, shift = jnp.linspace(0.5, 2, C), jnp.linspace(-1, 1, C)
    out = np.asarray(normalise(feats, COUNTS, *moments(feats, COUNTS), scale, shift))
    assert not out[~VALID].any()  # although the shift is not zero
    rows = out[VALID].astype(np.float64)
    np.testing.assert_allclose(rows.mean(0), shift, atol=2e-6)
    raw = feats[VALID].astype(np.float64)
    np.testing.assert_allclose(
        rows, scale * (raw - raw.mean(0)) / np.sqrt(raw.var(0) + 1e-3) + shift, atol=5e-6
    )


def test_an_empty_batch_has_finite_moments_and_gradients():
    empty, none = np.zeros((B, N, C), np.float32), np.zeros(B, np.int32)

    def loss(feats, scale):
        mean, var = masked_moments(feats, none)
        return masked_normalise(feats, none, mean, var, scale, scale).sum()

    mean, var = moments(empty, none)
    assert not np.asarray(mean).any()
    assert not np.asarray(var).any()
    for grad in jax.jit(jax.grad(loss, (0, 1)))(empty, jnp.ones(C)):
        assert np.array_equal(grad, np.zeros_like(grad))


def test_rows_without_a_site_do_not_count_and_have_no_gradient():
    feats = features(8)
    dirty = np.where(VALID[..., None], feats, 7).astype(np.float32)
    for clean, other in zip(moments(feats, COUNTS), moments(dirty, COUNTS), strict=True):
        assert np.array_equal(clean, other)
    grad = jax.jit(jax.grad(lambda f: sum(m.sum() for m in masked_moments(f, COUNTS))))(dirty)
    assert not np.asarray(grad)[~VALID].any()
    assert np.asarray(grad)[VALID].any()


def test_a_constant_channel_has_no_negative_variance():
    feats = np.where(VALID[..., None], np.float32(1000.1), 0).astype(np.float32)
    feats = np.broadcast_to(feats, (B, N, C))
    mean, var = moments(feats, COUNTS)
    assert (np.asarray(var) >= 0).all()
    ones = jnp.ones(C)
    assert np.isfinite(normalise(feats, COUNTS, mean, var, ones, ones)).all()


def test_more_capacity_changes_the_sums_in_their_order_only():
    feats = features(2)
    doubled = np.pad(feats, ((0, 0), (0, N), (0, 0)))
    for one, two in zip(moments(feats, COUNTS), moments(doubled, COUNTS), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        feats, weight = features(3).astype(np.float64), features(4).astype(np.float64)
        scale = jnp.linspace(0.5, 2, C)

        @jax.jit
        def loss(feats):
            mean, var = masked_moments(feats, COUNTS)
            return (masked_normalise(feats, COUNTS, mean, var, scale, scale) * weight).sum()

        grad = np.asarray(jax.jit(jax.grad(loss))(feats))
        rng = np.random.default_rng(0)
        for _ in range(5):
            step = np.where(VALID[..., None], rng.normal(size=feats.shape), 0)
            numeric = (loss(feats + 1e-5 * step) - loss(feats - 1e-5 * step)) / 2e-5
            np.testing.assert_allclose((grad * step).sum(), numeric, rtol=1e-7)


def test_half_precision_is_summed_in_float32():
    feats = jnp.asarray(features(5, (T, B, N, C)), jnp.bfloat16)
    mean, var = moments(feats, COUNTS)
    assert mean.dtype == var.dtype == jnp.float32
    wide = moments(feats.astype(jnp.float32), COUNTS)
    assert np.array_equal(mean, wide[0])
    assert np.array_equal(var, wide[1])
    out = normalise(feats, COUNTS, mean, var, jnp.ones(C), jnp.zeros(C))
    assert out.dtype == jnp.bfloat16
    want = normalise(feats.astype(jnp.float32), COUNTS, mean, var, jnp.ones(C), jnp.zeros(C))
    assert np.array_equal(out, want.astype(jnp.bfloat16))


def test_float64_stays_float64():
    with jax.enable_x64(True):
        feats = features(6).astype(np.float64) + 1e-10 * VALID[..., None]
        mean, var = moments(feats, COUNTS)
        assert mean.dtype == var.dtype == jnp.float64
        np.testing.assert_allclose(mean, feats[VALID].mean(0), rtol=1e-14)
        ones = jnp.ones(C, jnp.float32)  # parameters may stay in float32
        assert normalise(feats, COUNTS, mean, var, ones, ones).dtype == jnp.float64


def test_eight_devices_have_the_moments_of_one():
    feats = features(7, (T, B, N, C))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.shard_map(
        partial(masked_moments, axis_name="data"),
        mesh=mesh,
        in_specs=(P(None, "data"), P("data")),
        out_specs=P(),
    )
    for one, eight in zip(moments(feats, COUNTS), jax.jit(sharded)(feats, COUNTS), strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-6)
