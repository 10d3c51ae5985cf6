"""Focal losses, for maps that are almost all background."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def focal_loss(
    logits: Array, target: ArrayLike, *, alpha: float = 0.25, gamma: float = 2.0
) -> Array:
    """Binary cross-entropy that hardly counts what is already right, for each entry.

        p = sigmoid(logit),   p_t = p where target is 1, 1 - p where it is 0
        loss = -alpha_t (1 - p_t)^gamma log p_t,   alpha_t = alpha or 1 - alpha

    Args:
      logits: [...]. target: 0 or 1, or between, [...]. alpha: weight of targets of 1. gamma: how
        strongly right entries are discounted; 0 leaves the weighted cross-entropy.

    Returns:
      float32 [...], or wider.

    Lin et al., "Focal loss for dense object detection", ICCV 2017.

    >>> round(float(focal_loss(jnp.array(0.0), 1.0)), 6)  # 0.25 * 0.25 * log 2
    0.043322
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    target = jnp.asarray(target, logits.dtype)
    p = jax.nn.sigmoid(logits)
    wrong = target * (1 - p) + (1 - target) * p
    weight = target * alpha + (1 - target) * (1 - alpha)
    entropy = jnp.maximum(logits, 0) - logits * target + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return weight * wrong**gamma * entropy


def gaussian_focal_loss(
    logits: Array, heat: Array, *, alpha: float = 2.0, beta: float = 4.0
) -> Array:
    """Focal loss of a heat map whose targets fall off around centres, for each entry.

        loss = -(1 - p)^alpha log p                  where heat = 1, the centres
               -(1 - heat)^beta p^alpha log(1 - p)   elsewhere

    Divide the sum by the number of centres.

    Args:
      logits: of p, [...]. heat: in [0, 1], [...]. alpha, beta: exponents.

    Returns:
      float32 [...], or wider.

    Zhou, Wang and Krähenbühl, "Objects as points", 2019 (arXiv 1904.07850).

    >>> loss = gaussian_focal_loss(jnp.zeros(2), jnp.array([1.0, 0.5]))
    >>> [round(float(x), 6) for x in loss]
    [0.173287, 0.01083]
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    p = jax.nn.sigmoid(logits)
    centre = -((1 - p) ** alpha) * jax.nn.log_sigmoid(logits)
    other = -((1 - heat) ** beta) * p**alpha * jax.nn.log_sigmoid(-logits)
    return jnp.where(heat >= 1, centre, other)
