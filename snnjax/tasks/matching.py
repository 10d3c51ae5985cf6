"""Precision of detections from sums that are added over batches and devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.boxes import Detections
from snnjax.unroll.unroll import vary_like


def hits(
    found: Detections,
    overlap: Array,
    kind: Array,
    ignore: Array,
    limits: ArrayLike,
    *,
    bins: int,
) -> tuple[Array, Array]:
    """How many detections of one sample are right and wrong, by class and bin of the score.

    In the order of their scores, detections take the free object of their class with the largest
    overlap; without one, they are wrong unless they overlap an object that is ignored.

    Args:
      found: in falling order of scores, D rows.
      overlap: of detections and objects, [D, M]; it may also be a negative distance.
      kind: class of the objects, int [M], -1 for those that do not count.
      ignore: int [M], the class for which an object is ignored, else -1.
      limits: overlap that a match must exceed, by class, [K].
      bins: number of bins of scores in [0, 1].

    Returns:
      Right and wrong detections, float32 [K, bins] each, the highest scores in the first bin.
    """
    near = overlap > jnp.asarray(limits)[found.label][:, None]
    own = near & (found.label[:, None] == kind) & (kind >= 0)
    excused = (near & (found.label[:, None] == ignore) & (ignore >= 0)).any(1)

    def take(free: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        candidates, overlaps = row
        live = candidates & free
        best = jnp.where(live, overlaps, -jnp.inf).argmax()
        return free.at[best].set(free[best] & ~live.any()), live.any()

    free = vary_like(jnp.ones(len(kind), bool), (own, overlap))
    right = jax.lax.scan(take, free, (own, overlap))[1]
    wrong = (found.label >= 0) & ~right & ~excused
    place = jnp.clip(((1 - found.scores) * bins).astype(jnp.int32), 0, bins - 1)
    empty = jnp.zeros((np.shape(limits)[0], bins), jnp.float32)
    # Empty rows have class -1 and are neither right nor wrong: they add 0.
    at = empty.at[found.label, place]
    return at.add(right.astype(jnp.float32)), at.add(wrong.astype(jnp.float32))


def recall_and_precision(
    right: np.ndarray, wrong: np.ndarray, objects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision of the detections down to each bin, float64 [K, bins] each.

    Args: as for `binned_precision`.
    """
    right, wrong = (np.cumsum(np.float64(a), axis=-1) for a in (right, wrong))
    return right / np.maximum(objects, 1)[:, None], right / np.maximum(right + wrong, 1)


def binned_precision(right: np.ndarray, wrong: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Average precision at 40 recall levels in percent, by class, on the host.

    At each recall the largest precision at this or a larger recall counts.

    Args:
      right, wrong: detections by class and bin, [K, bins], the highest scores first.
      objects: number of objects of each class, [K].

    >>> binned_precision(np.array([[40.0, 0]]), np.array([[0.0, 9]]), np.array([40]))
    array([100.])
    """
    recall, precision = recall_and_precision(right, wrong, objects)
    largest = np.maximum.accumulate(precision[:, ::-1], axis=-1)[:, ::-1]
    levels = np.arange(1, 41) / 40
    found = np.zeros(len(right))
    for k, (r, p) in enumerate(zip(recall, largest, strict=True)):
        first = np.searchsorted(r, levels - 1e-9)
        found[k] = 100 * np.mean(np.append(p, 0)[first])
    return found
