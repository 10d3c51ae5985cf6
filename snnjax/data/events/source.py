"""Event-camera recordings as a source of training data."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data.checks import at_least_one
from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.source import Dataset, Sample, SourceBase

from .augment import EventAugment
from .dataset import EventSet, Piece
from .files import read_events
from .framing import EventFrames
from .recordings import Listing, list_recordings
from .stream import Events, check_sensor

log = logging.getLogger(__name__)
MOST_SLICES = 1 << 20  # of one recording; a damaged time would give more


@dataclass(frozen=True)
class EventSource(SourceBase):
    """Recordings of an event camera as sequences of frames [T, H, W, C].

    `path` is a folder, see `snnjax.data.events.recordings`. Frames are made on the host when a
    sample is read, after the random changes of training; the device receives integers where
    frames are counts.
    """

    frames: EventFrames = field(default_factory=EventFrames)
    """How events become frames."""
    augment: EventAugment = field(default_factory=EventAugment)
    """Random changes of the events in training."""
    sensor: tuple[int, int] | None = None
    """Height and width in pixels; None takes those of the files."""
    first_pixel: int = 0
    """Number of the first row and column, 1 in recordings exported from MATLAB."""
    start: Literal["first_event", "zero"] = "first_event"
    """Where the first frame begins: at the first event of a recording, or at its time 0."""
    slice_us: int | None = None
    """Divide each recording into samples of this length; an incomplete last one is left out."""
    train_recordings: int | None = None
    """Of a folder with one all.npz: the number of recordings, from the first, to train on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sensor(self.sensor)
        if self.start not in ("first_event", "zero"):
            raise ValueError(f"data.start must be 'first_event' or 'zero'; got {self.start!r}")
        if self.first_pixel < 0:
            raise ValueError(f"data.first_pixel must be at least 0; got {self.first_pixel}")
        for name in ("slice_us", "train_recordings"):
            if getattr(self, name) is not None:
                at_least_one(f"data.{name}", getattr(self, name))

    def open(self, split: str) -> EventSet:
        """Read and check all recordings of a split.

        Raises:
          DataError: a recording is bad (all are, with skip_bad), or sensors differ.
        """
        size = self.size(split)
        listing = list_recordings(
            Path(self.path).expanduser(),
            split,
            sensor=self.sensor,
            first_pixel=self.first_pixel,
            train_recordings=self.train_recordings,
        )
        pieces, labels, skipped = self._read_all(listing)
        if split == "train":  # a stretch without events teaches nothing; in a test it counts
            full = [i for i, piece in enumerate(pieces) if len(piece)]
            skipped += len(pieces) - len(full)
            pieces, labels = [pieces[i] for i in full], [labels[i] for i in full]
        if not pieces:
            problem = f"none of {len(listing.labels)} {split} recordings gives a sample"
            raise DataError.at(listing.path, problem, fix="see the log for each")
        chosen = spread(len(pieces), size).tolist()
        return EventSet(
            [pieces[i] for i in chosen],
            np.array([labels[i] for i in chosen], np.int32),
            listing.class_names,
            self.frames,
            self.augment,
            skipped,
        )

    def encode(
        self, batch: dict[str, Array], shape: Any, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """`x` float32 [T, B, H, W, C], and `label`."""
        found = super().encode(batch, shape, key=key, train=train)
        x = jnp.moveaxis(found.pop("frames"), 0, 1).astype(jnp.float32)
        return {"x": x, **found}

    def read(self, path: str | Path) -> Sample:
        """The frames of one file; with `slice_us`, of its first slice."""
        events = read_events(path, sensor=self.sensor, first_pixel=self.first_pixel)
        pieces = self._pieces(events, str(path))
        if not pieces:
            problem = f"is shorter than `slice_us`, {self.slice_us} us"
            raise DataError.at(path, problem, fix="give a longer recording")
        return {"frames": self.frames(pieces[0].events(), pieces[0].span)}

    def for_voting(self) -> Self:
        return self if self.augment.changes else super().for_voting()

    def notices(self, *splits: Dataset) -> list[str]:
        """A notice about recordings that are longer than their frames."""
        longer = [s.longer() for s in splits if isinstance(s, EventSet)]
        total = sum(len(s) for s in splits)
        if not any(longer):
            return []
        return [
            f"{sum(longer)} of {total} samples are longer than {self.frames.steps} frames; the "
            "events after the last frame are not used. Raise data.frames.steps to use them."
        ]

    def _read_all(self, listing: Listing) -> tuple[list[Piece], list[int], int]:
        """Samples, their labels, and how many recordings were skipped."""
        pieces: list[Piece] = []
        labels: list[int] = []
        skipped = 0
        for i, label in enumerate(listing.labels.tolist()):
            try:
                events = _read_one(listing, i, pieces[0].sensor if pieces else None)
                new = self._pieces(events, listing.names[i])
            except DataError as error:
                if not self.skip_bad:
                    raise
                log.warning("skipped: %s", error)
                skipped += 1
                continue
            if not new:
                log.warning("%s is shorter than a slice and is left out", listing.names[i])
                skipped += 1
            pieces += new
            labels += [label] * len(new)
        return pieces, labels, skipped

    def _pieces(self, events: Events, name: str) -> list[Piece]:
        """The recording, or its slices."""
        first, stop = events.span
        if self.slice_us is None:
            span = (first if self.start == "first_event" else 0, stop)
            return [Piece.of(events, span, name)]
        size = self.slice_us
        if self.start == "zero":  # slices lie at multiples of their length
            first = first // size * size
        if (stop - first) // size > MOST_SLICES:
            problem = f"lasts {stop - first} us, more than {MOST_SLICES} slices of {size} us"
            raise DataError.at(name, problem, fix="raise data.slice_us, or correct its times")
        return [
            Piece.of(events.between(a, a + size), (a, a + size), f"{name}@{a}us")
            for a in range(first, stop - size + 1, size)
        ]


def _read_one(listing: Listing, i: int, sensor: tuple[int, int] | None) -> Events:
    """Recording i, checked to have a valid label and the sensor of earlier recordings."""
    label, top = int(listing.labels[i]), len(listing.class_names) - 1
    if not 0 <= label <= top:
        problem = f"recording {i} has the label {label}, outside 0..{top}"
        raise DataError.at(listing.path, problem, fix="correct `label` or complete `class_names`")
    events = listing.read(i)
    if sensor is not None and events.sensor != sensor:
        problem = f"has a sensor of {events.sensor}, recordings before it of {sensor}"
        fix = "give `sensor`, a (height, width) that all recordings fit into"
        raise DataError.at(listing.names[i], problem, fix=fix)
    return events
