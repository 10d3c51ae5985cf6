"""A penalty on changes from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def delta_penalty(
    levels: Sequence[ArrayLike],
    *,
    fanouts: Sequence[float] | None = None,
    mask: ArrayLike | None = None,
) -> Array:
    """The mean magnitude of changes between frames: an L1 penalty.

        d_t = k_t - k_{t-1},   t >= 2
        penalty = sum_s m_s sum |d_s| / sum_s m_s numel(d_s)

    In units of the quantisation steps, so that shrinking activations together with their step gains
    nothing. The first frame is left out: penalise it by ordinary sparsity. The gradient reaches
    both frames of a change, by its sign.

    Args:
      levels: levels of each site, k [T, B, ..., N] with T >= 2, as `DeltaActivation` records them.
      fanouts: m_s, multiply-adds that one non-zero of the site triggers; None counts 1 for all, as
        published.
      mask: [T, B], 1 for frames that count and 0 for padding; a change counts where both do.

    Returns:
      A scalar in float32, or wider.

    >>> k = jnp.array([[[3.0, 0.0]], [[3.0, 2.0]], [[1.0, 2.0]]])
    >>> float(delta_penalty([k]))
    1.0
    """
    levels = [jnp.asarray(k) for k in levels]
    weights = [1.0] * len(levels) if fanouts is None else list(fanouts)
    if not levels or len(weights) != len(levels) or min(weights) <= 0:
        raise ValueError(
            f"`fanouts` must hold a number above 0 for each of the sites, at least one; got "
            f"{len(levels)} sites and {fanouts}."
        )
    total, size = jnp.float32(0.0), jnp.float32(0.0)
    for k, weight in zip(levels, weights, strict=True):
        if k.ndim < 3 or k.shape[0] < 2:
            raise ValueError(f"`levels` must be [T, B, ..., N] with T >= 2; got shape {k.shape}.")
        change = jnp.abs(jnp.diff(k.astype(jnp.promote_types(k.dtype, jnp.float32)), axis=0))
        counts = _both(mask, k)
        total += weight * (change * counts).sum()
        size += weight * (jnp.ones_like(change) * counts).sum()
    return total / jnp.maximum(size, 1.0)


def _both(mask: ArrayLike | None, k: Array) -> Array:
    """[T - 1, B, 1, ...]: 1 where a frame and the one before it count."""
    frames = jnp.ones(k.shape[:2]) if mask is None else jnp.asarray(mask, jnp.float32)
    if frames.shape != k.shape[:2]:
        raise ValueError(f"`mask` must be [T, B] = {k.shape[:2]}; got shape {frames.shape}.")
    return (frames[1:] * frames[:-1]).reshape(k.shape[0] - 1, k.shape[1], *(1,) * (k.ndim - 2))
