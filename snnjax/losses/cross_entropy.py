"""Cross-entropy against hard, smoothed or soft labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike


def cross_entropy(
    logits: ArrayLike,
    label: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    smoothing: float = 0.0,
) -> Array:
    """Cross-entropy per sample against smoothed targets.

        q = (1 - smoothing) * onehot(label) + smoothing / K,    loss = -w sum_k q_k log softmax(z)_k

    Args:
      logits: z, [B, K].
      label: int [B] in 0 .. K - 1; other values give NaN, in the loss and in its gradient, since a
        traced value cannot be checked. Or float [B, K], class probabilities that sum to 1.
      weight: w, [B], 1 by default. Weight 0 gives loss 0 and no gradient for any label.
      smoothing: share of the target spread over all K classes.

    Returns:
      float32 [B]; float64 for float64 logits.

    >>> loss = cross_entropy(jnp.zeros((1, 4)), jnp.array([2]), smoothing=0.1)
    >>> round(float(loss[0]), 4)  # log 4
    1.3863
    """
    logits, label = jnp.asarray(logits), jnp.asarray(label)
    weight = None if weight is None else jnp.asarray(weight)
    soft = jnp.issubdtype(label.dtype, jnp.floating)
    if logits.ndim != 2 or label.shape != (logits.shape if soft else logits.shape[:1]):
        raise ValueError(
            f"logits must be [B, K] and label int [B] or float [B, K]; got {logits.shape} and "
            f"{label.dtype} {label.shape}."
        )
    if weight is not None and weight.shape != label.shape[:1]:
        raise ValueError(f"weight must be [B] = {label.shape[:1]}; got {weight.shape}.")
    dtype = jnp.promote_types(logits.dtype, jnp.float32)
    classes = logits.shape[-1]
    targets = label.astype(dtype) if soft else jax.nn.one_hot(label, classes, dtype=dtype)
    if smoothing:
        targets = optax.smooth_labels(targets, smoothing)
    if not soft:
        known = (label >= 0) & (label < classes)
        targets = jnp.where(known[:, None], targets, jnp.nan)
    if weight is None:
        return optax.softmax_cross_entropy(logits.astype(dtype), targets)
    targets = jnp.where((weight != 0)[:, None], targets, 0)  # 0 * NaN would be NaN
    return weight.astype(dtype) * optax.softmax_cross_entropy(logits.astype(dtype), targets)
