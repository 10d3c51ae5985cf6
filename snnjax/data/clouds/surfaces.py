"""Families of parametric surfaces: (u, v, proportions) to x, y, z.

Each function takes u, v float32 [b, m] in [0, 1] and q float32 [b, 1, 3], uniform numbers that
choose the proportions, and returns [b, m, 3]. Proportions are bounded so that no family
degenerates into another: an ellipsoid has three clearly unequal axes, a superquadric is pinched,
a capsule is long, a torus has a hole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Surface = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _between(q: np.ndarray, column: int, low: float, high: float) -> np.ndarray:
    """The proportion of column `column`, uniform in [low, high), shape [b, 1]."""
    return np.float32(low) + np.float32(high - low) * q[..., column]


def _circle(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angle = np.float32(2 * np.pi) * v
    return np.cos(angle), np.sin(angle)


def _square(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Once around the square [-1, 1]^2, one side per quarter of v."""

    def coordinate(w: np.ndarray) -> np.ndarray:  # two clipped triangle waves, a quarter apart
        return np.clip(8 * np.abs((w + np.float32(0.125)) % 1 - np.float32(0.5)) - 2, -1, 1)

    return coordinate(v), coordinate(v + np.float32(0.75))


def _polyline(u: np.ndarray, knots: tuple[float | np.ndarray, ...]) -> np.ndarray:
    """The piecewise-linear function through equally spaced knots."""
    s = u * np.float32(len(knots) - 1)
    return sum(
        (np.maximum(0, 1 - np.abs(s - i)) * k for i, k in enumerate(knots)), np.zeros_like(s)
    )


def _sweep(r: np.ndarray, z: np.ndarray, cross: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The profile (r, z) swept along a cross-section."""
    return _stack(r * cross[0], r * cross[1], z)


def _stack(*xyz: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*xyz), axis=-1)


def sphere(u, v, q):
    """The unit sphere."""
    angle = np.float32(np.pi) * u
    return _sweep(np.sin(angle), -np.cos(angle), _circle(v))


def ellipsoid(u, v, q):
    """Axes 1 : 0.55-0.7 : 0.25-0.4."""
    x, y = _circle(v)
    angle = np.float32(np.pi) * u
    cross = (x * _between(q, 0, 0.55, 0.7), y * _between(q, 1, 0.25, 0.4))
    return _sweep(np.sin(angle), -np.cos(angle), cross)


def superquadric(u, v, q):
    """A pinched star: every axis of the sphere's formula to the power 2.2-2.8."""
    power = _between(q, 0, 2.2, 2.8)[..., None]
    xyz = sphere(u, v, q)
    return np.sign(xyz) * np.abs(xyz) ** power


def box(u, v, q):
    """Edges 1 : 0.6-1 : 0.6-1."""
    x, y = _square(v)
    h = _between(q, 0, 0.6, 1.0)
    section = (x, y * _between(q, 1, 0.6, 1.0))
    return _sweep(_polyline(u, (0, 1, 1, 0)), _polyline(u, (-h, -h, h, h)), section)


def cylinder(u, v, q):
    """Closed; height 0.6-1.5 diameters."""
    h = _between(q, 0, 0.6, 1.5)
    return _sweep(_polyline(u, (0, 1, 1, 0)), _polyline(u, (-h, -h, h, h)), _circle(v))


def cone(u, v, q):
    """Closed; height 0.8-1.4 diameters."""
    h = _between(q, 0, 0.8, 1.4)
    return _sweep(_polyline(u, (0, 1, 0)), _polyline(u, (-h, -h, h)), _circle(v))


def pyramid(u, v, q):
    """Square base; height 0.7-1.2 edges."""
    h = _between(q, 0, 0.7, 1.2)
    return _sweep(_polyline(u, (0, 1, 0)), _polyline(u, (-h, -h, h)), _square(v))


def capsule(u, v, q):
    """A cylinder between two half-spheres; total length 2-2.7 diameters."""
    h = _between(q, 0, 1.0, 1.7)
    angle = np.float32(np.pi / 2) * (np.clip(3 * u, 0, 1) + np.clip(3 * u - 2, 0, 1))
    return _sweep(np.sin(angle), h * _polyline(u, (-1, -1, 1, 1)) - np.cos(angle), _circle(v))


def torus(u, v, q):
    """Tube radius 0.2-0.4 of the ring radius."""
    r = _between(q, 0, 0.2, 0.4)
    cos, sin = _circle(u)
    return _sweep(1 + r * cos, r * sin, _circle(v))


def helix(u, v, q):
    """A tube wound 2-3 times round an axis (open ends)."""
    turns, h, tube = _between(q, 0, 2, 3), _between(q, 1, 0.9, 1.3), _between(q, 2, 0.12, 0.18)
    x, y = _circle(u * turns)
    cos, sin = _circle(v)
    length = np.sqrt((2 * np.float32(np.pi) * turns) ** 2 + (2 * h) ** 2)
    along, up = 2 * h / length, 2 * np.float32(np.pi) * turns / length
    radial = 1 + tube * cos
    side = tube * sin  # along tangent x normal = (-along y, along x, -up)
    return _stack(
        radial * x - side * along * y,
        radial * y + side * along * x,
        h * (2 * u - 1) - side * up,
    )


def cross(u, v, q):
    """Three tubes along the axes through the origin, radius 0.12-0.22, unequal lengths."""
    axis = np.minimum((3 * u).astype(np.int8), 2)
    r = _between(q, 0, 0.12, 0.22)
    length = np.choose(axis, (np.float32(1), _between(q, 1, 0.7, 1), _between(q, 2, 0.7, 1)))
    x, y = _circle(v)
    parts = (length * (2 * (3 * u - axis) - 1), r * x, r * y)
    return _stack(*(np.choose((k - axis) % 3, parts) for k in range(3)))


def saddle(u, v, q):
    """The sheet z = h (x^2 - y^2) over a square, h = 0.5-0.9."""
    x, y = 2 * u - 1, 2 * v - 1
    return _stack(x, y, _between(q, 0, 0.5, 0.9) * (x * x - y * y))


FAMILIES: dict[str, Surface] = {
    f.__name__: f
    for f in (
        sphere,
        box,
        cylinder,
        cone,
        torus,
        ellipsoid,
        pyramid,
        capsule,
        helix,
        superquadric,
        cross,
        saddle,
    )
}
