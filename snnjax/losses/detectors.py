"""Losses of centre heads and of the second stage of a detector, for one sample."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

from snnjax.boxes import CentreTarget, RoiSample, RoiTargets, refine_rois
from snnjax.losses.boxes import code_loss, corner_loss
from snnjax.losses.focal import gaussian_focal_loss

CODE_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 1.0, 1.0)
"""Weights of the codes of a centre head: cosine and sine of the heading count less."""


class RoiLosses(NamedTuple):
    """The parts of `roi_loss`, which are added with equal weights."""

    confidence: Array
    codes: Array
    corners: Array


def centre_loss(
    heat: Array, codes: Array, target: CentreTarget, valid: Array, *, box_weight: float = 0.25
) -> Array:
    """Heat maps and codes of one head, divided by the number of its objects, at least 1.

        sum of gaussian_focal_loss / n + box_weight * sum_i w_i |code_i - target_i| / n

    Codes of objects that are NaN, such as unknown velocities, do not count.

    Args:
      heat: logits, [N, K]. codes: [N, 8] or [N, 10], as the target's. target: see
        `snnjax.boxes.centre_targets`. valid: bool [N], cells that exist. box_weight: as above.

    Returns:
      A scalar.
    """
    count = jnp.maximum(target.used.sum(), 1)
    focal = jnp.where(valid[:, None], gaussian_focal_loss(heat, target.heat), 0).sum()
    known = target.used[:, None] & jnp.isfinite(target.codes)
    difference = codes[target.cell] - jnp.where(known, target.codes, 0)
    weights = jnp.asarray(CODE_WEIGHTS[: codes.shape[-1]])
    distance = jnp.where(known, weights * jnp.abs(difference), 0).sum()
    return (focal + box_weight * distance) / count


def roi_loss(confidence: Array, codes: Array, sample: RoiSample, targets: RoiTargets) -> RoiLosses:
    """The second stage: confidence of all proposals, codes and corners of the positive ones.

    Binary cross-entropy of the confidence, averaged over the sample; smooth L1 of the codes and
    `corner_loss` of the decoded boxes, averaged over the positive proposals.

    Args:
      confidence: logits, [S]. codes: [S, 7]. sample, targets: see `snnjax.boxes.sample_rois` and
        `snnjax.boxes.roi_targets`.

    Returns:
      Three scalars.
    """
    used, positive = sample.used, targets.positive
    entropy = optax.sigmoid_binary_cross_entropy(confidence, targets.confidence)
    count = jnp.maximum(positive.sum(), 1)
    moved = code_loss(codes, targets.codes)
    far = corner_loss(refine_rois(codes, sample.rois), sample.boxes)
    return RoiLosses(
        confidence=jnp.where(used, entropy, 0).sum() / jnp.maximum(used.sum(), 1),
        codes=jnp.where(positive, moved, 0).sum() / count,
        corners=jnp.where(positive, far, 0).sum() / count,
    )
