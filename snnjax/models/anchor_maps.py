"""What a detector with anchors on a map of the ground returns."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array


class AnchorMaps(NamedTuple):
    """Predictions at the A anchors of each cell of a bird's-eye-view map, H along y, W along x.

    Attributes:
      scores: logits of the K classes, [B, H, W, A * K], anchors outside, classes inside.
      boxes: codes of the boxes, [B, H, W, A * 7], see `snnjax.boxes.encode_boxes`.
      directions: logits of the two half turns, [B, H, W, A * 2], see `snnjax.boxes.direction_bin`.
      overflow: entries beyond the capacities, int32 [B]; 0 for a dense model.
    """

    scores: Array
    boxes: Array
    directions: Array
    overflow: Array | int = 0
