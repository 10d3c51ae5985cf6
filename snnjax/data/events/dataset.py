"""One split of labelled event recordings, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnjax.data.source import Sample

from .augment import EventAugment
from .framing import EventFrames
from .stream import Events


@dataclass(frozen=True, eq=False)
class Piece:
    """The events of one sample in narrow types: 7 bytes each for a small sensor.

    Attributes:
      t: times from the start of the span, uint32, or int64 beyond 71 minutes. x, y: uint8, or
        uint16.
      p: uint8. sensor: (H, W). span: start and stop in microseconds. name: name of the sample.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int]
    span: tuple[int, int]
    name: str

    @classmethod
    def of(cls, events: Events, span: tuple[int, int], name: str) -> Piece:
        """Pack events; none is before the start of the span."""
        t = events.t - span[0]
        pixel = np.min_scalar_type(max(events.sensor) - 1)
        return cls(
            t.astype(np.uint32 if span[1] - span[0] <= 1 << 32 else np.int64),
            events.x.astype(pixel),
            events.y.astype(pixel),
            events.p,
            events.sensor,
            span,
            name,
        )

    def __len__(self) -> int:
        return len(self.t)

    def events(self) -> Events:
        """The events with the types of `Events` and their own times."""
        t = self.t.astype(np.int64) + self.span[0]
        return Events(t, self.x.astype(np.int32), self.y.astype(np.int32), self.p, self.sensor)


class EventSet:
    """Samples of one split; frames are made when a sample is read.

    Args:
      pieces: events of the samples, of one sensor. labels: int32 [N]. class_names: names of the
        labels.
      frames: how events become frames. augment: random changes for samples that get a generator.
      skipped: samples left out while reading.
    """

    def __init__(
        self,
        pieces: list[Piece],
        labels: np.ndarray,
        class_names: tuple[str, ...],
        frames: EventFrames,
        augment: EventAugment | None = None,
        skipped: int = 0,
    ):
        self.pieces, self.labels, self.class_names = pieces, labels, class_names
        self.frames, self.augment, self.skipped = frames, augment, skipped
        self.in_channels = frames.channels
        self.sample_shape = frames.shape(pieces[0].sensor)

    def __len__(self) -> int:
        return len(self.pieces)

    def events(self, i: int) -> Events:
        """The events of sample i as recorded."""
        return self.pieces[i].events()

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """`frames` [T, H, W, C] and `label` of sample i; changed at random if `rng` is given."""
        piece = self.pieces[i]
        events = piece.events()
        if rng is not None and self.augment is not None:
            events = self.augment(events, piece.span, rng)
        return {"frames": self.frames(events, piece.span, piece.name), "label": self.labels[i]}

    def name(self, i: int) -> str:
        return self.pieces[i].name

    def longer(self) -> int:
        """How many samples have events after the last frame."""
        return sum(self.frames.leaves_out(piece.events(), piece.span) for piece in self.pieces)
