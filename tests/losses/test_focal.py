"""Focal losses by hand and in their limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.losses import focal_loss, gaussian_focal_loss


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def test_focal_loss_by_hand():
    logits, target = np.array([-3.0, -0.5, 0.0, 2.0, 2.0]), np.array([0, 1, 1, 0, 1])
    p = sigmoid(logits)
    pt = np.where(target, p, 1 - p)
    for alpha, gamma in ((0.25, 2.0), (0.6, 1.0), (0.5, 0.0)):
        expected = -np.where(target, alpha, 1 - alpha) * (1 - pt) ** gamma * np.log(pt)
        found = focal_loss(jnp.asarray(logits), target, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_extreme_logits_stay_finite(target):
    logits = jnp.array([-200.0, -30.0, 0.0, 30.0, 200.0])
    for loss in (focal_loss, gaussian_focal_loss):
        total = lambda z, loss=loss: loss(z, jnp.full(5, target)).sum()  # noqa: E731
        value, gradient = jax.value_and_grad(total)(logits)
        assert bool(jnp.isfinite(value))
        assert bool(jnp.isfinite(gradient).all())


def test_gaussian_focal_loss_by_hand():
    logits, heat = np.array([0.3, -1.0, 1.0, -4.6]), np.array([1.0, 0.9, 0.2, 0.0])
    p = sigmoid(logits)
    expected = np.where(
        heat == 1, -((1 - p) ** 2) * np.log(p), -((1 - heat) ** 4) * p**2 * np.log(1 - p)
    )
    found = gaussian_focal_loss(jnp.asarray(logits), jnp.asarray(heat))
    np.testing.assert_allclose(found, expected, rtol=2e-5)
