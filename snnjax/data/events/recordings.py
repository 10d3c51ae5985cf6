"""The recordings of a split: packed in one .npz, or a file each in folders of classes.

Packed arrays: `t` microseconds, `x`, `y`, `p` [M], the events of all recordings one after the
other; `offset` [N + 1], so that recording i owns the rows offset[i]:offset[i + 1]; `label` [N];
perhaps `class_names` [K] (else the classes are numbers, over both splits), `name` [N], and
`sensor` [2], height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npz
from snnjax.data.errors import DataError

from .files import NO_SENSOR, READERS, event_arrays, read_events, stored_sensor
from .stream import Events, check_events

LAYOUTS = f"""understood layouts:
  <folder>/train.npz, test.npz        packed splits (arrays: see snnjax.data.events.recordings)
  <folder>/all.npz                    both splits packed; `train_recordings` sets the train size
  <folder>/train/<class>/*, test/...  one file per recording: {", ".join(READERS)}"""


@dataclass(frozen=True)
class Listing:
    """Recordings of a split, to be read one at a time.

    Attributes:
      read: recording i, checked. labels: int64 [N]. class_names: the classes of both splits. names:
        [N].
      path: file or folder, for messages.
    """

    read: Callable[[int], Events]
    labels: np.ndarray
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    path: Path


def list_recordings(
    folder: Path,
    split: str,
    *,
    sensor: tuple[int, int] | None,
    first_pixel: int,
    train_recordings: int | None,
) -> Listing:
    """The recordings of a split of a folder whose layout is recognised.

    Args:
      folder: the data. split: "train" or "test". sensor, first_pixel: as in `read_events`.
      train_recordings: in all.npz, how many come first and are the training split.

    Raises:
      DataError: no known layout, or arrays that do not fit together.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise DataError(f"{folder} {what}; a data set of events is a folder; {LAYOUTS}")
    packed, both = folder / f"{split}.npz", folder / "all.npz"
    if packed.is_file() or both.is_file():
        path = packed if packed.is_file() else both
        if (path == both) != (train_recordings is not None):
            problem = "holds both splits" if path == both else "holds one split"
            verb = "set" if path == both else "leave out"
            fix = f"{verb} `train_recordings`, the number of recordings that are the training split"
            raise DataError.at(path, problem, fix=fix)
        return _packed(path, split, sensor, first_pixel, train_recordings)
    places = {s: p for s in ("train", "test") for p in _folders(folder) if p.name.lower() == s}
    if split not in places:
        raise DataError(f"{folder}: no {split} split of events is found here; {LAYOUTS}")
    if train_recordings is not None:
        fix = "leave out `train_recordings`"
        raise DataError.at(folder, "has a folder for each split", fix=fix)
    return _files(folder, places, split, sensor, first_pixel)


def _files(
    folder: Path,
    places: dict[str, Path],
    split: str,
    sensor: tuple[int, int] | None,
    first_pixel: int,
) -> Listing:
    classes = sorted({p.name for place in places.values() for p in _folders(place)})
    found = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _event_files(places[split] / name)
    ]
    if not found:
        fix = f"add files ({', '.join(READERS)}) in a folder for each class"
        raise DataError.at(places[split], f"the {split} split is empty", fix=fix)
    training = {} if split == "train" else _identities(places.get("train"), classes)

    def read(i: int) -> Events:
        path = found[i][0]
        twin = training.get(_identity(path))
        if twin is not None:
            problem = f"is the same file as {twin} of the training split"
            raise DataError.at(path, problem, fix="remove it from one of the splits")
        return read_events(path, sensor=sensor, first_pixel=first_pixel)

    return Listing(
        read,
        np.array([label for _, label in found], np.int64),
        tuple(classes),
        tuple(str(path.relative_to(folder)) for path, _ in found),
        folder,
    )


def _identity(path: Path) -> tuple[int, int]:
    """An identity that is equal for links to the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _identities(place: Path | None, classes: list[str]) -> dict[tuple[int, int], Path]:
    """The files of a split by identity."""
    if place is None:
        return {}
    return {_identity(path): path for name in classes for path in _event_files(place / name)}


def _packed(
    path: Path,
    split: str,
    sensor: tuple[int, int] | None,
    first_pixel: int,
    train_recordings: int | None,
) -> Listing:
    arrays = read_npz(path)
    labels = _labels(arrays, path)
    t, x, y, p = event_arrays(arrays, path)
    ends = _offsets(arrays, path, len(labels), len(t))
    sensor = sensor or stored_sensor(arrays, path)
    if sensor is None:
        raise DataError.at(path, "does not specify the size of its sensor", fix=NO_SENSOR)
    first, last = _part(split, train_recordings, len(labels), path)

    def read(i: int) -> Events:
        rows = slice(ends[first + i], ends[first + i + 1])
        place = f"{path}, recording {first + i}"
        return check_events(
            t[rows], x[rows] - first_pixel, y[rows] - first_pixel, p[rows], sensor, place
        )

    names = _strings(arrays, "name", path)
    if names and len(names) != len(labels):
        problem = f"`name` must be strings of shape [{len(labels)}]; got {len(names)}"
        raise DataError.at(path, problem, fix="save one name for each recording, or none at all")
    known = names or tuple(f"{path.stem}#{i}" for i in range(len(labels)))
    return Listing(
        read, labels[first:last], _class_names(arrays, path, labels), known[first:last], path
    )


def _part(split: str, train_recordings: int | None, total: int, path: Path) -> tuple[int, int]:
    """First and last recording of a split."""
    if train_recordings is None:
        return 0, total
    if not 0 < train_recordings < total:
        problem = f"`train_recordings` is {train_recordings} of {total} recordings"
        raise DataError.at(path, problem, fix=f"set it to 1..{total - 1}")
    return (0, train_recordings) if split == "train" else (train_recordings, total)


def _labels(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    label = arrays.get("label")
    if label is None or label.ndim != 1 or label.dtype.kind not in "iu":
        found = "it is missing" if label is None else f"got {label.dtype} {label.shape}"
        problem = f"`label` must be integers of shape [N]; {found}"
        raise DataError.at(path, problem, fix="save one integer for each recording")
    if len(label) == 0:
        raise DataError.at(path, "the split is empty", fix="pack at least one recording")
    return label.astype(np.int64)


def _offsets(arrays: dict[str, np.ndarray], path: Path, recordings: int, events: int) -> list[int]:
    offset = arrays.get("offset")
    if offset is None or offset.shape != (recordings + 1,) or offset.dtype.kind not in "iu":
        found = "it is missing" if offset is None else f"got {offset.dtype} {offset.shape}"
        problem = f"`offset` must be {recordings + 1} integers for {recordings} labels; {found}"
        raise DataError.at(path, problem, fix="save N + 1 offsets")
    ends = [int(end) for end in offset]
    if ends[0] != 0 or ends[-1] != events or ends != sorted(ends):
        problem = f"`offset` must rise from 0 to {events}, the number of events"
        raise DataError.at(path, problem, fix="save the running sum of the numbers of events")
    sizes = {name: arrays[name].shape for name in "txyp"}
    if set(sizes.values()) != {(events,)}:
        found = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
        problem = f"t, x, y and p must be [M] with one M; got {found}"
        raise DataError.at(path, problem, fix="save one entry of each array for each event")
    return ends


def _class_names(arrays: dict[str, np.ndarray], path: Path, labels: np.ndarray) -> tuple[str, ...]:
    """The class names in the files, which must agree in both splits; otherwise numbers."""
    names, largest = _strings(arrays, "class_names", path), int(labels.max())
    for other in (path.with_name("train.npz"), path.with_name("test.npz")):
        if other == path or path.stem == "all" or not other.is_file():
            continue
        theirs = read_npz(other, only=("class_names", "label"))
        if _strings(theirs, "class_names", other) != names:
            problem = f"has different `class_names` from {other.name}"
            raise DataError.at(path, problem, fix="pack both splits with the same list")
        largest = max(largest, int(_labels(theirs, other).max()))
    names = names or tuple(map(str, range(largest + 1)))
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        problem = f"`class_names` holds {', '.join(map(repr, twice))} more than once"
        raise DataError.at(path, problem, fix="give every class a name of its own")
    return names


def _strings(arrays: dict[str, np.ndarray], name: str, path: Path) -> tuple[str, ...]:
    found = arrays.get(name)
    if found is None:
        return ()
    if found.ndim != 1 or found.dtype.kind not in "US":
        problem = f"`{name}` must be a list of strings; got {found.dtype} {found.shape}"
        raise DataError.at(path, problem, fix="save strings, or leave it out")
    return tuple(
        n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in found.tolist()
    )


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _event_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in READERS and not p.name.startswith(".") and p.is_file()
    )
