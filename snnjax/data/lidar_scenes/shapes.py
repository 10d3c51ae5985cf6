"""Analytic surfaces, and where the rays of a rotating sensor at the origin meet them.

After the horizontal distance s, a ray of azimuth a, elevation e is at (s cos a, s sin a, s tan e).
Axes are vertical, so most of an intersection depends on its column or its row alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SCATTER = 0.7  # cosine of incidence in foliage, which has no surface
_TINY = 1e-12


class Rays(NamedTuple):
    """A block of rays: R elevations times C azimuths.

    Attributes:
      cos_a, sin_a: of the azimuths, float64 [C]. cos_e, sin_e: of the elevations, float64 [R].
    """

    cos_a: np.ndarray
    sin_a: np.ndarray
    cos_e: np.ndarray
    sin_e: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cos_e), len(self.cos_a)


class Bounds(NamedTuple):
    """An upright cylinder that contains a shape."""

    x: float
    y: float
    radius: float
    low: float
    high: float


Hits = tuple[np.ndarray, np.ndarray]
"""Distance along each ray (infinite where it misses) and cosine of incidence, [R, C]."""


@dataclass(frozen=True)
class Box:
    """A box on a vertical axis; a fraction `gap` of the rays that meet it passes (glass, wire)."""

    x: float
    y: float
    yaw: float
    length: float
    width: float
    low: float
    high: float
    gap: float = 0.0

    @property
    def bounds(self) -> Bounds:
        radius = 0.5 * float(np.hypot(self.length, self.width))
        return Bounds(self.x, self.y, radius, self.low, self.high)

    def cast(self, rays: Rays, rng: np.random.Generator) -> Hits:
        """Intersection by slabs: two per column, one per row."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        dx = _nonzero(c * rays.cos_a + s * rays.sin_a)
        dy = _nonzero(c * rays.sin_a - s * rays.cos_a)
        dz = _nonzero(rays.sin_e / rays.cos_e)
        x_in, x_out = _slab(c * self.x + s * self.y, 0.5 * self.length, dx)
        y_in, y_out = _slab(c * self.y - s * self.x, 0.5 * self.width, dy)
        z_in, z_out = _slab(0.5 * (self.low + self.high), 0.5 * (self.high - self.low), dz)
        side_in, side_out = np.maximum(x_in, y_in), np.minimum(x_out, y_out)
        side_cos = np.where(x_in > y_in, np.abs(dx), np.abs(dy))
        near = np.maximum(side_in, z_in[:, None])
        hit = (near < np.minimum(side_out, z_out[:, None])) & (near > 0)
        if self.gap:
            hit &= rng.random(hit.shape) >= self.gap
        flat = np.abs(rays.sin_e)[:, None]
        cosine = np.where(side_in > z_in[:, None], rays.cos_e[:, None] * side_cos, flat)
        return np.where(hit, near / rays.cos_e[:, None], np.inf), cosine


@dataclass(frozen=True)
class Post:
    """The side of a vertical cylinder."""

    x: float
    y: float
    radius: float
    low: float
    high: float

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.x, self.y, self.radius, self.low, self.high)

    def cast(self, rays: Rays, rng: np.random.Generator) -> Hits:
        """Intersection by a quadratic in the horizontal distance, once per column."""
        along = self.x * rays.cos_a + self.y * rays.sin_a
        across = self.x * rays.sin_a - self.y * rays.cos_a
        chord = self.radius**2 - across**2
        half = np.sqrt(np.maximum(chord, 0))
        s = along - half
        height = (rays.sin_e / rays.cos_e)[:, None] * s
        hit = (chord > 0) & (s > 0) & (height >= self.low) & (height <= self.high)
        cosine = rays.cos_e[:, None] * (half / self.radius)
        return np.where(hit, s / rays.cos_e[:, None], np.inf), cosine


@dataclass(frozen=True)
class Foliage:
    """A porous upright spheroid: a ray that enters it is stopped after an exponential length.

    Attributes:
      radius, half_height: half axes. path: mean free path in metres; 0 makes it solid.
    """

    x: float
    y: float
    z: float
    radius: float
    half_height: float
    path: float

    @property
    def bounds(self) -> Bounds:
        low, high = self.z - self.half_height, self.z + self.half_height
        return Bounds(self.x, self.y, self.radius, low, high)

    def cast(self, rays: Rays, rng: np.random.Generator) -> Hits:
        """Entry and exit by a quadratic in the distance; the ray goes on if it gets through."""
        a = (rays.cos_e / self.radius) ** 2 + (rays.sin_e / self.half_height) ** 2
        flat = (self.x * rays.cos_a + self.y * rays.sin_a) / self.radius**2
        b = rays.cos_e[:, None] * flat + (rays.sin_e * self.z / self.half_height**2)[:, None]
        c = (self.x**2 + self.y**2) / self.radius**2 + (self.z / self.half_height) ** 2 - 1
        disc = b * b - a[:, None] * c
        root = np.sqrt(np.maximum(disc, 0))
        near = np.maximum((b - root) / a[:, None], 0)
        far = (b + root) / a[:, None]
        if self.path:
            near = near + self.path * rng.standard_exponential(near.shape)
        return np.where((disc > 0) & (near < far), near, np.inf), np.full(rays.shape, SCATTER)


Shape = Box | Post | Foliage


def _nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < _TINY, _TINY, values)


def _slab(centre: float, half: float, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances at which rays from the origin enter and leave |x - centre| < half."""
    middle, width = centre / direction, half / np.abs(direction)
    return middle - width, middle + width
