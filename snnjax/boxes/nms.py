"""Non-maximum suppression in static shapes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.boxes.geometry import check_boxes
from snnjax.boxes.overlap import footprint, footprint_iou
from snnjax.unroll.unroll import vary_like


class Detections(NamedTuple):
    """Detected boxes, in rows of which some are empty.

    Attributes:
      boxes: [..., K, 7] or more columns, 0 in empty rows.
      scores: [..., K] in falling order, 0 in empty rows.
      label: class of each box, int32 [..., K], -1 in empty rows.
    """

    boxes: Array
    scores: Array
    label: Array


def nms(
    boxes: Array,
    scores: Array,
    *,
    limit: float,
    keep: int,
) -> Array:
    """Rows of the best boxes, none of which overlaps a better one by more than `limit`.

    The best live box is kept and removes itself and all that overlap it by more than the limit,
    until `keep` boxes are found or none is live. The result equals that of the loop over boxes in
    the order of their scores. Among equal scores the lowest row is first.

    Args:
      boxes: [K, 7], or more columns after these.
      scores: [K]; rows with -inf or NaN are left out.
      limit: largest overlap of two kept boxes, seen from above.
      keep: number of rows returned.

    Returns:
      int32 [keep], best first; -1 after the last.

    >>> boxes = jnp.array([[0, 0, 0, 4, 2, 1, 0], [0.1, 0, 0, 4, 2, 1, 0], [9, 0, 0, 4, 2, 1, 0.0]])
    >>> nms(boxes, jnp.array([0.5, 0.9, 0.2]), limit=0.5, keep=3).tolist()
    [1, 2, -1]
    """
    if boxes.ndim != 2 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes must be [K, 7] and scores [K]; got {boxes.shape} and {scores.shape}. Use "
            "jax.vmap for a batch."
        )
    if keep < 1:
        raise ValueError(f"`keep` must be at least 1; got {keep}.")
    check_boxes(boxes[:, :7])

    # Rows are chosen, not computed: there is no gradient.
    flat = footprint(jax.lax.stop_gradient(boxes[:, :7]))
    scores = jax.lax.stop_gradient(scores)
    live = jnp.where(jnp.isnan(scores), -jnp.inf, scores)

    def more(state: tuple[Array, Array, Array]) -> Array:
        count, live, _ = state
        return (count < keep) & (live.max() > -jnp.inf)

    def pick(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, live, rows = state
        best = live.argmax()
        overlap = footprint_iou(jax.tree.map(lambda a: a[best], flat), flat)
        live = jnp.where(overlap > limit, -jnp.inf, live).at[best].set(-jnp.inf)
        return count + 1, live, rows.at[count].set(best.astype(jnp.int32))

    start = jnp.int32(0), live, jnp.full(keep, -1, jnp.int32)
    return jax.lax.while_loop(more, pick, vary_like(start, flat))[2]


def suppress(
    boxes: Array,
    scores: Array,
    label: Array | None = None,
    *,
    top: int,
    limit: float,
    keep: int,
    least: float = -jnp.inf,
) -> Detections:
    """The detections of one sample, whatever their class: the `top` best boxes through `nms`.

    Args:
      boxes: [N, 7] or more columns. scores: [N]; -inf or NaN is left out.
      label: class of each box, int [N]; None for a single class.
      top: number of boxes considered, N if there are fewer. limit, keep: as in `nms`.
      least: boxes below this score are left out.

    Returns:
      `Detections` with `keep` rows.
    """
    label = jnp.zeros(scores.shape, jnp.int32) if label is None else label
    live = jnp.where(scores >= least, scores, -jnp.inf)  # NaN compares False
    best, rows = jax.lax.top_k(live, min(top, len(scores)))
    kept = nms(boxes[rows], best, limit=limit, keep=keep)
    full, rows = kept >= 0, rows[kept]
    return Detections(
        boxes=jnp.where(full[:, None], boxes[rows], 0),
        scores=jnp.where(full, scores[rows], 0),
        label=jnp.where(full, label[rows], -1).astype(jnp.int32),
    )


def suppress_by_class(
    boxes: Array,
    scores: Array,
    *,
    top: int,
    limit: float,
    keep: int,
    least: float = -jnp.inf,
) -> Detections:
    """The detections of one sample, suppressed within each class alone, the best of all classes.

    Args:
      boxes: [N, 7], shared by the classes, or [N, K, 7]. scores: [N, K]. Others: as in `suppress`;
        `top` and `keep` apply to each class, and `keep` to the result too.
    """
    n, classes = scores.shape
    per_class = jnp.broadcast_to(
        boxes[:, None] if boxes.ndim == 2 else boxes, (n, classes, *boxes.shape[-1:])
    )

    def one(boxes: Array, scores: Array, label: Array) -> Detections:
        label = jnp.full(n, label)
        return suppress(boxes, scores, label, top=top, limit=limit, keep=keep, least=least)

    found = jax.vmap(one, in_axes=(1, 1, 0))(per_class, scores, jnp.arange(classes))
    found = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)
    live = jnp.where(found.label >= 0, found.scores, -jnp.inf)
    rows = jax.lax.top_k(live, keep)[1]
    return jax.tree.map(lambda a: a[rows], found)
