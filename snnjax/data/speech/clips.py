"""Listings of speech data sets: clips that are read on demand."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError


class Clip(NamedTuple):
    """One recording, not read yet.

    Attributes:
      read: returns its samples float32 [n], or its recorded spikes.
      label: class. speaker: name of the speaker. name: name of the recording.
    """

    read: Callable[[], np.ndarray]
    label: int
    speaker: str
    name: str


class Listing(NamedTuple):
    """The clips of one part of a data set.

    Attributes:
      clips: clips in a fixed order. class_names: classes of all parts. path: file or folder, for
        messages.
      rate: samples a second, or 0 for spikes recorded with `units` channels.
      units: channels of recorded spikes, or 0.
      skipped: recordings left out of all parts since their names or labels are wrong.
    """

    clips: list[Clip]
    class_names: tuple[str, ...]
    path: Path
    rate: int = 0
    units: int = 0
    skipped: int = 0


def tenth(train: Listing, validation: bool) -> Listing:
    """Every tenth training clip, from the tenth on, to validate on; or the others."""
    clips = [c for i, c in enumerate(train.clips) if (i % 10 == 9) == validation]
    return train._replace(clips=clips)


def hold_out(train: Listing, test: Listing, speaker: str) -> tuple[Listing, Listing]:
    """Both parts joined and split again: one speaker to test on, all others to train on.

    Raises:
      DataError: the speaker is unknown, or is the only one.
    """
    clips = train.clips + test.clips
    known = sorted({clip.speaker for clip in clips})
    if speaker not in known:
        near = difflib.get_close_matches(speaker, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known[:20])}"
        raise DataError(f"{train.path}: no speaker is called {speaker!r}; {hint}")
    if len(known) == 1:
        raise DataError.at(
            train.path,
            f"has one speaker only ({speaker}), so nobody is left to train on",
            fix="leave `held_out` out, or add recordings of others",
        )
    ours = [clip for clip in clips if clip.speaker == speaker]
    others = [clip for clip in clips if clip.speaker != speaker]
    return train._replace(clips=others), test._replace(clips=ours)
