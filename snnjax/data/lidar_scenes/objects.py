"""Objects of a street, built from analytic shapes that stand on the ground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .classes import INDEX
from .shapes import Box, Foliage, Post, Shape

Rng = np.random.Generator


class Pose(NamedTuple):
    """A place on the ground and a heading."""

    x: float
    y: float
    z: float
    yaw: float

    def ahead(self, u: float, v: float = 0.0) -> tuple[float, float]:
        """The x and y of the place u metres ahead and v to the left."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return float(self.x + c * u - s * v), float(self.y + s * u + c * v)


class Thing(NamedTuple):
    """An object of the scene.

    Attributes:
      shapes: its surfaces. labels: class of the points of each, indices into `POINT_CLASSES`.
      box: x, y, z, dx, dy, dz, yaw; None for things without one.
      kind: index into `BOX_CLASSES`; -1 for things without a box.
    """

    shapes: tuple[Shape, ...]
    labels: tuple[int, ...]
    box: tuple[float, ...] | None = None
    kind: int = -1


def car_size(rng: Rng) -> tuple[float, float, float]:
    """Length, width, height."""
    length = float(np.clip(rng.normal(3.9, 0.42), 3.1, 5.0))
    width = float(np.clip(rng.normal(1.65, 0.10), 1.4, 1.95))
    return length, width, float(np.clip(rng.normal(1.55, 0.13), 1.3, 2.0))


def van_size(rng: Rng) -> tuple[float, float, float]:
    """Length, width, height."""
    return rng.uniform(4.4, 5.6), rng.uniform(1.75, 2.05), rng.uniform(1.85, 2.4)


def truck_size(rng: Rng) -> tuple[float, float, float]:
    """Length, width, height."""
    return rng.uniform(6, 10), rng.uniform(2.2, 2.6), rng.uniform(2.6, 3.6)


def car(rng: Rng, at: Pose, size: tuple[float, float, float]) -> Thing:
    """Body, cabin of glass, four wheels."""
    length, width, height = size
    waist = height * rng.uniform(0.5, 0.62)
    back = -length * rng.uniform(0, 0.12)
    cabin = length * rng.uniform(0.45, 0.62)
    parts = [
        _part(at, 0, length, width, 0.18, waist),
        _part(at, back, cabin, 0.86 * width, waist, height, gap=0.35),
    ]
    return _vehicle(at, size, parts, "car", 0)


def van(rng: Rng, at: Pose, size: tuple[float, float, float]) -> Thing:
    """A long high box, a low one before it, four wheels."""
    length, width, height = size
    nose = length * rng.uniform(0.15, 0.25)
    parts = [
        _part(at, -nose / 2, length - nose, width, 0.18, height),
        _part(at, (length - nose) / 2, nose, width, 0.18, 0.55 * height),
    ]
    return _vehicle(at, size, parts, "other-vehicle", 1)


def truck(rng: Rng, at: Pose, size: tuple[float, float, float]) -> Thing:
    """Load, cab, four wheels."""
    length, width, height = size
    cab = rng.uniform(1.6, 2.2)
    load = length - cab - 0.3
    parts = [
        _part(at, (load - length) / 2, load, width, 0.7, height),
        _part(at, (length - cab) / 2, cab, 0.95 * width, 0.4, height * rng.uniform(0.75, 0.95)),
    ]
    return _vehicle(at, size, parts, "other-vehicle", 2)


def pedestrian(rng: Rng, at: Pose) -> Thing:
    """Legs, trunk and head: three cylinders."""
    height, radius = rng.uniform(1.5, 1.95), rng.uniform(0.2, 0.32)
    shapes = _person(at, radius, 0.0, height)
    box = (at.x, at.y, at.z + height / 2, 2 * radius, 2 * radius, height, at.yaw)
    return Thing(shapes, (INDEX["person"],) * 3, box, 3)


def cyclist(rng: Rng, at: Pose) -> Thing:
    """A thin frame that half of the rays pass, and a rider of two cylinders."""
    length, radius, height = rng.uniform(1.55, 1.85), rng.uniform(0.2, 0.3), rng.uniform(1.6, 1.9)
    shapes = (
        _part(at, 0, length, 0.07, 0.0, 0.8, gap=0.55),
        *_person(at, radius, 0.25 * height, height)[1:],
    )
    box = (at.x, at.y, at.z + height / 2, length, 2 * radius, height, at.yaw)
    return Thing(shapes, (INDEX["bicyclist"],) * 3, box, 4)


