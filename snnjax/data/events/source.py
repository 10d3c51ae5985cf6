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
from snnjax.data.clouds.folder import spread
from snnjax.data.errors import DataError
from snnjax.data.source import Dataset, Sample, SourceBase

from .augment import EventAugment
from .dataset import EventSet, Piece
from .files import read_events
from .framing import EventFrames
from .recordings import Listing, list_recordings
from .stream import Events, check_sensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventSource(SourceBase):
    """Recordings of an event camera as sequences of frames [T, H, W, C].

    `path` is a folder, see `snnjax.data.events.recordings`. Frames are made on the host when a
    sample is asked for, after the random changes of training; the device receives integers where
    frames are counts.
    """

    frames: EventFrames = field(default_factory=EventFrames)
    """How events become frames."""
    augment: EventAugment | None = None
    """Random changes in training; None leaves events as they are."""
    sensor: tuple[int, int] | None = None
    """Height and width in pixels; None takes what the files say."""
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
        x = jnp.moveaxis(batch["frames"], 0, 1).astype(jnp.float32)
        return {"x": x} | {name: batch[name] for name in ("label",) if name in batch}

    def read(self, path: str | Path) -> Sample:
        """The frames of one file; with `slice_us`, of its first slice."""
        events = read_events(path, sensor=self.sensor, first_pixel=self.first_pixel)
        pieces = self._pieces(events, str(path))
        if not pieces:
            problem = f"is shorter than `slice_us`, {self.slice_us} us"
            raise DataError.at(path, problem, fix="give a longer recording")
        return {"frames": self.frames(pieces[0].events(), pieces[0].span)}

    def for_voting(self) -> Self:
        if self.augment is None or not self.augment.changes:
            return super().for_voting()
        return self

    def notices(self, *splits: Dataset) -> list[str]:
        """Recordings of which frames do not show the end."""
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
                if not 0 <= label < len(listing.class_names):
                    top = len(listing.class_names) - 1
                    problem = f"recording {i} has the label {label}, outside 0..{top}"
                    fix = "correct `label` or complete `class_names`"
                    raise DataError.at(listing.path, problem, fix=fix)
                events = listing.read(i)
                if pieces and events.sensor != pieces[0].sensor:
                    problem = f"has a sensor of {events.sensor}, others {pieces[0].sensor}"
                    fix = "give `sensor`, (height, width) that all recordings fit into"
                    raise DataError.at(listing.names[i], problem, fix=fix)
            except DataError as error:
                if not self.skip_bad:
                    raise
                log.warning("skipped: %s", error)
                skipped += 1
                continue
            new = self._pieces(events, listing.names[i])
            if not new:
                log.warning("%s is shorter than a slice and is left out", listing.names[i])
                skipped += 1
            pieces += new
            labels += [label] * len(new)
        return pieces, labels, skipped

    def _pieces(self, events: Events, name: str) -> list[Piece]:
        """The recording, or its slices."""
        first, stop = events.span
        first = first if self.start == "first_event" else 0
        if self.slice_us is None:
            return [Piece.of(events, (first, stop), name)]
        starts = range(first, stop - self.slice_us + 1, self.slice_us)
        return [
            Piece.of(events.between(a, a + self.slice_us), (a, a + self.slice_us), f"{name}@{a}us")
            for a in starts
        ]
