"""A recording of an event camera: arrays of events in the order of time, and the sensor's size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError

LATEST = 1 << 53  # microseconds; larger times indicate damage, and floats would round them


class Events(NamedTuple):
    """Events of one recording as a structure of arrays, sorted by time.

    Attributes:
      t: microseconds, int64 [E], never falling.
      x: columns 0..W - 1, int32 [E]. y: rows 0..H - 1 downwards, int32 [E].
      p: 1 where the pixel became brighter, 0 where it became darker, uint8 [E].
      sensor: (H, W).
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int]

    def where(self, keep: np.ndarray | slice) -> Events:
        """The events chosen by a mask, by indices or by a slice."""
        return Events(self.t[keep], self.x[keep], self.y[keep], self.p[keep], self.sensor)

    def between(self, start: int, stop: int) -> Events:
        """The events with start <= t < stop."""
        first, last = np.searchsorted(self.t, [start, stop])
        return self.where(slice(int(first), int(last)))

    @property
    def span(self) -> tuple[int, int]:
        """The half-open interval from the first event to just after the last; (0, 0) if empty."""
        return (int(self.t[0]), int(self.t[-1]) + 1) if len(self.t) else (0, 0)


def check_events(
    t: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    p: np.ndarray,
    sensor: tuple[int, int],
    where: str | Path = "events",
) -> Events:
    """Check the arrays of a recording and bring them to the types of `Events`.

    Args:
      t: integer microseconds, [E]. x, y: integers, [E]. p: 0 and 1, -1 and 1, or booleans, [E].
      sensor: (H, W). where: the file, and the sample in it, for messages.

    Raises:
      DataError: no events; shapes that differ; non-integer values; an event before time 0
        or before its predecessor; an event outside the sensor; another polarity.

    >>> e = check_events(np.array([5, 9]), np.array([0, 1]), np.array([2, 2]), np.array([-1, 1]),
    ...                  sensor=(3, 2))
    >>> e.p.tolist(), e.span
    ([0, 1], (5, 10))
    """
    arrays = {name: np.asarray(a) for name, a in (("t", t), ("x", x), ("y", y), ("p", p))}
    _check_arrays(arrays, where)
    times = _check_times(arrays["t"], where)
    height, width = sensor
    columns = _check_places(arrays["x"], "x", width, sensor, where)
    rows = _check_places(arrays["y"], "y", height, sensor, where)
    return Events(times, columns, rows, _check_polarity(arrays["p"], where), (height, width))


def _check_arrays(arrays: dict[str, np.ndarray], where: str | Path) -> None:
    shapes = {name: a.shape for name, a in arrays.items()}
    if len(set(shapes.values())) > 1 or arrays["t"].ndim != 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        problem = f"t, x, y and p must be [E] with one E; got {found}"
        raise DataError.at(where, problem, fix="save one entry of each array for each event")
    if arrays["t"].size == 0:
        raise DataError.at(
            where, "holds no events", fix="remove the recording, or leave it out with --skip-bad"
        )
    for name, a in arrays.items():
        if a.dtype.kind not in ("iub" if name == "p" else "iu"):
            unit = "microseconds" if name == "t" else "polarities" if name == "p" else "pixels"
            fix = "save np.round(1e6 * seconds).astype(np.int64)" if name == "t" else "save int16"
            problem = f"`{name}` must be integers ({unit}); got {a.dtype}"
            raise DataError.at(where, problem, fix=fix)


def _check_times(t: np.ndarray, where: str | Path) -> np.ndarray:
    outside = (t < 0) | (t > LATEST)
    if outside.any():
        i = int(np.argmax(outside))
        raise DataError.at(
            where,
            f"event {i} has the time {int(t[i])} us, outside 0..{LATEST}",
            fix="count microseconds from the start of the recording",
        )
    times = t.astype(np.int64)
    falls = times[1:] < times[:-1]
    if falls.any():
        i = int(np.argmax(falls)) + 1
        raise DataError.at(
            where,
            f"time goes backwards at event {i}, from {times[i - 1]} to {times[i]} us",
            fix="sort t, x, y and p together by time, or record it again",
        )
    return times


def _check_places(
    a: np.ndarray, name: str, size: int, sensor: tuple[int, int], where: str | Path
) -> np.ndarray:
    outside = (a < 0) | (a >= size)
    if outside.any():
        i = int(np.argmax(outside))
        raise DataError.at(
            where,
            f"event {i} has {name} = {int(a[i])}, outside a sensor of {sensor[0]} rows and "
            f"{sensor[1]} columns ({name} is 0..{size - 1})",
            fix="give the size of the sensor as (height, width), or set first_pixel=1 where "
            "pixels are counted from 1",
        )
    return a.astype(np.int32)


def _check_polarity(p: np.ndarray, where: str | Path) -> np.ndarray:
    if p.dtype.kind == "b":
        return p.astype(np.uint8)
    negative = p == -1 if p.dtype.kind == "i" else np.zeros(len(p), bool)
    # with -1 in the recording, 0 is a third polarity
    bad = ~((p == 1) | negative | ((p == 0) & ~negative.any()))
    if bad.any():
        i = int(np.argmax(bad))
        context = " in a recording with -1" if p[i] == 0 else ""
        problem = f"event {i} has the polarity {int(p[i])}{context}"
        raise DataError.at(where, problem, fix="save 0 and 1, or -1 and 1")
    return (p == 1).astype(np.uint8)


def check_sensor(sensor: tuple[int, int] | None) -> None:
    """Raise ValueError unless `sensor` is two sizes of at least 1, or None."""
    if sensor is not None and (len(sensor) != 2 or min(sensor) < 1):
        raise ValueError(f"`sensor` must be (height, width), at least 1 each; got {sensor}")


def downsample(events: Events, factor: int) -> Events:
    """Merge the events of factor x factor pixels into one pixel.

        x' = floor(x / factor),  y' = floor(y / factor),  H' = ceil(H / factor), W' likewise

    No event is lost. If the factor does not divide the size, the last pixels cover fewer.

    >>> e = check_events(np.arange(3), np.array([0, 1, 4]), np.array([0, 1, 2]), np.ones(3, int),
    ...                  sensor=(3, 5))
    >>> d = downsample(e, 2); d.x.tolist(), d.y.tolist(), d.sensor
    ([0, 0, 2], [0, 0, 1], (2, 3))
    """
    if factor < 1:
        raise ValueError(f"`downsample` must be at least 1; got {factor}")
    if factor == 1:
        return events
    height, width = events.sensor
    sensor = (-(-height // factor), -(-width // factor))
    return events._replace(x=events.x // factor, y=events.y // factor, sensor=sensor)
