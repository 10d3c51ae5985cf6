"""Losses of codes and corners by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.boxes import corners
from snnjax.losses import code_loss, corner_loss, smooth_l1


def test_smooth_l1_meets_at_beta():
    d = np.array([-3.0, -0.12, -0.1, 0.0, 0.05, 0.5])
    beta = 1 / 9
    expected = np.where(np.abs(d) < beta, d**2 / (2 * beta), np.abs(d) - beta / 2)
    np.testing.assert_allclose(smooth_l1(jnp.asarray(d), beta), expected, rtol=1e-6)


def test_the_heading_counts_by_its_sine():
    zero = jnp.zeros(7)
    turned = lambda a: float(code_loss(zero.at[6].set(a), zero))  # noqa: E731
    assert turned(np.pi) < 1e-6
    np.testing.assert_allclose(turned(np.pi / 2), 1 - 1 / 18, rtol=1e-6)
    np.testing.assert_allclose(turned(0.05), np.sin(0.05) ** 2 * 4.5, rtol=1e-5)
    codes = jnp.array([0.05, -0.2, 0.0, 1.0, 0.0, 0.0, 0.1])
    expected = 4.5 * (0.05**2 + np.sin(0.1) ** 2) + 0.2 + 1.0 - 2 / 18
    np.testing.assert_allclose(code_loss(codes, zero), expected, rtol=1e-5)


def test_corners_may_be_turned_by_half():
    box = np.array([5.0, 1, -1, 4, 2, 1.5, 0.4])
    near, far = box + [0.3, 0, 0, 0, 0, 0, np.pi], box + [5, 0, 0, 0, 0, 0, 0]
    predicted = jnp.asarray(np.stack([box, near, far]), jnp.float32)
    truth = jnp.asarray(np.stack([box] * 3), jnp.float32)
    found = corner_loss(predicted, truth)
    turned = box + [0, 0, 0, 0, 0, 0, np.pi]
    distance = np.minimum(
        *(np.linalg.norm(corners(far) - corners(b), axis=-1) for b in (box, turned))
    )
    expected = np.where(distance < 1, distance**2 / 2, distance - 0.5).mean()
    np.testing.assert_allclose(found, [0, 0.5 * 0.09, expected], atol=1e-5)
    gradient = jax.grad(lambda p: corner_loss(p, truth).sum())(predicted)
    assert bool(jnp.isfinite(gradient).all())
