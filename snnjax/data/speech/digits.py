"""Spoken digits: a folder of FSDD recordings, or the same packed into train.npz and test.npz.

FSDD is the Free Spoken Digit Dataset of Zohar Jackson and others: 8 kHz, mono, files called
<digit>_<speaker>_<take>.wav; takes 0 to 4 of each speaker and digit are the test part.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npz
from snnjax.data.errors import DataError
from snnjax.data.listing import visible_files

from .clips import Clip, Listing
from .wav import read_wav

log = logging.getLogger(__name__)
RATE = 8000
TEST_TAKES = 5
DIGITS = tuple("0123456789")
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav", re.IGNORECASE)
_ARRAYS = ("audio", "offset", "digit", "speaker", "take", "speaker_names", "sample_rate")


def list_digits(folder: Path, part: str, *, skip_bad: bool = False) -> Listing:
    """One part, "train" or "test", of a folder of spoken digits.

    With `skip_bad`, recordings whose name or label is wrong are left out, logged and counted.

    Raises:
      DataError: a file name does not give digit, speaker and take, or a packed part is malformed.
    """
    if is_packed(folder):
        _check_packs(folder)
        return _packed(folder / f"{part}.npz", skip_bad)
    files = wav_files(folder)
    clips = []
    skipped = 0
    known: dict[tuple[int, str, int], Path] = {}
    for path in files:
        match = _NAME.fullmatch(path.name)
        if match is None:
            fix = "rename it like 7_jackson_32.wav, or move it elsewhere"
            error = DataError.at(path, "is not called <digit>_<speaker>_<take>.wav", fix=fix)
            skipped += _skip(error, skip_bad)
            continue
        digit, speaker, take = match.groups()
        same = known.setdefault((int(digit), speaker, int(take)), path)
        if same != path:
            problem = f"is the same digit, speaker and take as {same.name}"
            raise DataError.at(path, problem, fix="remove one, or give it another take")
        if (int(take) < TEST_TAKES) == (part == "test"):
            read = partial(_file, path)
            clips.append(Clip(read, int(digit), speaker, path.stem))
    return Listing(clips, DIGITS, folder, rate=RATE, skipped=skipped)


def _skip(error: DataError, skip_bad: bool) -> int:
    """Raise the error, or log it and return 1."""
    if not skip_bad:
        raise error
    log.warning("skipped: %s", error)
    return 1


def is_packed(folder: Path) -> bool:
    """Whether the folder holds an archive of either part; then both are read from archives."""
    return any((folder / f"{part}.npz").is_file() for part in ("train", "test"))


def _check_packs(folder: Path) -> None:
    """Raise if a digit, speaker and take occurs twice, in one part or in both."""
    known: dict[tuple[int, str, int], tuple[Path, int]] = {}
    for path in (folder / "train.npz", folder / "test.npz"):
        for i, name in enumerate(_takes(path) if path.is_file() else []):
            other, first = known.setdefault(name, (path, i))
            if (other, first) != (path, i):
                place = f"recording {first}" + ("" if other == path else f" of {other.name}")
                problem = f"recording {i} has the digit, speaker and take of {place}: {name}"
                raise DataError.at(path, problem, fix="pack every recording once, in one part")


def _takes(path: Path) -> list[tuple[int, str, int]]:
    """Digit, speaker and take of each recording; empty if the part is malformed."""
    arrays = read_npz(path, only=("digit", "speaker", "take", "speaker_names"))
    if len(arrays) < 4 or any(a.ndim != 1 for a in arrays.values()):
        return []
    digit, who, take = (arrays[name].tolist() for name in ("digit", "speaker", "take"))
    names = _names(arrays["speaker_names"], path)
    rows = zip(digit, who, take, strict=False)
    return [(d, names[s], t) for d, s, t in rows if isinstance(s, int) and 0 <= s < len(names)]


def wav_files(folder: Path) -> list[Path]:
    """The wave files of a folder, or of `recordings` in it, in a fixed order."""
    inner = folder / "recordings"
    place = inner if inner.is_dir() else folder
    return visible_files(place, (".wav",))


def _packed(path: Path, skip_bad: bool) -> Listing:
    arrays = read_npz(path)
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        problem = f"has no array `{missing[0]}`; it needs {', '.join(_ARRAYS)}"
        raise DataError.at(path, problem, fix="pack the recordings again with all of them")
    audio, offset = arrays["audio"], _integers(arrays, "offset", path)
    _check_audio(arrays, path)
    count = len(offset) - 1
    digit, take, who = (_integers(arrays, n, path, count) for n in ("digit", "take", "speaker"))
    names = _names(arrays["speaker_names"], path)
    clips = []
    skipped = 0
    for i in range(count):
        if not (0 <= digit[i] <= 9 and 0 <= who[i] < len(names)):
            problem = f"recording {i} has digit {digit[i]} and speaker {who[i]}"
            fix = f"digits are 0..9, speakers index the {len(names)} `speaker_names`"
            skipped += _skip(DataError.at(path, problem, fix=fix), skip_bad)
            continue
        if offset[i] == offset[i + 1]:
            problem, fix = f"recording {i} holds no samples", "pack the others again without it"
            skipped += _skip(DataError.at(path, problem, fix=fix), skip_bad)
            continue
        name = f"{digit[i]}_{names[who[i]]}_{take[i]}"
        read = partial(_slice, audio, int(offset[i]), int(offset[i + 1]))
        clips.append(Clip(read, int(digit[i]), names[who[i]], name))
    return Listing(clips, DIGITS, path, rate=RATE, skipped=skipped)


def _names(array: np.ndarray, path: Path) -> list[str]:
    if array.dtype.kind not in "US" or array.ndim != 1:
        problem = f"`speaker_names` must be strings [speakers]; got {array.dtype} {array.shape}"
        raise DataError.at(path, problem, fix="save the name of each speaker once")
    names = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
    return names.tolist()


def _file(path: Path) -> np.ndarray:
    return read_wav(path, rates=(RATE,))[1]


def _slice(audio: np.ndarray, first: int, last: int) -> np.ndarray:
    return audio[first:last].astype(np.float32) / 32768


def _check_audio(arrays: dict[str, np.ndarray], path: Path) -> None:
    audio, offset = arrays["audio"], arrays["offset"]
    if audio.dtype != np.int16 or audio.ndim != 1:
        problem = f"`audio` must be int16 [samples]; got {audio.dtype} {audio.shape}"
        raise DataError.at(path, problem, fix="pack 16-bit PCM samples one after the other")
    steps = np.diff(offset.astype(np.int64))
    if len(offset) < 2 or offset[0] != 0 or offset[-1] != len(audio) or (steps < 0).any():
        problem = f"`offset` must rise from 0 to the {len(audio)} samples of `audio`"
        raise DataError.at(path, problem, fix="save the N + 1 borders of the recordings")
    rate = arrays["sample_rate"]
    if rate.size != 1 or rate.dtype.kind not in "iuf" or rate.item() != RATE:
        problem = f"`sample_rate` must be {RATE}; got {rate.tolist()}"
        raise DataError.at(path, problem, fix=f"resample the recordings to {RATE} Hz")


def _integers(
    arrays: dict[str, np.ndarray], name: str, path: Path, count: int | None = None
) -> np.ndarray:
    array = arrays[name]
    if array.dtype.kind not in "iu" or array.ndim != 1 or count not in (None, len(array)):
        wanted = "integers [N + 1]" if count is None else f"integers [{count}]"
        problem = f"`{name}` must be {wanted}; got {array.dtype} {array.shape}"
        raise DataError.at(path, problem, fix="save one integer for each recording")
    return array
