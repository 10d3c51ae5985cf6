"""Intersection over union of boxes: rotated, seen from above and in space, and axis-aligned.

All functions work on pairs: their arguments are broadcast against each other, so that
`bev_iou(a[:, None], b)` covers all pairs of two sets, [N, M]. Sines and cosines are still computed
once for each box, and the pairs remain the last axes, on which the speed depends.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from snnjax.boxes.geometry import check_boxes, namespace, nearest_rectangle

_FLAT = 1e-9
"""Edges shorter than this along an axis are taken to cross no side of it."""

_EDGES = ((1, 1, -2, 0), (-1, 1, 0, -2), (-1, -1, 2, 0), (1, -1, 0, 2))
"""Corners of A, counter-clockwise, and the edges to the next, in half lengths and widths."""
_SORT = ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2))
"""Compare-exchanges that sort four numbers."""


def bev_intersection(a: Any, b: Any) -> Any:
    """The area that two boxes share when seen from above, for every pair.

    The boundary of A is clamped, coordinate by coordinate, into B, in the frame of B. What lies
    outside collapses onto the sides of B and encloses nothing, so the area that the clamped curve
    encloses is the intersection. Along an edge p + t e it is linear between the four

        t = (+-h_x - p_x) / e_x,   (+-h_y - p_y) / e_y,

    so, with these clipped to [0, 1] and sorted, t_0 = 0, t_5 = 1 and q_k = clamp(p + t_k e, +-h),

        area = 1/2 sum over the 4 edges and k = 0..4 of q_k x q_{k+1}

    There are no branches and no lists of vertices, and the gradient is finite everywhere.

    Args:
      a, b: boxes [..., 7], broadcast.

    Returns:
      Areas [...], at least 0; NaN only for boxes with NaN.

    >>> import numpy as np
    >>> a = np.array([0.0, 0, 0, 4, 2, 1, 0])
    >>> float(bev_intersection(a, a + np.array([2, 0, 0, 0, 0, 0, 0])))
    4.0
    """
    check_boxes(a, "a")
    check_boxes(b, "b")
    return _intersection(footprint(a), footprint(b))


class Footprint(NamedTuple):
    """Boxes seen from above, with what is computed once for each: arrays of one shape [...]."""

    x: Any
    y: Any
    length: Any
    width: Any
    cos: Any
    sin: Any


def footprint(boxes: Any) -> Footprint:
    """The footprints of boxes [..., 7]."""
    xp = namespace(boxes)
    x, y, length, width, yaw = (boxes[..., i] for i in (0, 1, 3, 4, 6))
    return Footprint(x, y, length, width, xp.cos(yaw), xp.sin(yaw))


def footprint_iou(a: Footprint, b: Footprint) -> Any:
    """`bev_iou` of footprints."""
    shared = _intersection(a, b)
    return _ratio(shared, a.length * a.width + b.length * b.width - shared)


def _intersection(a: Footprint, b: Footprint) -> Any:
    xp = namespace(*a, *b)
    dx, dy = a.x - b.x, a.y - b.y
    x, y = b.cos * dx + b.sin * dy, b.cos * dy - b.sin * dx
    cos, sin = a.cos * b.cos + a.sin * b.sin, a.sin * b.cos - a.cos * b.sin
    along = cos * a.length / 2, sin * a.length / 2
    across = -sin * a.width / 2, cos * a.width / 2
    half = b.length / 2, b.width / 2
    twice = 0.0
    for i, j, m, n in _EDGES:
        p = x + i * along[0] + j * across[0], y + i * along[1] + j * across[1]
        e = m * along[0] + n * across[0], m * along[1] + n * across[1]
        twice = twice + _clamped_edge(xp, p, e, half)
    return xp.maximum(twice / 2, 0)


def _clamped_edge(xp: Any, p: Any, e: Any, half: Any) -> Any:
    """Twice the signed area between the centre and the edge from p to p + e after clamping."""
    t = []
    for start, step, limit in zip(p, e, half, strict=True):
        safe = xp.where(xp.abs(step) < _FLAT, _FLAT, step)
        t += [xp.clip((side - start) / safe, 0, 1) for side in (limit, -limit)]
    for m, n in _SORT:
        t[m], t[n] = xp.minimum(t[m], t[n]), xp.maximum(t[m], t[n])
    q = [
        tuple(
            xp.clip(start + u * step, -limit, limit)
            for start, step, limit in zip(p, e, half, strict=True)
        )
        for u in (0.0, *t, 1.0)
    ]
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in itertools.pairwise(q))


def bev_iou(a: Any, b: Any) -> Any:
    """Intersection over union of two boxes seen from above, for every pair: [...] in [0, 1].

    Boxes without area give 0.

    >>> import numpy as np
    >>> a = np.array([0.0, 0, 0, 4, 2, 1, 0])
    >>> round(float(bev_iou(a, a + np.array([2, 0, 0, 0, 0, 0, 0]))), 6)
    0.333333
    """
    check_boxes(a, "a")
    check_boxes(b, "b")
    return footprint_iou(footprint(a), footprint(b))


def iou_3d(a: Any, b: Any) -> Any:
    """Intersection over union of the volumes of two boxes, for every pair: [...] in [0, 1]."""
    shared = bev_intersection(a, b) * _height_overlap(a, b)
    volumes = [v[..., 3] * v[..., 4] * v[..., 5] for v in (a, b)]
    return _ratio(shared, volumes[0] + volumes[1] - shared)


def aligned_iou(a: Any, b: Any) -> Any:
    """`bev_iou` of the axis-aligned rectangles that are nearest to two boxes: [...].

    This is the overlap by which anchors are assigned, see `nearest_rectangle`.
    """
    return rectangle_iou(nearest_rectangle(a), nearest_rectangle(b))


def rectangle_iou(a: Any, b: Any) -> Any:
    """Intersection over union of axis-aligned rectangles (x, y, dx, dy) [..., 4], broadcast."""
    shared = 1.0
    xp = namespace(a, b)
    for axis in (0, 1):
        low, high = (
            pick(*(v[..., axis] + sign * v[..., axis + 2] / 2 for v in (a, b)))
            for sign, pick in ((-1, xp.maximum), (1, xp.minimum))
        )
        shared = shared * xp.maximum(high - low, 0)
    return _ratio(shared, a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared)


def _height_overlap(a: Any, b: Any) -> Any:
    xp = namespace(a, b)
    top = xp.minimum(a[..., 2] + a[..., 5] / 2, b[..., 2] + b[..., 5] / 2)
    bottom = xp.maximum(a[..., 2] - a[..., 5] / 2, b[..., 2] - b[..., 5] / 2)
    return xp.maximum(top - bottom, 0)


def _ratio(shared: Any, union: Any) -> Any:
    """The ratio of areas or volumes, 0 where nothing is shared."""
    xp = namespace(shared, union)
    safe = xp.where(shared > 0, union, 1)
    return xp.where(xp.isnan(shared), shared, xp.where(shared > 0, shared / safe, 0))
