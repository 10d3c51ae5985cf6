"""The ground: a sloping street of road, parking lane, sidewalks with curbs, and uneven terrain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .classes import INDEX
from .shapes import Hits, Rays

SENSOR_HEIGHT = 1.73
STEEPEST = np.sin(np.deg2rad(-0.7))  # rays above this elevation do not reach the ground
ACCURACY = 0.005  # metres of height that the fixed-point steps may leave
HALVINGS = 16
PARKING = 2.4  # width of the parking lane


class Ground(NamedTuple):
    """A street through the scene. u runs along it, v to its left, both in metres.

    Attributes:
      yaw: direction of the street. offset: v of the sensor is -offset.
      half: half width of the road. parking: side of the parking lane, -1 or 1; 0 without one.
      walks: widths of the right and left sidewalk. curb: its height.
      crossing: u and half width of a crossing road; half width 0 without one.
      slope: rise along x and y. waves: three rows (amplitude, wave number x, y, phase).
    """

    yaw: float
    offset: float
    half: float
    parking: int
    walks: tuple[float, float]
    curb: float
    crossing: tuple[float, float]
    slope: tuple[float, float]
    waves: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Ground:
        """A random street through the neighbourhood of the sensor."""
        waves = np.column_stack(
            [
                rng.uniform(0.02, 0.10, 3),
                rng.normal(0, 0.25, (3, 2)),
                rng.uniform(0, 2 * np.pi, 3),
            ]
        )
        crossed = rng.random() < 0.35
        return cls(
            yaw=rng.uniform(-0.3, 0.3),
            offset=rng.uniform(-2, 2),
            half=rng.uniform(2.8, 4.4),
            parking=int(rng.choice([-1, 1])) if rng.random() < 0.6 else 0,
            walks=(rng.uniform(1.5, 3.5), rng.uniform(1.5, 3.5)),
            curb=rng.uniform(0.06, 0.15),
            crossing=(rng.uniform(-30, 30), rng.uniform(2.8, 4.4) if crossed else 0.0),
            slope=(rng.normal(0, 0.008), rng.normal(0, 0.008)),
            waves=waves,
        )

    def kerb(self, side: int) -> float:
        """Distance |v| at which the sidewalk of a side (-1 right, 1 left) begins."""
        return self.half + (PARKING if side == self.parking else 0.0)

    def walk(self, side: int) -> float:
        return self.walks[(side + 1) // 2]

    def place(self, u: float, v: float) -> tuple[float, float]:
        """The x and y of a place on the street."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        v = v + self.offset
        return float(c * u - s * v), float(s * u + c * v)

    def regions(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Class of the ground at each place, an index into `POINT_CLASSES`."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        u, v = c * x + s * y, c * y - s * x - self.offset
        across, left = np.abs(v), v > 0
        kerb = np.where(left, self.kerb(1), self.kerb(-1))
        far = kerb + np.where(left, self.walk(1), self.walk(-1))
        label = np.where(across < far, INDEX["sidewalk"], INDEX["terrain"])
        label = np.where(across < kerb, INDEX["parking"], label)
        road = (across < self.half) | (np.abs(u - self.crossing[0]) < self.crossing[1])
        return np.where(road, INDEX["road"], label)

    def relief(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height above the sloping plane of the road."""
        label = self.regions(x, y)
        raised = (label == INDEX["sidewalk"]) | (label == INDEX["terrain"])
        height = np.where(raised, self.curb, 0.0)
        rough = label == INDEX["terrain"]
        xs, ys = x[rough], y[rough]
        height[rough] += sum(a * np.sin(kx * xs + ky * ys + p) for a, kx, ky, p in self.waves)
        return height

    def height(self, x: float, y: float) -> float:
        """The height z of the ground at one place."""
        relief = float(self.relief(np.array([x]), np.array([y]))[0])
        return relief - SENSOR_HEIGHT + self.slope[0] * x + self.slope[1] * y

    def cast(self, rays: Rays, limit: float) -> tuple[Hits, np.ndarray]:
        """Hits and classes: three fixed-point steps from the sloping plane, which is met exactly.

            t <- (relief(x(t), y(t)) - 1.73) / (d_z - slope . d_xy)

        At grazing incidence and at curbs the steps do not settle; there the interval between the
        highest and the lowest relief is halved instead, which finds a crossing, or a curb's face.
        """
        t, cosine = np.full(rays.shape, np.inf), np.zeros(rays.shape)
        label = np.zeros(rays.shape, np.int64)
        fall = rays.sin_e[:, None] - rays.cos_e[:, None] * (
            self.slope[0] * rays.cos_a + self.slope[1] * rays.sin_a
        )
        down = (fall < STEEPEST) & (fall * limit < 0.5 - SENSOR_HEIGHT)
        row, col = np.nonzero(down)
        dx, dy = rays.cos_e[row] * rays.cos_a[col], rays.cos_e[row] * rays.sin_a[col]
        found = -SENSOR_HEIGHT / fall[down]
        for _ in range(3):
            found = (self.relief(found * dx, found * dy) - SENSOR_HEIGHT) / fall[down]
        above = found * fall[down] + SENSOR_HEIGHT - self.relief(found * dx, found * dy)
        rest = np.flatnonzero(np.abs(above) > ACCURACY)
        found[rest] = self._halve(dx[rest], dy[rest], fall[down][rest])
        t[down] = found
        cosine[down] = -fall[down]
        label[down] = self.regions(found * dx, found * dy)
        return (t, cosine), label

    def _halve(self, dx: np.ndarray, dy: np.ndarray, fall: np.ndarray) -> np.ndarray:
        """Distances at which rays cross the ground, by bisection."""
        rough = float(np.abs(self.waves[:, 0]).sum())
        near = (self.curb + rough - SENSOR_HEIGHT) / fall
        far = (-rough - SENSOR_HEIGHT) / fall
        for _ in range(HALVINGS):
            middle = 0.5 * (near + far)
            above = middle * fall + SENSOR_HEIGHT > self.relief(middle * dx, middle * dy)
            near, far = np.where(above, middle, near), np.where(above, far, middle)
        return 0.5 * (near + far)
