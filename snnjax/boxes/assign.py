"""Which anchor has to find which box."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snnjax.boxes.overlap import aligned_iou


class Assignment(NamedTuple):
    """What the anchors of one sample are compared with.

    Attributes:
      positive: bool [N], anchors that must find a box.
      negative: bool [N], anchors on background; the others are ignored.
      box: the row of the box of each anchor, int32 [N]; meaningful where `positive`.
    """

    positive: Array
    negative: Array
    box: Array


def assign(
    anchors: ArrayLike,
    label: ArrayLike,
    boxes: Array,
    box_class: Array,
    *,
    positive: ArrayLike,
    negative: ArrayLike,
) -> Assignment:
    """Assign anchors to the boxes of their own class, by the overlap of axis-aligned rectangles.

    An anchor is positive if its best overlap is at least `positive`, negative if it is below
    `negative`, else ignored. Then every anchor whose overlap *equals* the largest that some box
    reaches with any anchor, if this is above 0, becomes positive too, so that every box that an
    anchor touches is learned; ties force several. It belongs to its own best box, which may be
    another one. Among equal overlaps the box in the lowest row is taken.

    Args:
      anchors: [N, 7]. label: class of each anchor, int [N].
      boxes: [M, 7]. box_class: int [M], -1 in padded rows, whose boxes are not read.
      positive, negative: overlaps for each anchor, [N], or one for all.

    Returns:
      `Assignment` of N anchors.

    >>> import numpy as np
    >>> anchors = np.array([[x, 0, 0, 4, 2, 1, 0] for x in (0.0, 1.0, 8.0)], np.float32)
    >>> boxes = jnp.array([[0.2, 0, 0, 4, 2, 1, 0], [0, 0, 0, 0, 0, 0, 0]])
    >>> found = assign(anchors, np.zeros(3, int), boxes, jnp.array([0, -1]), positive=0.6,
    ...                negative=0.45)
    >>> found.positive.tolist(), found.negative.tolist()
    ([True, True, False], [False, False, True])
    """
    if boxes.ndim != 2 or box_class.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes must be [M, 7] and box_class [M]; got {boxes.shape} and {box_class.shape}. Use "
            "jax.vmap for a batch."
        )
    anchors, label = jnp.asarray(anchors, boxes.dtype), jnp.asarray(label)
    used = (box_class >= 0) & jnp.isfinite(boxes).all(-1)
    safe = jnp.where(used[:, None], boxes, 0)
    iou = aligned_iou(anchors[:, None], safe)
    iou = jnp.where(used & (label[:, None] == box_class), iou, -1)
    # Compared for equality below: computed once, never again in another fusion.
    iou = jax.lax.optimization_barrier(iou)
    best, of_box = iou.max(1), iou.max(0)
    forced = ((iou == of_box) & (of_box > 0)).any(1)
    found = (best >= jnp.asarray(positive)) | forced
    return Assignment(
        positive=found,
        negative=(best < jnp.asarray(negative)) & ~found,
        box=iou.argmax(1).astype(jnp.int32),
    )
