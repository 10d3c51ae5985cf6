"""The second stage: proposals, the sample that is learned from, its targets."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.boxes.coding import decode_boxes, encode_boxes
from snnjax.boxes.geometry import PI, to_box, to_world, wrap
from snnjax.boxes.nms import Detections, suppress
from snnjax.boxes.overlap import iou_3d


class RoiSample(NamedTuple):
    """Proposals of one sample that are learned from, S rows.

    Attributes:
      rois: [S, 7].
      boxes: the labelled box that each overlaps most, [S, 7]; the proposal itself without one.
      iou: their overlap, [S].
      used: bool [S]; False in all rows if there was no proposal.
    """

    rois: Array
    boxes: Array
    iou: Array
    used: Array


class RoiTargets(NamedTuple):
    """What the second stage is compared with.

    Attributes:
      confidence: clip((IoU - 0.25) / 0.5, 0, 1), [S].
      codes: codes of the boxes in the frames of their proposals, [S, 7].
      positive: bool [S], proposals whose boxes are learned.
    """

    confidence: Array
    codes: Array
    positive: Array


def proposals(
    boxes: Array, scores: Array, label: Array | None = None, *, top: int, limit: float, keep: int
) -> Detections:
    """Proposals of the first stage for one sample, without gradient: `suppress` at any score.

    Published settings: top 9,000, limit 0.8, keep 512 in training; 2,048, 0.7, 100 in evaluation.

    Args: as for `suppress`.
    """
    boxes, scores = jax.lax.stop_gradient((boxes, scores))
    return suppress(boxes, scores, label, top=top, limit=limit, keep=keep)


def sample_rois(
    key: Array,
    rois: Detections,
    boxes: Array,
    box_class: Array,
    *,
    size: int = 128,
    foreground: float = 0.5,
    positive: float = 0.55,
    hard: float = 0.1,
    hard_share: float = 0.8,
) -> RoiSample:
    """Draw proposals to learn from, in static shapes.

    Up to `size * foreground` proposals that overlap a labelled box of their class by `positive` or
    more, without repetition. The others are background, with repetition: `hard_share` of them, but
    not more than there are, with an overlap of at least `hard`, the rest with less; where a sort is
    missing, the other takes its place. Without background the foreground is repeated. Labelled
    boxes are not added to the proposals.

    Args:
      key: random key. rois: proposals of one sample. boxes: [M, 7]. box_class: int [M], -1 in
        padded rows. size: S.

    Returns:
      `RoiSample` of S rows, foreground first.
    """
    take, draw_hard, draw_easy, draw_fore = jax.random.split(key, 4)
    valid = rois.label >= 0
    pairs = valid[:, None] & (box_class >= 0) & (rois.label[:, None] == box_class)
    safe = jnp.where((box_class >= 0)[:, None], boxes, 0)
    overlap = jnp.where(pairs, iou_3d(rois.boxes[:, None, :7], safe), 0)
    best, own = overlap.max(1), overlap.argmax(1)
    fore = valid & (best >= positive)
    tough = valid & (best >= hard) & ~fore
    easy = valid & (best < hard)

    count = jnp.minimum(fore.sum(), int(size * foreground))
    chance = jnp.where(fore, jax.random.uniform(take, fore.shape), -1)
    first = jnp.argsort(-chance)[jnp.arange(size) % len(fore)]
    rest = size - count
    most = jnp.minimum(jnp.floor(rest * hard_share).astype(jnp.int32), tough.sum())
    most = jnp.where(easy.any(), jnp.where(tough.any(), most, 0), rest)

    def draw(key: Array, mask: Array) -> Array:
        return jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf), shape=(size,))

    rank = jnp.arange(size) - count  # among the background
    back = jnp.where(rank < most, draw(draw_hard, tough), draw(draw_easy, easy))
    back = jnp.where((tough | easy).any(), back, draw(draw_fore, fore))
    rows = jnp.where(rank < 0, first, back)
    near = best[rows] > 0
    picked = rois.boxes[rows][:, :7]
    return RoiSample(
        rois=picked,
        boxes=jnp.where(near[:, None], safe[own[rows]], picked),
        iou=best[rows],
        used=jnp.broadcast_to(valid.any(), (size,)),
    )


def roi_targets(sample: RoiSample, *, positive: float = 0.55) -> RoiTargets:
    """Targets of the second stage, see `RoiTargets`.

    The box is moved into the frame of its proposal; the difference of headings is folded into
    [-pi/2, pi/2], by half a turn if the box points backwards.

    Args:
      sample: proposals with their boxes. positive: overlap above which boxes are learned.

    Deng et al., "Voxel R-CNN: Towards high performance voxel-based 3D object detection", AAAI 2021.
    """
    rois, boxes = sample.rois, sample.boxes
    local = to_box(boxes[:, :3], rois)
    turn = wrap(boxes[:, 6] - rois[:, 6], PI, -PI / 2)
    moved = jnp.concatenate([local, boxes[:, 3:6], turn[:, None]], -1)
    learned = sample.used & (sample.iou > positive)
    anchors = _at_origin(rois)
    return RoiTargets(
        confidence=jnp.clip((sample.iou - 0.25) / 0.5, 0, 1),
        codes=encode_boxes(jnp.where(learned[:, None], moved, anchors), anchors),
        positive=learned,
    )


def refine_rois(codes: Array, rois: Array) -> Array:
    """Boxes from the codes of the second stage: [..., 7] in the frames of proposals [..., 7]."""
    local = decode_boxes(codes, _at_origin(rois))
    yaw = wrap(local[..., 6:7] + rois[..., 6:7])
    return jnp.concatenate([to_world(local[..., :3], rois), local[..., 3:6], yaw], -1)


def _at_origin(rois: Array) -> Array:
    """Boxes of the size of proposals at the origin, with heading 0; those without size have 1 m."""
    size = jnp.where(rois[..., 3:6] > 0, rois[..., 3:6], 1)
    zero = jnp.zeros_like(rois[..., :3])
    return jnp.concatenate([zero, size, zero[..., :1]], -1)
