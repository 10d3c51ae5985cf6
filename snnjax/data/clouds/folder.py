"""Folders with a file for each shape, sorted by class and split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.text import read_names

from .cloud import CloudSet, stack_clouds
from .files import SUFFIXES, read_cloud

log = logging.getLogger(__name__)
POOL = (
    2  # points kept of a file, in multiples of those asked for, so that epochs see different ones
)
_FILE_STREAM = 4


class Listing(NamedTuple):
    """The files of one split, their labels, and the classes of both splits."""

    files: list[Path]
    labels: list[int]
    class_names: tuple[str, ...]


def load_folder(
    folder: Path,
    split: str,
    *,
    points: int = 1024,
    seed: int = 0,
    skip_bad: bool = False,
    size: int | None = None,
    normals: bool = False,
) -> CloudSet:
    """Read one split of a folder into memory, twice `points` points of each file at most.

    Args:
      folder: in a layout that `list_split` understands. split: "train" or "test".
      points: as in `load_dataset`. seed: of the points drawn. size: how many files, spread evenly.
      skip_bad: leave out files that cannot be read, log and count them. normals: six channels.

    Raises:
      DataError: the split is empty, or a file is bad (all are, with skip_bad).
    """
    listing = list_split(folder, split)
    if not listing.files:
        raise DataError.at(
            folder, f"the {split} split is empty", fix=f"add files ({', '.join(SUFFIXES)})"
        )
    chosen = spread(len(listing.files), size)
    clouds: list[np.ndarray] = []
    kept: list[int] = []
    for i in chosen:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_FILE_STREAM, int(i))))
        try:
            cloud = read_cloud(listing.files[i], points=POOL * points, normals=normals, rng=rng)
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)
            continue
        clouds.append(cloud)
        kept.append(int(i))
    if not clouds:
        raise DataError.at(
            folder, f"none of {len(chosen)} {split} files can be read", fix="see the log for each"
        )
    flat, offset = stack_clouds(clouds)
    return CloudSet(
        flat,
        offset,
        np.array([listing.labels[i] for i in kept], np.int32),
        listing.class_names,
        names=tuple(listing.files[i].stem for i in kept),
        skipped=len(chosen) - len(clouds),
        limit=points,
    )


def list_split(folder: Path, split: str) -> Listing:
    """The files of a split, in a fixed order.

    Understood: <class>/train/*, train/<class>/*, and <class>/* with lists of names in *_train.txt
    (the layout of modelnet40_normal_resampled). Classes are numbered in the order of their names,
    over both splits.

    Raises:
      DataError: none of the layouts is found.
    """
    if (folder / split).is_dir():
        classes = {p.name for s in ("train", "test") for p in _folders(folder / s)}
        return _collect({c: folder / split / c for c in classes})
    classes = {p.name for p in _folders(folder) if any((p / s).is_dir() for s in ("train", "test"))}
    if classes:
        return _collect({c: folder / c / split for c in classes})
    lists = {s: sorted(folder.glob(f"*_{s}.txt")) for s in ("train", "test")}
    if lists[split]:
        return _from_lists(folder, lists, split)
    raise DataError.at(folder, f"no {split} split is found here", fix=f"use one of the {LAYOUTS}")


LAYOUTS = f"""understood layouts:
  <folder>/train.npz, test.npz           packed splits (arrays: see snnjax.data.clouds.packed)
  <folder>/<class>/train/*, test/*       one file a shape: {", ".join(SUFFIXES)}
  <folder>/train/<class>/*, test/...     the same, split first
  <folder>/<class>/*, *_train.txt        the same, with lists of names for the splits"""


def _collect(places: dict[str, Path]) -> Listing:
    names = tuple(sorted(places))
    files, labels = [], []
    for label, name in enumerate(names):
        found = _files(places[name]) if places[name].is_dir() else []
        files += found
        labels += [label] * len(found)
    return Listing(files, labels, names)


def _from_lists(folder: Path, lists: dict[str, list[Path]], split: str) -> Listing:
    """Names such as chair_0001 or chair/chair_0001 to the file of that stem in its class."""
    rows = {s: read_names(found[0]) if found else [] for s, found in lists.items()}
    class_names = tuple(sorted({_class_of(name) for some in rows.values() for _, name in some}))
    known = {
        c: {p.stem: p for p in _files(folder / c)} for c in class_names if (folder / c).is_dir()
    }
    files, labels = [], []
    for line, name in rows[split]:
        path = known.get(_class_of(name), {}).get(Path(name).name)
        if path is None:
            place = folder / _class_of(name) / (Path(name).name + ".*")
            problem = f"'{name}' is listed, but there is no {place}"
            raise DataError.at(lists[split][0], problem, line=line, fix="complete the folder")
        files.append(path)
        labels.append(class_names.index(_class_of(name)))
    return Listing(files, labels, class_names)


def _class_of(name: str) -> str:
    """chair_0001 -> chair; no path leaves the folder, since only the last part is used."""
    return Path(name).name.rpartition("_")[0] or Path(name).name


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
