"""Speech Commands v0.02: a folder a word, 16 kHz, and lists of the files to validate and test on.

Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018. Recordings are
trimmed or zero-padded to one second and downsampled to 8 kHz.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.text import read_names

from .clips import Clip, Listing
from .wav import read_wav

FILE_RATE, RATE = 16_000, 8_000
LISTS = {"test": "testing_list.txt", "valid": "validation_list.txt"}


def list_commands(folder: Path, part: str) -> Listing:
    """One part, "train", "valid" or "test".

    What neither list names is the training part; folders that begin with _ (noise) are not words.

    Raises:
      DataError: a list is missing, names a file that is not there, or there are no words.
    """
    listed = {name: _read_list(folder, file) for name, file in LISTS.items()}
    words = tuple(
        sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[:1] not in ("_", "."))
    )
    if not words:
        raise DataError.at(folder, "holds no folder of a word", fix="unpack the archive here")
    if part == "train":
        kept = set(listed["test"]) | set(listed["valid"])
        files = [f"{word}/{p.name}" for word in words for p in _wavs(folder / word)]
        files = [name for name in files if name not in kept]
    else:
        files = listed[part]
    clips = [_clip(folder, name, words) for name in files]
    return Listing(clips, words, folder, rate=RATE)


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
    return sorted(p for p in folder.iterdir() if p.suffix == ".wav" and p.is_file())


def _read_list(folder: Path, file: str) -> list[str]:
    path = folder / file
    if not path.is_file():
        problem = f"there is no {file}"
        raise DataError.at(folder, problem, fix="unpack the complete archive of Speech Commands")
    rows = read_names(path)
    for line, row in rows:
        if not _is_clip(folder, row):
            raise DataError.at(
                path,
                f"'{row}' is listed, but is not a file in the folder of a word",
                line=line,
                fix="complete the folder, or correct the list",
            )
    return [row for _, row in rows]


def _is_clip(folder: Path, row: str) -> bool:
    """Whether a row names an existing file exactly as the folders of words are listed."""
    word, _, file = row.partition("/")
    if not file or Path(file).name != file or word[:1] in ("", "_", "."):
        return False
    try:
        return (folder / word / file).is_file()
    except OSError:  # such as a name that is too long
        return False
