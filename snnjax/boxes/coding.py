"""Boxes as residuals of anchors, and the direction that these leave open."""

from __future__ import annotations

from typing import Any

from snnjax.boxes.geometry import PI, check_boxes, namespace, wrap

DIRECTION_OFFSET = 0.78539
"""Heading at which the first direction bin begins, as in the released detectors."""
LARGEST = 5.0
"""Sizes differ by at most exp(5) from the anchor's: codes are clipped before `exp`."""


def encode_boxes(boxes: Any, anchors: Any) -> Any:
    """Codes of boxes relative to anchors, broadcast: [..., 7].

        d = sqrt(l_a^2 + w_a^2)
        ((x - x_a)/d, (y - y_a)/d, (z - z_a)/h_a, ln l/l_a, ln w/w_a, ln h/h_a, yaw - yaw_a)

    Boxes of zero size give -inf; mask padded rows before, or replace them by the anchor.

    Yan, Mao and Li, "SECOND: Sparsely Embedded Convolutional Detection", Sensors 2018.

    >>> import numpy as np
    >>> anchor = np.array([10, 0, -1, 3.9, 1.6, 1.56, 0])
    >>> encode_boxes(np.array([10.4, -0.3, -0.8, 4.2, 1.7, 1.5, 0.1]), anchor).round(6).tolist()
    [0.094889, -0.071167, 0.128205, 0.074108, 0.060625, -0.039221, 0.1]
    """
    check_boxes(boxes)
    check_boxes(anchors, "anchors")
    xp = namespace(boxes, anchors)
    diagonal = xp.sqrt(anchors[..., 3] ** 2 + anchors[..., 4] ** 2)
    scale = xp.stack([diagonal, diagonal, anchors[..., 5]], -1)
    return xp.concatenate(
        [
            (boxes[..., :3] - anchors[..., :3]) / scale,
            xp.log(boxes[..., 3:6] / anchors[..., 3:6]),
            boxes[..., 6:7] - anchors[..., 6:7],
        ],
        -1,
    )


def decode_boxes(codes: Any, anchors: Any) -> Any:
    """Boxes from codes relative to anchors, the inverse of `encode_boxes`, broadcast: [..., 7]."""
    check_boxes(codes, "codes")
    check_boxes(anchors, "anchors")
    xp = namespace(codes, anchors)
    diagonal = xp.sqrt(anchors[..., 3] ** 2 + anchors[..., 4] ** 2)
    scale = xp.stack([diagonal, diagonal, anchors[..., 5]], -1)
    return xp.concatenate(
        [
            codes[..., :3] * scale + anchors[..., :3],
            xp.exp(xp.clip(codes[..., 3:6], -LARGEST, LARGEST)) * anchors[..., 3:6],
            codes[..., 6:7] + anchors[..., 6:7],
        ],
        -1,
    )


def direction_bin(yaw: Any) -> Any:
    """Which half turn a heading is in: 0 or 1, int32.

        floor(((yaw - 0.78539) mod 2 pi) / pi)

    >>> import numpy as np
    >>> direction_bin(np.array([0.0, 0.8, 3.0, 4.0])).tolist()
    [1, 0, 0, 1]
    """
    xp = namespace(yaw)
    bins = xp.floor(wrap(yaw - DIRECTION_OFFSET, 2 * PI, 0.0) / PI)
    return xp.clip(bins, 0, 1).astype(xp.int32)  # 2 pi may be reached by rounding


def with_direction(yaw: Any, bin: Any) -> Any:
    """The heading in the half turn of its bin: (yaw - 0.78539) mod pi + 0.78539 + pi * bin.

    A heading that is known up to half a turn, as the sine loss leaves it, and its `direction_bin`
    give the heading up to full turns.
    """
    return wrap(yaw - DIRECTION_OFFSET, PI, 0.0) + DIRECTION_OFFSET + PI * bin
