"""The settings that turn events into frames of one shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from snnjax.data.checks import at_least_one
from snnjax.data.errors import DataError

from .frames import Polarity, to_binary_frames, to_count_frames, to_time_surface, to_voxel_grid
from .stream import Events
from .windows import EqualParts, EventCount, Frames, TimeWindow

_COUNTS = {
    ("both", 8): np.uint8,
    ("both", 16): np.uint16,
    ("both", 32): np.uint32,
    ("signed", 8): np.int8,
    ("signed", 16): np.int16,
    ("signed", 32): np.int32,
}


@dataclass(frozen=True)
class EventFrames:
    """How the events of a sample become frames [T, H, W, C].

    Without `window_us` and `events_per_frame` the sample is divided into `steps` equal parts.
    """

    kind: Literal["count", "binary", "voxel", "surface"] = "count"
    """Counts, 0 and 1, counts split linearly between two frames, or exponential time surfaces."""
    steps: int = 10
    """Number of frames, T."""
    window_us: int | None = None
    """Length of a frame in microseconds; events after the last frame are left out."""
    events_per_frame: int | None = None
    """Events in a frame; events after the last frame are left out."""
    polarity: Polarity = "both"
    """Two channels, darker and brighter, or one with their difference."""
    downsample: int = 1
    """Merge the events of this number of rows and columns."""
    tau_us: float | None = None
    """Time constant of a time surface in microseconds."""
    bits: Literal[8, 16, 32] = 16
    """Size of a count on its way to the device; a larger count is an error."""

    def __post_init__(self) -> None:
        if self.kind not in ("count", "binary", "voxel", "surface"):
            raise ValueError(
                f"data.frames.kind must be count, binary, voxel or surface; got {self.kind!r}"
            )
        if (self.polarity, self.bits) not in _COUNTS:
            raise ValueError(
                "data.frames.polarity must be 'both' or 'signed' and bits 8, 16 or 32; got "
                f"{self.polarity!r} and {self.bits!r}"
            )
        if self.window_us is not None and self.events_per_frame is not None:
            raise ValueError(
                "give data.frames.window_us or data.frames.events_per_frame, not both: each "
                "decides where a frame ends"
            )
        if (self.kind == "surface") != (self.tau_us is not None):
            verb = "needs" if self.kind == "surface" else "does not use"
            raise ValueError(f"kind={self.kind!r} {verb} data.frames.tau_us; got {self.tau_us}")
        if self.tau_us is not None and not 0 < self.tau_us < np.inf:
            raise ValueError(f"data.frames.tau_us must be finite and above 0; got {self.tau_us}")
        if self.kind != "count" and self.bits != 16:
            raise ValueError(f"data.frames.bits is a size of counts; kind={self.kind!r} has none")
        for name in ("steps", "downsample", "window_us", "events_per_frame"):
            if getattr(self, name) is not None:
                at_least_one(f"data.frames.{name}", getattr(self, name))

    def __call__(
        self, events: Events, span: tuple[int, int], where: str | Path = "events"
    ) -> np.ndarray:
        """Frames of a sample.

        Args:
          events: sorted events. span: the sample's span, unaffected by augmentation. where: the
            source, for messages.

        Returns:
          [T, H, W, C]: counts of `bits` bits, unsigned or signed; binary frames uint8 or int8; else
          float32.

        Raises:
          DataError: a count does not fit.
        """
        options = {"polarity": self.polarity, "downsample": self.downsample, "span": span}
        if self.kind == "surface" and self.tau_us is not None:
            return to_time_surface(events, self.rule, tau_us=self.tau_us, **options)
        if self.kind == "voxel":
            return to_voxel_grid(events, self.rule, **options)
        if self.kind == "binary":
            return to_binary_frames(events, self.rule, **options)
        return self._fit(to_count_frames(events, self.rule, **options), where)

    def _fit(self, counts: np.ndarray, where: str | Path) -> np.ndarray:
        dtype = np.dtype(_COUNTS[self.polarity, self.bits])
        if not np.can_cast(counts.dtype, dtype):  # they have the narrowest type that holds them
            i = np.unravel_index(int(np.abs(counts.astype(np.int64)).argmax()), counts.shape)
            problem = f"frame {i[0]} has {int(counts[i])} events in one pixel, too many for {dtype}"
            raise DataError.at(where, problem, fix="raise data.frames.bits, or shorten the frames")
        return counts.astype(dtype)

    @property
    def rule(self) -> Frames:
        """Which events belong to which frame."""
        if self.window_us is not None:
            return TimeWindow(self.window_us, self.steps)
        if self.events_per_frame is not None:
            return EventCount(self.events_per_frame, self.steps)
        return EqualParts(self.steps)

    @property
    def channels(self) -> int:
        """2, or 1 with signed polarity."""
        return 2 if self.polarity == "both" else 1

    def shape(self, sensor: tuple[int, int]) -> tuple[int, int, int, int]:
        """T, H, W, C for a sensor (H, W)."""
        height, width = (-(-size // self.downsample) for size in sensor)
        return self.steps, height, width, self.channels

    def leaves_out(self, events: Events, span: tuple[int, int]) -> bool:
        """Whether events come after the last frame."""
        index, steps = self.rule.index(events, span)
        return bool((index >= steps).any())
