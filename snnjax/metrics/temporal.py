"""The amount of change from frame to frame, and the cost of products with the changes."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def temporal_sparsity(levels: ArrayLike) -> Array:
    """The fraction of levels [T, ..., N], T >= 2, that equal those of the previous frame.

    >>> float(temporal_sparsity(jnp.array([[[3, 0]], [[3, 2]], [[1, 2]]])))
    0.5
    """
    levels = jnp.asarray(levels)
    if levels.ndim < 2 or levels.shape[0] < 2:
        raise ValueError(f"`levels` must be [T, ..., N] with T >= 2; got shape {levels.shape}.")
    return (levels[1:] == levels[:-1]).mean(dtype=jnp.float32)


def effective_macs(levels: Sequence[ArrayLike], fanouts: Sequence[float]) -> Array:
    """Multiply-adds of products that skip zeros: the first frame in full, then the changes.

        sum_s m_s (nnz(k_1) + sum_{t >= 2} nnz(k_t - k_{t-1}))

    Args:
      levels: levels of each site, [T, B, ..., N]. fanouts: m_s, multiply-adds per non-zero.

    Returns:
      A scalar, over all frames and samples, in float32.

    >>> float(effective_macs([jnp.array([[[3, 0]], [[3, 2]], [[1, 2]]])], [10.0]))
    30.0
    """
    if len(levels) != len(fanouts):
        raise ValueError(f"got {len(levels)} sites and {len(fanouts)} fanouts; give one for each.")
    total = jnp.float32(0.0)
    for k, fanout in zip(map(jnp.asarray, levels), fanouts, strict=True):
        changed = (k[:1] != 0).sum(dtype=jnp.int32) + (k[1:] != k[:-1]).sum(dtype=jnp.int32)
        total += fanout * changed
    return total
