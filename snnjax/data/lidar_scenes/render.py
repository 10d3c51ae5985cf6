"""Ray casting: the nearest surface along every ray of a rotating sensor, then its imperfections."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .classes import MATERIALS
from .ground import Ground
from .objects import Thing
from .shapes import Bounds, Rays

TOP, BOTTOM = 2.0, -24.8  # elevation of the first and last beam, degrees


class Sensor(NamedTuple):
    """The rays of a scan: beam by beam from above, azimuth falling.

    Attributes:
      rays: all of them. first: number of the first column. columns: columns of a full turn.
    """

    rays: Rays
    first: int
    columns: int

    @classmethod
    def of(cls, beams: int, columns: int, fov: float) -> Sensor:
        """Azimuths pi - (j + 1/2) 2 pi / columns with |azimuth| < fov (degrees)."""
        elevation = np.deg2rad(np.linspace(TOP, BOTTOM, beams))
        azimuth = np.pi - (np.arange(columns) + 0.5) * 2 * np.pi / columns
        seen = np.flatnonzero(np.abs(azimuth) < np.deg2rad(fov))
        first, azimuth = int(seen[0]), azimuth[seen]
        rays = Rays(np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation))
        return cls(rays, first, columns)

    def rows(self, bounds: Bounds) -> slice:
        """Beams that can meet a shape within these bounds."""
        distance = float(np.hypot(bounds.x, bounds.y))
        near, far = distance - bounds.radius, distance + bounds.radius
        if near <= 0:
            return slice(0, len(self.rays.sin_e))
        high = np.arctan2(bounds.high, near if bounds.high > 0 else far)
        low = np.arctan2(bounds.low, near if bounds.low < 0 else far)
        falling = -self.rays.sin_e  # sorted
        start = np.searchsorted(falling, -np.sin(high), side="left")
        stop = np.searchsorted(falling, -np.sin(low), side="right")
        return slice(int(start), int(stop))

    def cols(self, bounds: Bounds) -> list[slice]:
        """Columns that can meet a shape within these bounds: at most two runs."""
        n, width = len(self.rays.cos_a), 2 * np.pi / self.columns
        distance = float(np.hypot(bounds.x, bounds.y))
        if distance <= bounds.radius:
            return [slice(0, n)]
        half = np.arcsin(bounds.radius / distance)
        middle = (np.pi - np.arctan2(bounds.y, bounds.x)) / width - 0.5
        low = int(np.ceil(middle - half / width)) - self.first
        high = int(np.floor(middle + half / width)) - self.first + 1
        runs = []
        for turn in (-self.columns, 0, self.columns):
            start, stop = max(low + turn, 0), min(high + turn, n)
            if start < stop:
                runs.append(slice(start, stop))
        return runs

    def block(self, rows: slice, cols: slice) -> Rays:
        cos_a, sin_a, cos_e, sin_e = self.rays
        return Rays(cos_a[cols], sin_a[cols], cos_e[rows], sin_e[rows])


class Depth(NamedTuple):
    """What each ray meets first; arrays [beams, columns].

    Attributes:
      t: distance, infinite without a hit. cosine: of incidence. label: class of the point.
      thing: index of the object, -1 for the ground.
      alone: rays that would meet each object if there were no other, int [things].
    """

    t: np.ndarray
    cosine: np.ndarray
    label: np.ndarray
    thing: np.ndarray
    alone: np.ndarray


def cast(
    rng: np.random.Generator, sensor: Sensor, ground: Ground, things: list[Thing], limit: float
) -> Depth:
    """The nearest hit within `limit` along every ray."""
    (t, cosine), label = ground.cast(sensor.rays, limit)
    depth = Depth(t, cosine, label, np.full(t.shape, -1), np.zeros(len(things), np.int64))
    for number, thing in enumerate(things):
        whole = _union([shape.bounds for shape in thing.shapes])
        if np.hypot(whole.x, whole.y) - whole.radius > limit:
            continue
        for cols in sensor.cols(whole):
            _cast_thing(rng, sensor, depth, number, thing, (sensor.rows(whole), cols), limit)
    depth.t[depth.t > limit] = np.inf
    return depth


def _cast_thing(
    rng: np.random.Generator,
    sensor: Sensor,
    depth: Depth,
    number: int,
    thing: Thing,
    within: tuple[slice, slice],
    limit: float,
) -> None:
    """Cast one object alone into a block of its own, then merge the block by distance."""
    rows, cols = within
    shape = (rows.stop - rows.start, cols.stop - cols.start)
    if min(shape) <= 0:
        return
    t, cosine = np.full(shape, limit), np.zeros(shape)
    label = np.full(shape, thing.labels[0])
    for part, name in zip(thing.shapes, thing.labels, strict=True):
        r = _clip(sensor.rows(part.bounds), rows)
        for run in sensor.cols(part.bounds):
            c = _clip(run, cols)
            if r.start >= r.stop or c.start >= c.stop:
                continue
            found, angle = part.cast(sensor.block(r, c), rng)
            local = (_shift(r, rows.start), _shift(c, cols.start))
            nearer = found < t[local]
            t[local][nearer] = found[nearer]
            cosine[local][nearer] = angle[nearer]
            label[local][nearer] = name
    depth.alone[number] += np.count_nonzero(t < limit)
    nearer = (t < limit) & (t < depth.t[within])
    depth.t[within][nearer] = t[nearer]
    depth.cosine[within][nearer] = cosine[nearer]
    depth.label[within][nearer] = label[nearer]
    depth.thing[within][nearer] = number


def _union(bounds: list[Bounds]) -> Bounds:
    if len(bounds) == 1:
        return bounds[0]
    x, y, radius, low, high = np.array(bounds).T
    mx = 0.5 * ((x - radius).min() + (x + radius).max())
    my = 0.5 * ((y - radius).min() + (y + radius).max())
    reach = (np.hypot(x - mx, y - my) + radius).max()
    return Bounds(float(mx), float(my), float(reach), float(low.min()), float(high.max()))


def _clip(run: slice, within: slice) -> slice:
    return slice(max(run.start, within.start), min(run.stop, within.stop))


def _shift(run: slice, by: int) -> slice:
    return slice(run.start - by, run.stop - by)


class Returns(NamedTuple):
    """Measured points, in the order of the rays.

    Attributes:
      points: x, y, z, reflectance, float32 [P, 4]. row, col: the ray of each point, int [P].
    """

    points: np.ndarray
    row: np.ndarray
    col: np.ndarray


def measure(
    rng: np.random.Generator,
    sensor: Sensor,
    depth: Depth,
    boxed: np.ndarray,
    *,
    limit: float,
    noise: float,
    dropout: float,
) -> Returns:
    """Points with range noise, reflectance and missing returns.

        rho = clip(mean + spread N_object + grain N_point, .01, 1)
        r = round(clip(rho (.35 + .65 cosine), 0, .99), 2)
        P(missing) = clip(dropout + .9 (t / limit)^2 (1 - sqrt r)^2, 0, .95)

    Args:
      boxed: whether each object has a box and thus a reflectance of its own, bool [things]; other
        things share one per class.
    """
    row, col = np.nonzero(np.isfinite(depth.t))
    t, label, thing = depth.t[row, col], depth.label[row, col], depth.thing[row, col]
    mean, spread, grain = np.array([m[1:] for m in MATERIALS.values()]).T
    by_class, by_thing = rng.standard_normal(len(mean)), rng.standard_normal(len(boxed) + 1)
    own = np.append(boxed, False)[thing]  # thing -1, the ground, reads the last entry
    shade = np.where(own, by_thing[thing], by_class[label])
    rho = mean[label] + spread[label] * shade + grain[label] * rng.standard_normal(len(t))
    seen = np.clip(rho, 0.01, 1) * (0.35 + 0.65 * depth.cosine[row, col])
    reflectance = np.round(np.clip(seen, 0, 0.99), 2)
    missing = dropout + 0.9 * (t / limit) ** 2 * (1 - np.sqrt(reflectance)) ** 2
    keep = rng.random(len(t)) >= np.clip(missing, 0, 0.95)
    distance = np.minimum(t + noise * rng.standard_normal(len(t)), limit)[keep]
    row, col = row[keep], col[keep]
    rays = sensor.rays
    flat = distance * rays.cos_e[row]
    x, y, z = flat * rays.cos_a[col], flat * rays.sin_a[col], distance * rays.sin_e[row]
    points = np.stack([x, y, z, reflectance[keep]], axis=1).astype(np.float32)
    return Returns(points, row, col)
