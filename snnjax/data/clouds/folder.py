"""Folders with a file for each shape, sorted by class and split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.listing import visible_files, visible_folders
from snnjax.data.text import check_lists, read_names

from .cloud import CloudSet, stack_clouds
from .files import SUFFIXES, read_cloud
from .outliers import Findings

log = logging.getLogger(__name__)
POOL = 2  # points kept of a file, as a multiple of those requested, so that epochs differ
_FILE_STREAM = 4


class Listing(NamedTuple):
    """The files of one split, their labels, and the classes of both splits."""

    files: list[Path]
    labels: list[int]
    class_names: tuple[str, ...]
    skipped: int = 0  # listed names without a file, with skip_bad


def load_folder(
    folder: Path,
    split: str,
    *,
    points: int = 1024,
    seed: int = 0,
    skip_bad: bool = False,
    size: int | None = None,
    normals: bool = False,
    outlier_limit: float | None = None,
) -> CloudSet:
    """Read one split of a folder into memory, twice `points` points of each file at most.

    Args:
      folder: in a layout that `list_split` understands. split: "train" or "test".
      points: as in `load_dataset`. seed: seed of the point draws. size: how many files, spread
        evenly.
      skip_bad: leave out files that cannot be read, log and count them. normals: six channels.
      outlier_limit: as in `normalise`.

    Raises:
      DataError: the split is empty, or a file is bad (all are, with skip_bad).
    """
    listing = list_split(folder, split, skip_bad=skip_bad)
    if not listing.files:
        raise DataError.at(
            folder, f"the {split} split is empty", fix=f"add files ({', '.join(SUFFIXES)})"
        )
    chosen = spread(len(listing.files), size)
    clouds: list[np.ndarray] = []
    kept: list[int] = []
    findings = Findings(outlier_limit)
    draw = {"points": POOL * points, "normals": normals, "findings": findings}
    for i in chosen:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_FILE_STREAM, int(i))))
        try:
            cloud = read_cloud(listing.files[i], rng=rng, **draw)
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)
            continue
        clouds.append(cloud)
        kept.append(int(i))
    findings.report(folder / split)
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
        skipped=listing.skipped + len(chosen) - len(clouds),
        limit=points,
    )


def list_split(folder: Path, split: str, *, skip_bad: bool = False) -> Listing:
    """The files of a split, in a fixed order.

    Understood: <class>/train/*, train/<class>/*, and <class>/* with lists of names in *_train.txt
    (the layout of modelnet40_normal_resampled). Classes are numbered in the order of their names,
    over both splits. Hidden files are left out; so are, with `skip_bad`, listed names without a
    file, which are logged and counted.

    Raises:
      DataError: none of the layouts is found, or a list is wrong.
    """
    if (folder / split).is_dir():
        classes = {p.name for s in ("train", "test") for p in visible_folders(folder / s)}
        return _collect({c: folder / split / c for c in classes})
    classes = {
        p.name for p in visible_folders(folder) if any((p / s).is_dir() for s in ("train", "test"))
    }
    if classes:
        return _collect({c: folder / c / split for c in classes})
    texts = visible_files(folder, (".txt",))
    lists = {s: [p for p in texts if p.stem.endswith(f"_{s}")] for s in ("train", "test")}
    if lists[split]:
        return _from_lists(folder, lists, split, skip_bad)
    raise DataError.at(folder, f"no {split} split is found here", fix=f"use one of the {LAYOUTS}")


LAYOUTS = f"""understood layouts:
  <folder>/train.npz, test.npz           packed splits (arrays: see snnjax.data.clouds.packed)
  <folder>/<class>/train/*, test/*       one file per shape: {", ".join(SUFFIXES)}
  <folder>/train/<class>/*, test/...     the same, split first
  <folder>/<class>/*, *_train.txt        the same, with lists of names for the splits"""


def _collect(places: dict[str, Path]) -> Listing:
    names = tuple(sorted(places))
    files, labels = [], []
    for label, name in enumerate(names):
        found = visible_files(places[name], SUFFIXES) if places[name].is_dir() else []
        files += found
        labels += [label] * len(found)
    return Listing(files, labels, names)


def _from_lists(folder: Path, lists: dict[str, list[Path]], split: str, skip_bad: bool) -> Listing:
    """Map names such as chair_0001 or chair/chair_0001 to the file of that stem in its class."""
    rows = {s: read_names(found[0]) if found else [] for s, found in lists.items()}
    check_lists({lists[s][0]: rows[s] for s in rows if lists[s]}, key=_sample_of)
    class_names = tuple(sorted({_class_of(name) for some in rows.values() for _, name in some}))
    known = {c: _by_stem(folder / c) for c in class_names if (folder / c).is_dir()}
    files, labels, skipped = [], [], 0
    for line, name in rows[split]:
        found = known.get(_class_of(name), {}).get(Path(name).name, [])
        place = folder / _class_of(name) / (Path(name).name + ".*")
        if not found:
            problem = f"'{name}' is listed, but there is no {place}"
            error = DataError.at(lists[split][0], problem, line=line, fix="complete the folder")
            if not skip_bad:
                raise error
            log.warning("skipped: %s", error)
            skipped += 1
            continue
        if len(found) > 1:
            problem = f"'{name}' may be any of {', '.join(p.name for p in found)}"
            raise DataError.at(lists[split][0], problem, line=line, fix=f"keep one of {place}")
        files.append(found[0])
        labels.append(class_names.index(_class_of(name)))
    return Listing(files, labels, class_names, skipped)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in visible_files(folder, SUFFIXES):
        found.setdefault(path.stem, []).append(path)
    return found


def _sample_of(name: str) -> tuple[str, str]:
    """The class and the file stem of a listed name."""
    return _class_of(name), Path(name).name


def _class_of(name: str) -> str:
    """chair_0001 -> chair; no path leaves the folder, since only the last part is used."""
    return Path(name).name.rpartition("_")[0] or Path(name).name
