"""Scores of semantic segmentation: the confusion matrix and intersection over union."""

from __future__ import annotations

from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

Absent = Literal["skip", "zero", "one", "unlabelled"]
"""What counts as absent, and what for: a class that has neither labels nor predictions ("skip",
"zero"), or one without labels ("one", "unlabelled")."""


def row_confusion(label: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """How often each class was given to each true class, int32 [true, predicted].

    Add matrices of batches in int64: int32 holds the points of one batch, not those of a data set.

    Args:
      label: true classes, int of any shape; negative ones are left out.
      predicted: the same shape, in 0..classes - 1; -1 (no prediction) counts as a miss of the true
        class, in an additional column.
      classes: K.

    Returns:
      [K, K + 1]; the last column counts labelled entries without a prediction.

    >>> row_confusion(jnp.array([0, 0, 1, -1]), jnp.array([0, 1, -1, 1]), 2).tolist()
    [[1, 1, 0], [0, 0, 1]]
    """
    label, predicted = jnp.asarray(label), jnp.asarray(predicted)
    if label.shape != predicted.shape:
        raise ValueError(
            f"label and predicted must have the same shape; got {label.shape} and "
            f"{predicted.shape}."
        )
    columns = classes + 1
    column = jnp.where(predicted < 0, classes, predicted)
    entry = jnp.where(label < 0, classes * columns, label * columns + column)
    counts = jnp.zeros(classes * columns, jnp.int32)
    return counts.at[entry.ravel()].add(1, mode="drop").reshape(classes, columns)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, float64 [K]; NaN without labels and predictions.

        IoU_c = C_cc / (row_c + column_c - C_cc)

    Args:
      confusion: [K, K] or, with a column of missing predictions, [K, K + 1], summed over the whole
        set: a mean over scans is another number.

    >>> class_iou(np.array([[5, 1, 0], [2, 3, 0], [0, 0, 0]])).round(3).tolist()
    [0.625, 0.5, nan]
    """
    confusion = np.asarray(confusion, np.int64)
    classes = len(confusion)
    own = np.diagonal(confusion)
    union = confusion.sum(1) + confusion[:, :classes].sum(0) - own
    return np.divide(own, union, out=np.full(classes, np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray, *, absent: Absent = "skip") -> float:
    """The mean of `class_iou`.

    Args:
      confusion: as in `class_iou`.
      absent: "skip" leaves out classes without labels and predictions; "zero" counts them as 0, the
        rule of SemanticKITTI; "one" counts classes without labels as 1, and "unlabelled" leaves
        them out, so that a wrong prediction of such a class costs the true class alone.

    >>> confusion = np.array([[5, 1, 0], [2, 3, 0], [0, 0, 0]])
    >>> [round(mean_iou(confusion, absent=rule), 4) for rule in ("zero", "one", "skip")]
    [0.375, 0.7083, 0.5625]
    """
    iou = class_iou(confusion)
    if absent in ("one", "unlabelled"):
        value = 1.0 if absent == "one" else np.nan
        iou = np.where(np.asarray(confusion).sum(1) == 0, value, iou)
    elif absent == "zero":
        iou = np.nan_to_num(iou, nan=0.0)
    elif absent != "skip":
        raise ValueError(f"absent must be one of {', '.join(get_args(Absent))}; got {absent!r}.")
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if len(known) else 0.0
