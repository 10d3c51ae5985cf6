"""Which events belong to which frame: equal parts of time, windows of fixed length, or counts.

All borders are compared in integers: an event exactly on a border belongs to the later frame,
whatever the length of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .stream import Events


class Position(NamedTuple):
    """Positions of events on the axis of frames, as exact fractions.

    Attributes:
      numerator: int64 [E]. denominator: common to all, at least 1. steps: frames, T.
    """

    numerator: np.ndarray
    denominator: int
    steps: int


class Frames(Protocol):
    """A rule that assigns events to T frames. `span` is the half-open interval in question."""

    def index(self, events: Events, span: tuple[int, int]) -> tuple[np.ndarray, int]:
        """The frame of each event, int64 [E], and T; events with another index are left out."""
        ...

    def position(self, events: Events, span: tuple[int, int]) -> Position:
        """Where each event lies between the centres 0..T - 1 of a voxel grid."""
        ...

    def ends(self, events: Events, span: tuple[int, int]) -> np.ndarray:
        """When each frame ends, in microseconds from the start of the span, float64 [T]."""
        ...


@dataclass(frozen=True)
class EqualParts:
    """The span in T parts of equal length.

        frame = floor(T (t - start) / (stop - start))

    A voxel grid has its first centre at `start` and its last at the last microsecond of the span:
    position = (T - 1) (t - start) / (stop - 1 - start).
    """

    steps: int
    """number of frames, T"""

    def __post_init__(self):
        _at_least_one(steps=self.steps)

    def index(self, events: Events, span: tuple[int, int]) -> tuple[np.ndarray, int]:
        start, stop = span
        return (events.t - start) * self.steps // max(stop - start, 1), self.steps

    def position(self, events: Events, span: tuple[int, int]) -> Position:
        start, stop = span
        return Position((events.t - start) * (self.steps - 1), max(stop - 1 - start, 1), self.steps)

    def ends(self, events: Events, span: tuple[int, int]) -> np.ndarray:
        return np.arange(1, self.steps + 1) * (span[1] - span[0]) / self.steps


@dataclass(frozen=True)
class TimeWindow:
    """Windows of a fixed length.

        frame = floor((t - start) / window_us)

    A voxel grid has its centres at start + k window_us.
    """

    window_us: int
    """length of a frame in microseconds"""
    steps: int | None = None
    """number of frames, T: later events are left out. None takes all of the span"""

    def __post_init__(self):
        _at_least_one(window_us=self.window_us, steps=self.steps)

    def _count(self, span: tuple[int, int], more: int) -> int:
        return (
            -(-(span[1] - span[0]) // self.window_us) + more if self.steps is None else self.steps
        )

    def index(self, events: Events, span: tuple[int, int]) -> tuple[np.ndarray, int]:
        return (events.t - span[0]) // self.window_us, self._count(span, 0)

    def position(self, events: Events, span: tuple[int, int]) -> Position:
        # the events of the last window also contribute to the centre after it
        return Position(events.t - span[0], self.window_us, self._count(span, 1))

    def ends(self, events: Events, span: tuple[int, int]) -> np.ndarray:
        return np.arange(1.0, self._count(span, 0) + 1) * self.window_us


@dataclass(frozen=True)
class EventCount:
    """The same number of events in every frame.

        frame = floor(i / events) for the i-th event of the span

    The last frame may hold fewer. A voxel grid has its centres at the events 0, n, 2n, ...; a frame
    of a time surface ends with its last event.
    """

    events: int
    """events in a frame"""
    steps: int | None = None
    """number of frames, T: later events are left out, and frames without events are empty. None
    takes all of the span"""

    def __post_init__(self):
        _at_least_one(events=self.events, steps=self.steps)

    def _count(self, total: int, more: int) -> int:
        return -(-total // self.events) + more if self.steps is None else self.steps

    def index(self, events: Events, span: tuple[int, int]) -> tuple[np.ndarray, int]:
        total = len(events.t)
        return np.arange(total) // self.events, self._count(total, 0)

    def position(self, events: Events, span: tuple[int, int]) -> Position:
        total = len(events.t)
        return Position(np.arange(total), self.events, self._count(total, int(total > 0)))

    def ends(self, events: Events, span: tuple[int, int]) -> np.ndarray:
        total = len(events.t)
        steps = self._count(total, 0)
        if not total:
            return np.zeros(steps)
        last = np.minimum(np.arange(1, steps + 1) * self.events, total) - 1
        return (events.t[last] - span[0]).astype(np.float64)


def _at_least_one(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (value != int(value) or value < 1):
            raise ValueError(f"`{name}` must be an integer of at least 1; got {value}")
