"""Folders with a file for each picture, sorted by class and split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.source import SPLITS

from .decode import SUFFIXES, read_image
from .stored import Stored

LAYOUTS = f"""understood layouts:
  <folder>/train.npz, test.npz           packed splits (arrays: see snnjax.data.images.packed)
  <folder>/train_0.npz, train_1.npz, ... the same in several parts
  <folder>/train/<class>/*, test/...     one file per picture: {", ".join(SUFFIXES)}
  <folder>/<class>/train/*, test/*       the same, class first
  <folder>/train-images-idx3-ubyte, ...  the IDX files of MNIST, also with .gz"""


def list_split(folder: Path, split: str) -> Stored:
    """The pictures of a split in a fixed order, not yet read.

    Understood: <split>/<class>/* and <class>/<split>/*, files in further folders included. Classes
    are numbered in the order of their names, over both splits. Hidden files and folders and files
    of other kinds are ignored. A file that is listed twice (a link, also between the splits) is
    bad data.

    Raises:
      DataError: neither layout is found, or the split has no pictures.
    """
    places = _places(folder, split)
    if not any((folder / s).is_dir() for s in SPLITS) and not places:
        raise DataError.at(
            folder, f"no {split} split is found here", fix=f"use one of the {LAYOUTS}"
        )
    names = tuple(sorted(places))
    seen: dict[tuple[int, int], Path] = {}
    if split == "test":  # a file of the training split must not be tested on
        for place in _places(folder, "train").values():
            _unique(_files(place), seen)
    files: list[Path] = []
    labels: list[int] = []
    repeated: list[DataError] = []
    for label, name in enumerate(names):
        found, again = _unique(_files(places[name]), seen)
        files += found
        repeated += again
        labels += [label] * len(found)
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise DataError.at(folder, f"the {split} split is empty", fix=f"add files ({kinds})")
    return Stored(
        folder,
        lambda i, form: read_image(files[i], form),
        np.array(labels, np.int32),
        names,
        tuple(str(path.relative_to(folder)) for path in files),
        tuple(repeated),
    )


def _places(folder: Path, split: str) -> dict[str, Path]:
    """The folder of each class, which may not exist for a class of the other split only."""
    if any((folder / s).is_dir() for s in SPLITS):
        classes = {p.name for s in SPLITS for p in _folders(folder / s)}
        return {c: folder / split / c for c in classes}
    classes = {p.name for p in _folders(folder) if any((p / s).is_dir() for s in SPLITS)}
    return {c: folder / c / split for c in classes}


def _unique(
    files: list[Path], seen: dict[tuple[int, int], Path]
) -> tuple[list[Path], list[DataError]]:
    """The files not yet in `seen`, to which they are added, and an error for each repeated one."""
    kept, repeated = [], []
    for path in files:
        status = path.stat()
        first = seen.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            kept.append(path)
            continue
        problem = f"is the same file as {first}"
        repeated.append(DataError.at(path, problem, fix="remove one of the two"))
    return kept, repeated


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
