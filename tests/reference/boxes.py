"""Slow, plain geometry of boxes in float64: polygon clipping, suppression, corners."""

from __future__ import annotations

import math


def rectangle(box):
    """Corners of a box seen from above, counter-clockwise."""
    x, y, _, dx, dy, _, yaw = map(float, box[:7])
    c, s = math.cos(yaw), math.sin(yaw)
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    local = [(i * dx / 2, j * dy / 2) for i, j in signs]
    return [(x + c * u - s * v, y + s * u + c * v) for u, v in local]


def clip(polygon, a, b):
    """Sutherland and Hodgman: the part of a polygon left of the line from a to b."""

    def side(p):
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    out = []
    for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        f, g = side(p), side(q)
        if f >= 0:
            out.append(p)
        if (f > 0 > g) or (f < 0 < g):
            t = f / (f - g)
            out.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return out


def area(polygon):
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return 0.5 * sum(p[0] * q[1] - p[1] * q[0] for p, q in pairs)


def intersection(a, b):
    polygon, other = rectangle(a), rectangle(b)
    for p, q in zip(other, other[1:] + other[:1], strict=True):
        polygon = clip(polygon, p, q)
        if not polygon:
            return 0.0
    return area(polygon)


def bev_iou(a, b):
    shared = intersection(a, b)
    union = float(a[3] * a[4] + b[3] * b[4]) - shared
    return shared / union if shared > 0 else 0.0


def iou_3d(a, b):
    top = min(a[2] + a[5] / 2, b[2] + b[5] / 2)
    bottom = max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    shared = intersection(a, b) * max(top - bottom, 0.0)
    union = float(a[3] * a[4] * a[5] + b[3] * b[4] * b[5]) - shared
    return shared / union if shared > 0 else 0.0


def nms(boxes, scores, limit):
    """Rows in the order of their scores that no kept row overlaps by more than the limit."""
    kept = []
    live = [i for i in range(len(scores)) if math.isfinite(scores[i])]
    for i in sorted(live, key=lambda i: (-scores[i], i)):
        if all(bev_iou(boxes[k], boxes[i]) <= limit for k in kept):
            kept.append(i)
    return kept
