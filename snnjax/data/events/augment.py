"""Random changes of event streams, on the host, before frames are made."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .stream import Events


@dataclass(frozen=True)
class EventAugment:
    """Random changes to the events of a training sample, applied in this order.

    Mirror, shift, polarity; then events are lost at random, in a stretch of time and in a
    rectangle; then times are jittered. Sizes of what is lost are uniform between 0 and the given
    share. An event that a change moves out of the sensor, or out of the recording's time, is lost.
    Shifts and losses are those of Li et al., "Neuromorphic data augmentation for training spiking
    neural networks", ECCV 2022, and Gu et al., "EventDrop", IJCAI 2021.
    """

    flip: float = 0.0
    """probability of mirroring left and right"""
    shift: int = 0
    """largest shift along each axis, in pixels"""
    flip_polarity: float = 0.0
    """probability of exchanging brighter and darker"""
    drop: float = 0.0
    """largest share of events that are lost, each independently"""
    drop_time: float = 0.0
    """largest share of the recording's time in which all events are lost"""
    drop_area: float = 0.0
    """largest share of the height and of the width of a rectangle in which all events are lost"""
    jitter_us: float = 0.0
    """standard deviation of the change of times, in microseconds"""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            top = np.inf if field.name in ("shift", "jitter_us") else 1
            if not 0 <= value <= top or value == np.inf:
                limits = "finite and at least 0" if top == np.inf else "in 0..1"
                raise ValueError(f"`{field.name}` must be {limits}; got {value}")
        if self.shift != int(self.shift):
            raise ValueError(f"`shift` must be an integer; got {self.shift}")

    @property
    def changes(self) -> bool:
        """Whether any of the changes is switched on."""
        return self != EventAugment()

    def __call__(self, events: Events, span: tuple[int, int], rng: np.random.Generator) -> Events:
        """Change one recording.

        Args:
          events: sorted by time. span: the recording's time, (start, stop). rng: the sample's
            generator.

        Returns:
          the events that are left, sorted by time; perhaps none.
        """
        q = rng.random(11)
        if q[0] < self.flip:
            events = flip_horizontally(events)
        if self.shift:
            dx, dy = (np.floor(q[1:3] * (2 * self.shift + 1)) - self.shift).astype(int)
            events = shift(events, int(dx), int(dy))
        if q[3] < self.flip_polarity:
            events = flip_polarity(events)
        if self.drop:
            events = events.where(rng.random(len(events.t)) >= q[4] * self.drop)
        if self.drop_time:
            events = drop_time(events, *_stretch(q[5], q[6], self.drop_time, span))
        if self.drop_area:
            height, width = events.sensor
            rows = _stretch(q[7], q[8], self.drop_area, (0, height))
            columns = _stretch(q[9], q[10], self.drop_area, (0, width))
            events = drop_area(events, rows, columns)
        return jitter(events, self.jitter_us, span, rng) if self.jitter_us else events


def _stretch(size: float, place: float, largest: float, span: tuple[int, int]) -> tuple[int, int]:
    """A uniform part of a span, of up to the share `largest` of it, from two uniform numbers."""
    total = span[1] - span[0]
    most = int(largest * total)
    length = int(size * (most + 1))
    first = span[0] + int(place * (total - length + 1))
    return first, first + length


def flip_horizontally(events: Events) -> Events:
    """Mirror left and right: x' = W - 1 - x."""
    return events._replace(x=events.sensor[1] - 1 - events.x)


def flip_polarity(events: Events) -> Events:
    """Exchange brighter and darker: p' = 1 - p."""
    return events._replace(p=1 - events.p)


def shift(events: Events, dx: int, dy: int) -> Events:
    """Move by dx columns and dy rows; events that leave the sensor are lost."""
    x, y = events.x + dx, events.y + dy
    inside = (x >= 0) & (x < events.sensor[1]) & (y >= 0) & (y < events.sensor[0])
    return events._replace(x=x, y=y).where(inside)


def drop_time(events: Events, start: int, stop: int) -> Events:
    """Remove the events with start <= t < stop."""
    return events.where((events.t < start) | (events.t >= stop))


def drop_area(events: Events, rows: tuple[int, int], columns: tuple[int, int]) -> Events:
    """Remove the events in a rectangle, given by half-open intervals of rows and columns."""
    inside = (events.y >= rows[0]) & (events.y < rows[1])
    inside &= (events.x >= columns[0]) & (events.x < columns[1])
    return events.where(~inside)


def jitter(
    events: Events, sigma_us: float, span: tuple[int, int], rng: np.random.Generator
) -> Events:
    """Add rounded normal noise to the times and sort again; events outside the span are lost."""
    t = events.t + np.rint(rng.normal(0.0, sigma_us, len(events.t))).astype(np.int64)
    order = np.argsort(t, kind="stable")
    moved = events._replace(t=t).where(order)
    return moved.between(*span)
