"""Losses of centre heads and of the second stage by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.boxes import CentreTarget, RoiSample, roi_targets
from snnjax.losses import (
    centre_loss,
    code_loss,
    gaussian_focal_loss,
    roi_loss,
)


def test_centre_loss_by_hand():
    rng = np.random.default_rng(0)
    heat, codes = rng.normal(size=(6, 2)), rng.normal(size=(6, 10))
    target = np.clip(rng.uniform(-0.5, 0.9, (6, 2)), 0, 1)
    target[2, 0] = target[4, 1] = 1
    goal = rng.normal(size=(3, 10))
    goal[1, 8:] = np.nan  # velocity unknown
    goal[2] = np.nan  # a padded row
    valid = np.arange(6) < 5
    given = CentreTarget(*(jnp.asarray(a) for a in (target, [2, 4, 0], goal, [True, True, False])))
    found = jax.jit(centre_loss)(jnp.asarray(heat), jnp.asarray(codes), given, jnp.asarray(valid))
    focal = np.asarray(gaussian_focal_loss(jnp.asarray(heat), jnp.asarray(target)))[:5].sum()
    weights = np.array([1] * 6 + [0.2, 0.2, 1, 1])
    distance = (weights * np.abs(codes[2] - goal[0])).sum()
    distance += (weights * np.abs(codes[4] - goal[1]))[:8].sum()
    np.testing.assert_allclose(found, (focal + 0.25 * distance) / 2, rtol=1e-5)
    gradient = jax.grad(lambda c: centre_loss(jnp.asarray(heat), c, given, jnp.asarray(valid)))
    slope = np.asarray(gradient(jnp.asarray(codes)))
    assert np.isfinite(slope).all()
    assert slope[[2, 4]].any(1).all()
    assert not slope[[0, 1, 3, 5]].any()


@jax.jit
def second_stage(logits, codes, sample):
    """Targets, losses and gradients; compiled once."""
    targets = roi_targets(sample)

    def total(logits, codes):
        losses = roi_loss(logits, codes, sample, targets)
        return sum(losses), losses

    slopes, losses = jax.grad(total, argnums=(0, 1), has_aux=True)(logits, codes)
    return targets, losses, slopes


def rows(n=6):
    rng = np.random.default_rng(1)
    rois = rng.uniform((0, 0, -1, 3, 1, 1, -3), (40, 9, 1, 5, 2, 2, 3), (n, 7))
    boxes = rois + rng.normal(0, 0.1, (n, 7))
    iou = np.array([0.9, 0.7, 0.6, 0.3, 0.0, 0.8])
    used = np.arange(n) < n - 1
    return RoiSample(*(jnp.asarray(a) for a in (rois, boxes, iou, used)))


def test_second_stage_by_hand():
    sample = rows()
    rng = np.random.default_rng(2)
    logits, noise = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(0, 0.3, (6, 7)))
    targets, _, _ = second_stage(logits, 0 * noise, sample)
    assert targets.positive.tolist() == [True] * 3 + [False] * 3
    p, t = 1 / (1 + np.exp(-np.asarray(logits))), np.asarray(targets.confidence)
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))[:5].mean()
    _, found, slopes = second_stage(logits, targets.codes + noise, sample)
    np.testing.assert_allclose(found.confidence, entropy, rtol=1e-5)
    moved = code_loss(targets.codes + noise, targets.codes)[:3].mean()
    np.testing.assert_allclose(found.codes, moved, rtol=1e-5)
    assert [bool(s.any()) for s in np.asarray(slopes[1])] == [True] * 3 + [False] * 3
    assert [bool(s) for s in np.asarray(slopes[0])] == [True] * 5 + [False]
    _, exact, slopes = second_stage(logits, targets.codes, sample)
    assert float(exact.codes) == 0
    assert float(exact.corners) < 1e-8
    assert all(np.isfinite(s).all() for s in slopes)
    up = 0.5 * np.asarray(sample.rois)[:3, 5]  # moved up by half the height of the proposal
    expected = np.where(up < 1, up**2 / 2, up - 0.5).mean()
    _, raised, _ = second_stage(logits, targets.codes.at[:, 2].add(0.5), sample)
    np.testing.assert_allclose(raised.corners, expected, rtol=1e-4)


def test_a_sample_without_proposals_gives_0():
    empty = RoiSample(jnp.zeros((6, 7)), jnp.zeros((6, 7)), jnp.zeros(6), jnp.zeros(6, bool))
    _, losses, slopes = second_stage(jnp.ones(6), jnp.ones((6, 7)), empty)
    assert [float(part) for part in losses] == [0, 0, 0]
    assert not any(bool(s.any()) for s in slopes)
