"""Classification accuracy and the confusion matrix."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def accuracy(logits: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """The weighted fraction of samples whose largest logit is the label's.

    Args:
      logits: [B, K].
      labels: int [B].
      weight: [B], 0 for rows that do not count; None counts all.

    Returns:
      A float scalar; 0 if every weight is 0. A sample with a NaN logit counts as wrong.

    >>> float(accuracy(jnp.array([[1.0, 2.0], [3.0, 0.0]]), jnp.array([1, 1])))
    0.5
    """
    return top_k_accuracy(logits, labels, 1, weight)


def top_k_accuracy(
    logits: ArrayLike, labels: ArrayLike, k: int, weight: ArrayLike | None = None
) -> Array:
    """The weighted fraction of samples whose label is among the `k` largest logits.

    Equal logits are ranked by class index, as in `argmax`. Arguments as in `accuracy`.

    >>> float(top_k_accuracy(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([1]), 2))
    1.0
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    weight = None if weight is None else jnp.asarray(weight)
    _check(logits, labels, weight)
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k must be between 1 and K={logits.shape[1]}; got {k}.")
    own = jnp.take_along_axis(logits, labels[:, None], axis=1, mode="fill", fill_value=jnp.nan)
    before = jnp.arange(logits.shape[1]) < labels[:, None]
    above = ~(logits < own) & ~((logits == own) & ~before)  # NaN compares False: ranks above
    hit = (jnp.sum(above, axis=1) < k) & (labels >= 0)  # a negative index would wrap
    w = jnp.ones(labels.shape, jnp.float32) if weight is None else weight
    return jnp.sum(jnp.where(hit, w, 0)) / jnp.maximum(jnp.sum(w), jnp.finfo(jnp.float32).tiny)


def confusion_matrix(
    predictions: np.ndarray | Array,
    labels: np.ndarray | Array,
    num_classes: int,
    weight: np.ndarray | Array | None = None,
) -> np.ndarray:
    """Counts of (true class, predicted class), on the host.

    Args:
      predictions: int [B] classes, or logits [B, K].
      labels: int [B].
      num_classes: K.
      weight: [B]; rows of weight 0 are left out, others count once. None counts all.

    Returns:
      int64 [K, K], row = true class, column = predicted class. Matrices of batches add up.

    Raises:
      ValueError: a class outside [0, K).

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim == 2:
        predictions = predictions.argmax(axis=1)
    keep = np.ones(labels.shape, bool) if weight is None else np.asarray(weight) != 0
    if not predictions.shape == labels.shape == keep.shape or labels.ndim != 1:
        raise ValueError(
            "predictions, labels and weight must agree in length; got "
            f"{predictions.shape}, {labels.shape} and {keep.shape}."
        )
    for name, value in (("labels", labels[keep]), ("predictions", predictions[keep])):
        if not np.issubdtype(value.dtype, np.integer):
            raise TypeError(f"{name} must be integers; got {value.dtype}.")
        if value.size and not 0 <= value.min() <= value.max() < num_classes:
            raise ValueError(
                f"{name} must lie in [0, {num_classes}); got {value.min()} to {value.max()}. "
                "Set num_classes to the number of classes of the dataset."
            )
    flat = labels[keep].astype(np.int64) * num_classes + predictions[keep]
    return np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)


def _check(logits: Array, labels: Array, weight: Array | None) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be [B, K] and labels [B]; got {logits.shape} and {labels.shape}. "
            "Average logits [T, B, K] over time first."
        )
    if weight is not None and weight.shape != labels.shape:
        raise ValueError(f"weight must be [B]={labels.shape}; got {weight.shape}.")
