"""Corners of oriented boxes, points inside them, angles.

A box is (x, y, z, dx, dy, dz, yaw): the centre, length, width and height in metres, and the
heading, counter-clockwise from +x, in the LiDAR frame (x forward, y left, z up). Functions of this
file and of `overlap.py` accept JAX arrays, and NumPy arrays, which they keep on the host in their
own precision.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PI = float(np.pi)
BOX = 7
"""Numbers of a box."""

_SIGNS = ((1, 1, -1), (1, -1, -1), (-1, -1, -1), (-1, 1, -1))
_SIGNS += tuple((x, y, 1) for x, y, _ in _SIGNS)


def namespace(*arrays: Any) -> ModuleType:
    """The module to compute with: `jax.numpy` if any of the arrays is JAX's, otherwise NumPy."""
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def check_boxes(boxes: Any, name: str = "boxes") -> None:
    """Raise unless the array has boxes on its last axis."""
    if not hasattr(boxes, "shape") or boxes.ndim < 1 or boxes.shape[-1] != BOX:
        raise ValueError(
            f"{name} must be an array [..., {BOX}] of (x, y, z, dx, dy, dz, yaw); got "
            f"{getattr(boxes, 'shape', type(boxes).__name__)}."
        )


def wrap(angle: Any, period: float = 2 * PI, start: float = -PI) -> Any:
    """Angles shifted by multiples of `period` into [start, start + period).

        angle - period * floor((angle - start) / period)

    Uses `floor`, since languages and libraries differ in the remainder of negative numbers.

    >>> round(float(wrap(np.float64(4.0))), 4)
    -2.2832
    """
    return angle - period * namespace(angle).floor((angle - start) / period)


def corners(boxes: Any) -> Any:
    """The eight corners of boxes [..., 7], as [..., 8, 3].

    The four of the bottom face first, from the front left clockwise as seen from above, then those
    above them.

    >>> corners(np.array([10.0, 0, 0, 4, 2, 1, 0]))[0].tolist()
    [12.0, 1.0, -0.5]
    """
    check_boxes(boxes)
    xp = namespace(boxes)
    offsets = xp.asarray(_SIGNS, boxes.dtype) * (boxes[..., None, 3:6] / 2)
    return to_world(offsets, boxes[..., None, :])


def to_world(offsets: Any, boxes: Any) -> Any:
    """Points given in the frames of boxes, in the frame of the boxes themselves.

    Args:
      offsets: along length, width and height from the centre, [..., 3].
      boxes: [..., 7], broadcast against the points.
    """
    xp = namespace(offsets, boxes)
    cos, sin = xp.cos(boxes[..., 6]), xp.sin(boxes[..., 6])
    x, y, z = offsets[..., 0], offsets[..., 1], offsets[..., 2]
    turned = xp.stack([cos * x - sin * y, sin * x + cos * y, z + xp.zeros_like(cos)], -1)
    return turned + boxes[..., :3]


def to_box(points: Any, boxes: Any) -> Any:
    """Points [..., 3] in the frames of boxes [..., 7], broadcast; the inverse of `to_world`.

    >>> to_box(np.array([12.0, 1.0, 0.0]), np.array([10.0, 1, 0, 4, 2, 1, 0])).tolist()
    [2.0, 0.0, 0.0]
    """
    xp = namespace(points, boxes)
    cos, sin = xp.cos(boxes[..., 6]), xp.sin(boxes[..., 6])
    d = points[..., :3] - boxes[..., :3]
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    return xp.stack([cos * x + sin * y, cos * y - sin * x, z], -1)


def points_in_boxes(points: Any, boxes: Any, *, margin: float = 0.0) -> Any:
    """Whether points lie in boxes, faces included: bool [..., M, P].

    Args:
      points: [..., P, 3] or with more channels, of which the first three are used.
      boxes: [..., M, 7]. margin: metres added to every face.

    >>> box = np.array([[10.0, 0, 0, 4, 2, 1, 0]])
    >>> points_in_boxes(np.array([[12.0, 1, 0.5], [12.1, 0, 0]]), box).tolist()
    [[True, False]]
    """
    check_boxes(boxes)
    local = to_box(points[..., None, :, :3], boxes[..., :, None, :])
    xp = namespace(local)
    half = boxes[..., :, None, 3:6] / 2 + margin
    return xp.all(xp.abs(local) <= half, axis=-1)


def image_boxes(boxes: Any, camera: Any, size: Any) -> Any:
    """The image regions (x1, y1, x2, y2) of boxes: their corners projected, clipped to the image.

    Args:
      boxes: [..., M, 7]. camera: the matrix [..., 3, 4] from the frame of the boxes to pixels.
      size: width and height of the image, [..., 2].

    Returns:
      Pixels in [0, W - 1] x [0, H - 1], [..., M, 4]. Corners behind the camera have no image: a box
      with some of them gets the full image, and a box behind the camera the empty region at 0.
    """
    xp = namespace(boxes, camera)
    size = xp.asarray(size)[..., None, :] - 1
    points = corners(boxes)
    u, v, w = (
        (points * camera[..., None, None, i, :3]).sum(-1) + camera[..., None, None, i, 3]
        for i in range(3)
    )
    ahead = w > 1e-3
    safe = xp.where(ahead, w, 1)
    low = xp.stack([xp.where(ahead, c / safe, -xp.inf).min(-1) for c in (u, v)], -1)
    high = xp.stack([xp.where(ahead, c / safe, xp.inf).max(-1) for c in (u, v)], -1)
    region = xp.concatenate([xp.clip(low, 0, size), xp.clip(high, 0, size)], -1)
    return xp.where(ahead.any(-1)[..., None], region, 0)


def nearest_rectangle(boxes: Any) -> Any:
    """The axis-aligned rectangle (x, y, dx, dy) nearest to each box seen from above, [..., 4].

    Length and width are exchanged where the heading is nearer to the y axis: if |yaw|, taken in
    [-pi/2, pi/2), is at least pi/4.
    """
    check_boxes(boxes)
    xp = namespace(boxes)
    across = xp.abs(wrap(boxes[..., 6], PI, -PI / 2)) >= PI / 4
    x, y, dx, dy = boxes[..., 0], boxes[..., 1], boxes[..., 3], boxes[..., 4]
    return xp.stack([x, y, xp.where(across, dy, dx), xp.where(across, dx, dy)], -1)