def building(rng: Rng, at: Pose, length: float) -> Thing:
    """A block of 8 m depth."""
    return _wall(at, length, 8.0, rng.uniform(3, 11), 0.0, "building")


def fence(rng: Rng, at: Pose, length: float) -> Thing:
    """A thin wall, solid or with gaps."""
    gap = float(rng.choice([0.0, 0.35, 0.6]))
    return _wall(at, length, 0.08, rng.uniform(0.8, 1.9), gap, "fence")


def hedge(rng: Rng, at: Pose, length: float) -> Thing:
    """Porous spheroids in a row."""
    height, path = rng.uniform(0.8, 2.2), rng.uniform(0.12, 0.4)
    shapes = []
    for u in np.arange(0.55, length, 1.1) - length / 2:
        x, y = at.ahead(u, rng.normal(0, 0.05))
        half = height / 2 * rng.uniform(0.9, 1.1)
        shapes.append(Foliage(x, y, at.z + half, rng.uniform(0.6, 0.85), half, path))
    return Thing(tuple(shapes), (INDEX["vegetation"],) * len(shapes))


def pole(rng: Rng, at: Pose) -> Thing:
    """A vertical cylinder."""
    high = at.z + rng.uniform(2.5, 7)
    return Thing((Post(at.x, at.y, rng.uniform(0.05, 0.13), at.z, high),), (INDEX["pole"],))


def sign(rng: Rng, at: Pose) -> Thing:
    """A plate on a thin pole."""
    top = at.z + rng.uniform(2.2, 2.9)
    plate = Box(*at.ahead(-0.06), at.yaw, 0.05, rng.uniform(0.5, 0.8), top - 0.7, top)
    post = Post(at.x, at.y, 0.035, at.z, top)
    return Thing((post, plate), (INDEX["pole"], INDEX["traffic-sign"]))


def tree(rng: Rng, at: Pose) -> Thing:
    """A trunk under a crown of porous spheroids."""
    stem, path = rng.uniform(1.8, 3.2), rng.uniform(0.25, 0.7)
    shapes: list[Shape] = [Post(at.x, at.y, rng.uniform(0.1, 0.3), at.z, at.z + stem)]
    for _ in range(rng.integers(2, 5)):
        x, y = at.ahead(rng.normal(0, 0.5), rng.normal(0, 0.5))
        half, rise = rng.uniform(0.7, 1.6), rng.uniform(0.4, 1.6)
        shapes.append(Foliage(x, y, at.z + stem + rise, rng.uniform(0.8, 1.8), half, path))
    return Thing(tuple(shapes), (INDEX["trunk"], *(INDEX["vegetation"],) * (len(shapes) - 1)))


def bush(rng: Rng, at: Pose) -> Thing:
    """A single porous spheroid."""
    radius = rng.uniform(0.5, 1.3)
    half = radius * rng.uniform(0.6, 1.0)
    shape = Foliage(at.x, at.y, at.z + 0.8 * half, radius, half, rng.uniform(0.12, 0.5))
    return Thing((shape,), (INDEX["vegetation"],))


def _part(
    at: Pose, u: float, length: float, width: float, low: float, high: float, gap: float = 0.0
) -> Box:
    """A box u metres ahead of the pose, from `low` to `high` above the ground."""
    return Box(*at.ahead(u), at.yaw, length, width, at.z + low, at.z + high, gap)


def _vehicle(
    at: Pose, size: tuple[float, float, float], parts: list[Box], label: str, kind: int
) -> Thing:
    length, width, height = size
    wheels = [
        Box(*at.ahead(u * length, v * (width / 2 - 0.1)), at.yaw, 0.6, 0.2, at.z, at.z + 0.6)
        for u in (-0.31, 0.31)
        for v in (-1, 1)
    ]
    shapes = (*parts, *wheels)
    box = (at.x, at.y, at.z + height / 2, length, width, height, at.yaw)
    return Thing(shapes, (INDEX[label],) * len(shapes), box, kind)


def _person(at: Pose, radius: float, low: float, high: float) -> tuple[Post, Post, Post]:
    hip, neck = low + 0.48 * (high - low), high - 0.25
    return (
        Post(at.x, at.y, 0.65 * radius, at.z + low, at.z + hip),
        Post(at.x, at.y, radius, at.z + hip, at.z + neck),
        Post(at.x, at.y, 0.11, at.z + neck, at.z + high),
    )


def _wall(at: Pose, length: float, depth: float, height: float, gap: float, label: str) -> Thing:
    shape = Box(at.x, at.y, at.yaw, length, depth, at.z - 0.3, at.z + height, gap)
    return Thing((shape,), (INDEX[label],))
