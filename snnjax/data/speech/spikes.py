"""Recorded spikes: SHD and SSC, the Heidelberg data sets of spoken digits and words, in HDF5.

Cramer et al., "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks", IEEE TNNLS 2020. Needs h5py, which comes with the extra `events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.listing import visible_files

from .bins import bin_events
from .clips import Clip, Listing

UNITS = 700
CLASSES = {"shd": 20, "ssc": 35}
_NEEDED = ("spikes/times", "spikes/units", "labels")


def find_spikes(folder: Path) -> str | None:
    """The data set in the folder, shd or ssc; None if neither.

    Raises:
      DataError: the folder holds both, which is ambiguous.
    """
    found = [name for name in CLASSES if (folder / f"{name}_train.h5").is_file()]
    if len(found) > 1:
        problem = "holds SHD and SSC together"
        raise DataError.at(folder, problem, fix="move one of them to a folder of its own")
    return next(iter(found), None)


def list_spikes(folder: Path, part: str, *, channels: int, frame_ms: float) -> Listing:
    """One part, "train", "valid" (SSC) or "test"; reading a clip gives counts [T, C].

    Args:
      folder: with <name>_<part>.h5. part: see above.
      channels: groups of the 700 units. frame_ms: length of a frame.

    Raises:
      ImportError: h5py is not installed.
      DataError: the file is missing, truncated, or its arrays are not those of the data set.
    """
    name = find_spikes(folder) or next(iter(CLASSES))
    path = folder / f"{name}_{part}.h5"
    if not path.is_file():
        known = [p.name for p in visible_files(folder, (".h5",))]
        problem = f"there is no {path.name}; here are {', '.join(known)}"
        raise DataError.at(folder, problem, fix="download it too")
    bin_events(np.zeros(0), np.zeros(0), total=UNITS, channels=channels, frame_ms=frame_ms)
    with opened(path) as file:
        labels = _labels(file, path)
        names = _class_names(file, path, labels, CLASSES[name])
        speakers = _speakers(file, path, len(labels))
        times, units = (_rows(file, name, path) for name in ("spikes/times", "spikes/units"))
    clips = [
        Clip(
            partial(_frames, times[i], units[i], path, i, channels, frame_ms),
            int(labels[i]),
            speakers[i],
            str(i),
        )
        for i in range(len(labels))
    ]
    return Listing(clips, names, path, units=UNITS)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open the HDF5 file and check that the required arrays exist and have equal length."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{path} needs h5py to be read; install it with: pip install 'snnjax[events]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            _check_arrays(file, path)
            yield file
    except DataError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError) as error:  # what h5py raises
        raise DataError.at(
            path,
            f"is not an HDF5 file, or it is truncated or damaged ({error})",
            fix="copy or download it again",
        ) from error


def _check_arrays(file: Any, path: Path) -> None:
    for name in _NEEDED:
        if not hasattr(file.get(name), "shape"):
            problem = f"has no array `{name}`; it needs {', '.join(_NEEDED)}"
            raise DataError.at(path, problem, fix="take the file of the original data set")
    sizes = {name: file[name].shape for name in _NEEDED}
    if len(set(sizes.values())) > 1 or len(sizes["labels"]) != 1 or sizes["labels"] == (0,):
        text = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
        problem = f"arrays must be [N] with one N of at least 1; got {text}"
        raise DataError.at(path, problem, fix="copy the file again")


def _rows(file: Any, name: str, path: Path) -> np.ndarray:
    """An array with rows of different lengths."""
    rows = file[name][:]
    if rows.dtype != object:
        problem = f"`{name}` must hold a row of its own length for each recording; got {rows.dtype}"
        raise DataError.at(path, problem, fix="take the file of the original data set")
    return rows


def _labels(file: Any, path: Path) -> np.ndarray:
    labels = file["labels"][:]
    if labels.dtype.kind not in "iu" or int(labels.min()) < 0:
        least = f", least {labels.min()}" if labels.dtype.kind in "iuf" else ""
        problem = f"`labels` must be integers from 0 on; got {labels.dtype}{least}"
        raise DataError.at(path, problem, fix="save class numbers")
    return labels


def _class_names(file: Any, path: Path, labels: np.ndarray, classes: int) -> tuple[str, ...]:
    """The names in extra/keys; without them, the numbers of the classes."""
    names, source = tuple(map(str, range(classes))), "the data set has"
    if hasattr(file.get("extra/keys"), "shape"):
        keys, source = np.asarray(file["extra/keys"][()]), "`extra/keys` names"
        if keys.ndim != 1 or not keys.size:
            problem = f"`extra/keys` must be [classes]; got {keys.shape}"
            raise DataError.at(path, problem, fix="copy the file again")
        names = tuple(_text(key) for key in keys)
    at = int(labels.argmax())
    if labels[at] >= len(names):
        problem = f"`labels` is {labels[at]} for recording {at}, but {source} {len(names)} classes"
        raise DataError.at(
            path, problem, fix=f"copy the file again; labels are 0..{len(names) - 1}"
        )
    return names


def _speakers(file: Any, path: Path, count: int) -> list[str]:
    """Speakers from extra/speaker; "unknown" for all without it."""
    if not hasattr(file.get("extra/speaker"), "shape"):
        return ["unknown"] * count
    speakers = np.asarray(file["extra/speaker"][()])
    if speakers.shape != (count,):
        problem = f"`extra/speaker` must be [{count}]; got {speakers.shape}"
        raise DataError.at(path, problem, fix="copy the file again")
    return [_text(one) for one in speakers]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _frames(
    times: np.ndarray, units: np.ndarray, path: Path, i: int, channels: int, frame_ms: float
) -> np.ndarray:
    """The counts of one recording.

    Raises:
      DataError: units that are not integers in 0..699; times that are not numbers, negative, in
        another unit than seconds, or not in order.
    """
    times, units = np.asarray(times), np.asarray(units)
    if units.dtype.kind not in "iu":
        problem = f"`spikes/units` of recording {i} must be integers; got {units.dtype}"
        raise DataError.at(path, problem, fix="save them as uint16")
    if times.shape != units.shape:
        problem = (
            f"recording {i} has {times.size} in `spikes/times` and {units.size} in `spikes/units`"
        )
        raise DataError.at(path, problem, fix="copy the file again")
    if len(units) and not (units.min() >= 0 and units.max() < UNITS):
        problem = f"`spikes/units` of recording {i} go from {units.min()} to {units.max()}"
        raise DataError.at(path, problem, fix=f"units are 0..{UNITS - 1}")
    if times.dtype.kind != "f" or not np.isfinite(times).all() or times.max(initial=0) >= 60:
        problem = (
            f"`spikes/times` of recording {i} must be finite seconds, below a minute, as floats"
        )
        raise DataError.at(path, problem, fix="save seconds, not milliseconds or steps")
    if times.min(initial=0) < 0:
        problem = f"`spikes/times` of recording {i} begin at {times.min()}, before its start"
        raise DataError.at(path, problem, fix="count seconds from the start of the recording")
    if (times[1:] < times[:-1]).any():
        at = int(np.argmax(times[1:] < times[:-1]))
        problem = f"`spikes/times` of recording {i} fall from {times[at]} to {times[at + 1]}"
        raise DataError.at(path, problem, fix="sort its times and units together")
    return bin_events(times, units, total=UNITS, channels=channels, frame_ms=frame_ms)
