"""One file, one recording: the format follows from the name and is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npz
from snnjax.data.errors import DataError

from .binary import NMNIST_SENSOR, Raw, read_aedat, read_bin, read_bytes, read_dat
from .evt import read_raw
from .stream import LATEST, Events, check_events, check_sensor


def read_events(
    path: str | Path, *, sensor: tuple[int, int] | None = None, first_pixel: int = 0
) -> Events:
    """Read a recording and check every event.

    Args:
      path: N-MNIST .bin, AEDAT 2.0 (DVS128) or 3.1 .aedat, Prophesee .dat (version 2) or .raw (EVT
        2, EVT 3), arrays t, x, y, p and perhaps `sensor` in .npz, or lines "t x y p" in .txt, .csv.
      sensor: (H, W); None takes that of the file, and 34 x 34 of .bin files. Required where the
        file does not specify it (.npz and text without it, most .dat).
      first_pixel: number of the first row and column, 1 in recordings exported from MATLAB.

    Raises:
      DataError: the file, the event, and the fix.
    """
    path = Path(path)
    check_sensor(sensor)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        problem = f"cannot read '{path.suffix}' files; supported are {known}"
        raise DataError.at(path, problem, fix="export the recording as .npz with t, x, y, p")
    raw = reader(path)
    sensor = sensor or raw.sensor or (NMNIST_SENSOR if path.suffix.lower() == ".bin" else None)
    if sensor is None:
        raise DataError.at(path, "does not specify the size of its sensor", fix=NO_SENSOR)
    return check_events(raw.t, raw.x - first_pixel, raw.y - first_pixel, raw.p, sensor, path)


NO_SENSOR = "give `sensor` as (height, width); .npz files may hold it as an array `sensor`"


def _read_npz(path: Path) -> Raw:
    arrays = read_npz(path)
    if "offset" in arrays:
        problem = "holds many recordings (it has `offset`), but a single one is needed here"
        raise DataError.at(path, problem, fix="save the arrays t, x, y, p of one recording")
    t, x, y, p = event_arrays(arrays, path)
    return Raw(t, x, y, p, stored_sensor(arrays, path))


def event_arrays(arrays: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, ...]:
    """t, x, y, p of an .npz file; x and y as int64, so that `first_pixel` cannot wrap."""
    missing = [name for name in "txyp" if name not in arrays]
    if missing:
        problem = f"has no array `{missing[0]}` (found {sorted(arrays)})"
        raise DataError.at(path, problem, fix="save t, x, y and p, one entry for each event")
    for name in "xy":
        if arrays[name].dtype.kind not in "iu":
            problem = f"`{name}` must be integers (pixels); got {arrays[name].dtype}"
            raise DataError.at(path, problem, fix="save int16")
    return arrays["t"], arrays["x"].astype(np.int64), arrays["y"].astype(np.int64), arrays["p"]


def stored_sensor(arrays: dict[str, np.ndarray], path: Path) -> tuple[int, int] | None:
    """(H, W) of an .npz file that holds it."""
    sensor = arrays.get("sensor")
    if sensor is None:
        return None
    if sensor.shape != (2,) or sensor.dtype.kind not in "iu" or int(sensor.min()) < 1:
        problem = f"`sensor` must be two positive integers; got {sensor.dtype} {sensor.tolist()}"
        raise DataError.at(path, problem, fix="save np.array([height, width])")
    return int(sensor[0]), int(sensor[1])


def _read_text(path: Path) -> Raw:
    """Lines "t x y p"; # starts a comment, and a first line of two integers is "width height".

    Times are integer microseconds, or seconds if the first has a decimal point.
    """
    text = read_bytes(path).removeprefix(b"\xef\xbb\xbf").replace(b",", b" ")
    lines = [
        (i, words)
        for i, line in enumerate(text.splitlines(), start=1)
        if (words := line.partition(b"#")[0].split())
    ]
    sensor = None
    if lines and len(lines[0][1]) == 2:
        width, height = _integers(lines[0][1], path, lines[0][0])
        if min(width, height) < 1:
            problem = f"declares a sensor of {width} columns and {height} rows"
            raise DataError.at(path, problem, line=lines[0][0], fix="correct the line")
        sensor, lines = (height, width), lines[1:]
    for i, words in lines:
        if len(words) != 4:
            problem = f"has {len(words)} values; t, x, y and p are expected"
            raise DataError.at(path, problem, line=i, fix="save four numbers for each event")
    seconds = bool(lines) and b"." in lines[0][1][0]
    rows = np.array([_integers(w, path, i, seconds) for i, w in lines], np.int64).reshape(-1, 4)
    return Raw(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], sensor)


def _integers(words: list[bytes], path: Path, line: int, seconds: bool = False) -> list[int]:
    try:
        first = round(float(words[0]) * 1e6) if seconds else int(words[0])
        values = [first, *map(int, words[1:])]
        if max(map(abs, values)) > LATEST:
            raise ValueError("beyond the times and pixels of any recording")
        return values
    except (ValueError, OverflowError) as error:
        unit = "seconds" if seconds else "integer microseconds"
        problem = f"is not a time in {unit} and integers: {b' '.join(words)[:40]!r}"
        raise DataError.at(path, problem, line=line, fix="correct or remove the line") from error


READERS: dict[str, Callable[[Path], Raw]] = {
    ".bin": read_bin,
    ".aedat": read_aedat,
    ".dat": read_dat,
    ".raw": read_raw,
    ".npz": _read_npz,
    ".txt": _read_text,
    ".csv": _read_text,
}
