"""Open any data set of speech: a folder whose layout is recognised."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from snnjax.data.draws import spread
from snnjax.data.errors import DataError

from .clips import Clip, Listing, hold_out, tenth
from .commands import LISTS, halve, list_commands
from .digits import RATE, is_packed, list_digits, wav_files
from .front_end import FrontEnd
from .sequences import SequenceSet
from .spikes import find_spikes, list_spikes
from .wav import read_wav

log = logging.getLogger(__name__)

LAYOUTS = """understood layouts:
  <folder>/train.npz, test.npz               spoken digits, packed (see snnjax.data.speech.digits)
  <folder>/[recordings/]7_name_32.wav        spoken digits, FSDD
  <folder>/<word>/*.wav, testing_list.txt    Speech Commands
  <folder>/shd_train.h5 or ssc_train.h5      recorded spikes, SHD and SSC"""


def load_speech(
    source: str | Path,
    split: str,
    *,
    front_end: FrontEnd | None = None,
    held_out: str | None = None,
    validate: bool = False,
    size: int | None = None,
    skip_bad: bool = False,
) -> SequenceSet:
    """One split of labelled speech as frames.

    Args:
      source: a folder. split: "train" or "test".
      front_end: converts recordings to frames; None uses the default `FrontEnd`.
      held_out: test on all clips of this speaker and train on all others, instead of using the
        data set's own parts.
      validate: test on the validation part of the data set. Digits and SHD have none: every tenth
        training clip is held out for validation instead.
      size: how many samples, evenly spread over the order; None takes all.
      skip_bad: leave out clips that cannot be read or whose name is wrong, count them in `.skipped`
        and log each. Hidden files (`._a.wav`) are never read.

    Raises:
      DataError: the folder is missing or its layout is not understood, or a clip is bad.
      ValueError: the front end does not suit the source.
    """
    if split not in ("train", "test"):
        raise ValueError(f"`split` must be 'train' or 'test'; got {split!r}")
    if size is not None and size < 1:
        raise ValueError(f"`size` must be at least 1; got {size}")
    if held_out is not None and validate:
        raise ValueError("give `held_out` or `validate`, not both: each decides what is tested")
    front_end = FrontEnd() if front_end is None else front_end
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(f"the data folder {source} does not exist; give a folder; {LAYOUTS}")
    if held_out is not None:
        own = [_listing(folder, part, front_end, skip_bad) for part in ("train", "test")]
        listing = hold_out(own[0], own[1], held_out)[split == "test"]
    elif validate and not has_validation(folder):
        listing = tenth(_listing(folder, "train", front_end, skip_bad), split == "test")
    else:
        part = "valid" if validate and split == "test" else split
        listing = _listing(folder, part, front_end, skip_bad)
    if not listing.clips:
        raise DataError.at(listing.path, f"the {split} part is empty", fix="add recordings")
    return _read(listing, front_end, size, skip_bad)


def read_recording(path: str | Path, front_end: FrontEnd) -> np.ndarray:
    """The frames [T, C] of one wave file of 8 kHz, or of 16 kHz, which is halved.

    Raises:
      DataError: the file is malformed. ValueError: the front end cannot process audio.
    """
    if front_end.name == "recorded":
        raise ValueError(
            f"{path}: the front end 'recorded' is for recorded spikes and cannot process audio"
        )
    rate, audio = read_wav(path, rates=(RATE, 2 * RATE))
    audio = audio if rate == RATE else halve(audio)
    return next(front_end([audio], RATE))


def has_validation(folder: Path) -> bool:
    """Whether the data set in this folder has a validation part."""
    if find_spikes(folder) is not None:
        return find_spikes(folder) == "ssc"
    return any((folder / name).is_file() for name in LISTS.values())


def _listing(folder: Path, part: str, front_end: FrontEnd, skip_bad: bool) -> Listing:
    if find_spikes(folder) is not None:
        if front_end.name != "recorded":
            raise ValueError(
                f"{folder} holds recorded spikes, not audio; set the front end's name to 'recorded'"
            )
        return list_spikes(folder, part, channels=front_end.channels, frame_ms=front_end.frame_ms)
    if front_end.name == "recorded":
        raise ValueError(f"{folder} holds no recorded spikes; take log_mel or cochlea. {LAYOUTS}")
    if any((folder / name).is_file() for name in LISTS.values()):
        return list_commands(folder, part, skip_bad=skip_bad)
    if is_packed(folder) or wav_files(folder):
        return list_digits(folder, part, skip_bad=skip_bad)
    raise DataError(f"{folder}: no speech is found here; {LAYOUTS}")


def _read(listing: Listing, front_end: FrontEnd, size: int | None, skip_bad: bool) -> SequenceSet:
    chosen = [listing.clips[i] for i in spread(len(listing.clips), size)]
    kept: list[Clip] = []

    def readable():
        for clip in chosen:
            try:
                content = clip.read()
            except DataError as error:
                if not skip_bad:
                    raise
                log.warning("skipped: %s", error)
                continue
            kept.append(clip)
            yield content

    read = readable()
    frames = list(read if listing.units else front_end(read, listing.rate))
    if not frames:
        problem = f"none of {len(chosen)} clips can be read"
        raise DataError.at(listing.path, problem, fix="see the log for each")
    return SequenceSet(
        frames,
        np.array([clip.label for clip in kept], np.int32),
        listing.class_names,
        speakers=tuple(clip.speaker for clip in kept),
        names=tuple(clip.name for clip in kept),
        skipped=listing.skipped + len(chosen) - len(kept),
    )
