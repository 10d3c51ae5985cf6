"""The classification objective."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jax import Array


def cross_entropy(logits: Array, label: Array, *, smoothing: float = 0.0) -> Array:
    """Cross-entropy per sample against smoothed targets.

        q = (1 - smoothing) * onehot(label) + smoothing / K,    loss = -sum_k q_k log softmax(z)_k

    Args:
      logits: z, [B, K].
      label: int [B] in 0 .. K - 1. The caller checks the range: a traced value cannot be.
      smoothing: share of the target spread over all K classes.

    Returns:
      float32 [B]; float64 for float64 logits.

    >>> loss = cross_entropy(jnp.zeros((1, 4)), jnp.array([2]), smoothing=0.1)
    >>> round(float(loss[0]), 4)  # log 4
    1.3863
    """
    if logits.ndim != 2 or label.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be [B, K] and label [B]; got {logits.shape} and {label.shape}."
        )
    dtype = jnp.promote_types(logits.dtype, jnp.float32)
    targets = jnp.eye(logits.shape[-1], dtype=dtype)[label]
    if smoothing:
        targets = optax.smooth_labels(targets, smoothing)
    return optax.softmax_cross_entropy(logits.astype(dtype), targets)
