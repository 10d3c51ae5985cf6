"""Open any data set of clouds: the embedded generator, or a folder whose layout is recognised."""

from __future__ import annotations

import difflib
from pathlib import Path

from snnjax.data.errors import DataError
from snnjax.data.source import SPLITS

from .cloud import CloudSet
from .folder import LAYOUTS, load_folder
from .packed import check_disjoint, class_names, load_packed
from .shapes3d import Shapes3D

EMBEDDED = "shapes3d"


def load_dataset(
    source: str,
    split: str,
    *,
    points: int = 1024,
    seed: int = 0,
    skip_bad: bool = False,
    size: int | None = None,
    normals: bool = False,
    outlier_limit: float | None = None,
) -> CloudSet | Shapes3D:
    """One split of labelled clouds.

    Args:
      source: "shapes3d", or a folder. split: "train" or "test".
      points: points per generated shape and at most per sample; up to twice as many of a file
        are kept to draw from.
      seed: seed of generated shapes, and of points drawn from meshes and large files.
      skip_bad: leave out samples that cannot be read, count them in `.skipped` and log each.
      size: how many samples (of a folder at most, evenly spread over its order).
      normals: three further channels, from columns 3..5 or from the mesh.
      outlier_limit: points farther from the median than this many times the distance within which
        95 % of the points of a cloud lie are left out; None keeps all and warns of them.

    Raises:
      DataError: the folder is missing or its layout is not understood, or a file is bad.

    >>> load_dataset("shapes3d", "test", points=32, size=12).class_names[:3]
    ('sphere', 'box', 'cylinder')
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be 'train' or 'test'; got {split!r}")
    if size is not None and size < 1:
        raise ValueError(f"`size` must be at least 1; got {size}")
    if outlier_limit is not None and not outlier_limit >= 1:
        raise ValueError(f"`outlier_limit` must be at least 1; got {outlier_limit}")
    if points < 1:
        raise ValueError(f"`points` must be at least 1; got {points}")
    if source == EMBEDDED:
        if normals:
            raise ValueError("shapes3d has no normals; leave `normals` out or give a folder")
        if outlier_limit is not None:
            raise ValueError("shapes3d has no outliers; leave `outlier_limit` out")
        return Shapes3D(split, points=points, seed=seed, size=size)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(_missing(source, folder))
    packed = folder / f"{split}.npz"
    if packed.is_file():
        _check_splits(folder)
        return load_packed(
            packed,
            train=split == "train",
            points=points,
            skip_bad=skip_bad,
            size=size,
            normals=normals,
            outlier_limit=outlier_limit,
        )
    return load_folder(
        folder,
        split,
        points=points,
        seed=seed,
        skip_bad=skip_bad,
        size=size,
        normals=normals,
        outlier_limit=outlier_limit,
    )


def _check_splits(folder: Path) -> None:
    """Raise unless both packed splits have the same classes and share no sample."""
    train, test = folder / "train.npz", folder / "test.npz"
    if not (train.is_file() and test.is_file()):
        return
    if class_names(train) != class_names(test):
        raise DataError.at(
            test,
            "has different `class_names` from train.npz",
            fix="pack both splits with the same list",
        )
    check_disjoint(train, test)


def _missing(source: str, folder: Path) -> str:
    """The error message for a source that is neither a name nor a folder."""
    if folder.is_file():
        return f"{source} is a file; a data set is a folder or the name '{EMBEDDED}'; {LAYOUTS}"
    if difflib.get_close_matches(source.lower(), [EMBEDDED], cutoff=0.6):
        return f"no data set or folder is called '{source}'; did you mean '{EMBEDDED}'?"
    parent = next(p for p in folder.absolute().parents if p.is_dir())
    near = difflib.get_close_matches(
        folder.absolute().relative_to(parent).parts[0], _folders(parent), n=1
    )
    hint = f"; did you mean {parent / near[0]}?" if near else ""
    return (
        f"the data folder {source} does not exist; the nearest existing path is {parent}{hint}\n"
        f"Give '{EMBEDDED}' or a folder; {LAYOUTS}"
    )


def _folders(parent: Path) -> list[str]:
    try:
        return [p.name for p in parent.iterdir() if p.is_dir()]
    except OSError:
        return []
