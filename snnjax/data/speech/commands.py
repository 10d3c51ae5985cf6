"""Speech Commands v0.02: one folder per word, 16 kHz, lists of validation and test files.

Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018. Recordings are
trimmed or zero-padded to one second and downsampled to 8 kHz.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.listing import is_hidden, visible_files, visible_folders
from snnjax.data.text import check_lists, read_names

from .clips import Clip, Listing
from .wav import read_wav

log = logging.getLogger(__name__)
FILE_RATE, RATE = 16_000, 8_000
LISTS = {"test": "testing_list.txt", "valid": "validation_list.txt"}


def list_commands(folder: Path, part: str, *, skip_bad: bool = False) -> Listing:
    """One part, "train", "valid" or "test".

    Files in neither list form the training part; folders that begin with _ (noise) are not words.
    Hidden files are left out; so are, with `skip_bad`, listed files that are missing, which are
    logged and counted.

    Raises:
      DataError: a list is missing, names a file that is not there or one that is listed already, or
        there are no words.
    """
    rows = {name: _read_list(folder, file, skip_bad) for name, file in LISTS.items()}
    check_lists({folder / LISTS[name]: found for name, found in rows.items()})
    listed = {
        name: [row for _, row in found if _is_clip(folder, row)] for name, found in rows.items()
    }
    words = tuple(p.name for p in visible_folders(folder) if not p.name.startswith("_"))
    if not words:
        raise DataError.at(folder, "holds no word folders", fix="unpack the archive here")
    if part == "train":
        kept = set(listed["test"]) | set(listed["valid"])
        files = [f"{word}/{p.name}" for word in words for p in _wavs(folder / word)]
        files = [name for name in files if name not in kept]
    else:
        files = listed[part]
    clips = [_clip(folder, name, words) for name in files]
    missing = len(rows[part]) - len(files) if part in rows else 0
    return Listing(clips, words, folder, rate=RATE, skipped=missing)


def halve(audio: np.ndarray, *, taps: int = 64) -> np.ndarray:
    """Every second sample after a low-pass at a quarter of the rate, float32 [ceil(n / 2)].

    The filter is a sinc under a Hann window of 2 * taps + 1 samples, with gain 1 at 0 Hz.

    >>> tone = np.cos(2 * np.pi * 500 * np.arange(1600) / 16000)
    >>> float(abs(halve(tone)[100:700] - tone[200:1400:2]).max()) < 1e-3
    True
    """
    at = np.arange(-taps, taps + 1)
    kernel = 0.5 * np.sinc(at / 2) * (0.5 + 0.5 * np.cos(np.pi * at / (taps + 1)))
    return np.convolve(audio, kernel / kernel.sum(), mode="full")[taps:-taps:2].astype(np.float32)


def one_second(path: Path) -> np.ndarray:
    """A file of 16 kHz, trimmed or zero-padded to one second, at 8 kHz; float32 [8000]."""
    audio = read_wav(path, rates=(FILE_RATE,))[1][:FILE_RATE]
    return halve(np.pad(audio, (0, FILE_RATE - len(audio))))


def _clip(folder: Path, name: str, words: tuple[str, ...]) -> Clip:
    word, _, file = name.partition("/")
    speaker = file.partition("_nohash_")[0].removesuffix(".wav")
    return Clip(partial(one_second, folder / word / file), words.index(word), speaker, name)


def _wavs(folder: Path) -> list[Path]:
    return visible_files(folder, (".wav",))


def _read_list(folder: Path, file: str, skip_bad: bool) -> list[tuple[int, str]]:
    path = folder / file
    if not path.is_file():
        problem = f"there is no {file}"
        raise DataError.at(folder, problem, fix="unpack the complete archive of Speech Commands")
    rows = read_names(path)
    for line, row in rows:
        if not _is_clip(folder, row):
            problem = f"'{row}' is listed, but is not a file in the folder of a word"
            fix = "complete the folder, or correct the list"
            error = DataError.at(path, problem, line=line, fix=fix)
            # Another spelling of a file that is here would be trained on, not left out.
            if not (skip_bad and _is_name(row) and not (folder / row).exists()):
                raise error
            log.warning("skipped: %s", error)
    return rows


def _is_clip(folder: Path, row: str) -> bool:
    """Whether a row names an existing file with the exact spelling of its word folder."""
    try:
        return _is_name(row) and (folder / row).is_file()
    except OSError:  # such as a name that is too long
        return False


def _is_name(row: str) -> bool:
    """Whether a row has the form <word>/<file> of a file that is not hidden."""
    word, _, file = row.partition("/")
    return (
        bool(file) and Path(file).name == file and word[:1] not in ("", "_") and not is_hidden(row)
    )
