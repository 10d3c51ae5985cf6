"""The folders of SemanticKITTI: sequences of scans with labels, and predictions for submission."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.listing import visible_files

from .binary import check_length, write_labels
from .classes import SEMANTIC_KITTI
from .scans import FileScan

log = logging.getLogger(__name__)

TRAIN = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VALIDATION = ("08",)
LAYOUT = "sequences/NN/velodyne/*.bin and sequences/NN/labels/*.label"


def list_scans(folder: str | Path, sequences: tuple[str, ...]) -> list[FileScan]:
    """The labelled scans of some sequences, in their order.

    Sequences that are not there are named in the log and left out.

    Args:
      folder: with `sequences/NN/velodyne` and `labels`, or with `dataset/sequences`.
      sequences: names such as "08".

    Raises:
      DataError: none of the sequences is there, or a scan has no labels.
    """
    root = find_sequences(folder)
    present = [name for name in sequences if (root / name / "velodyne").is_dir()]
    if missing := [name for name in sequences if name not in present]:
        if not present:
            problem = f"has none of the sequences {', '.join(sequences)} with a folder velodyne"
            fix = f"unpack the scans to {LAYOUT}, or set data.train_sequences and test_sequences"
            raise DataError.at(root, problem, fix=fix)
        log.warning("%s: the sequences %s are missing", root, ", ".join(missing))
    return [scan for name in present for scan in _sequence(root / name)]


def find_sequences(folder: str | Path) -> Path:
    """The folder `sequences` of a data set.

    Raises:
      DataError: there is none.
    """
    folder = Path(folder).expanduser()
    for place in (folder / "sequences", folder / "dataset" / "sequences"):
        if place.is_dir():
            return place
    raise DataError.at(folder, "has no folder 'sequences'", fix=f"give the folder with {LAYOUT}")


def _sequence(folder: Path) -> list[FileScan]:
    """The scans of one sequence."""
    scans = []
    for path in visible_files(folder / "velodyne", {".bin"}):
        labels = folder / "labels" / f"{path.stem}.label"
        if not labels.is_file():
            problem = f"has no labels: {labels} is missing"
            fix = "add the labels; those of the sequences 11 to 21 are not public"
            raise DataError.at(path, problem, fix=fix)
        scans.append(FileScan(path, labels))
    if not scans:
        raise DataError.at(folder / "velodyne", "has no .bin files", fix=f"unpack {LAYOUT}")
    return scans


def write_predictions(
    folder: str | Path, sequence: str, scan: str, classes: np.ndarray, points: int
) -> Path:
    """Write the predicted classes of a scan as a submission needs them, and return the file.

    They go to `sequences/NN/predictions/SCAN.label` as raw classes, one for each point.

    Args:
      folder: of the submission. sequence: such as "11". scan: such as "000000".
      classes: training classes 0..18, int [P]. points: points of the scan.

    Raises:
      DataError: another number of classes than points.
      ValueError: a number is not a class; -1 is not allowed, since every point needs one.
    """
    path = Path(folder) / "sequences" / sequence / "predictions" / f"{scan}.label"
    classes = np.asarray(classes)
    check_length(path, len(classes), points)
    if (classes < 0).any():
        raise ValueError(
            f"every point needs a class, and {int((classes < 0).sum())} of {points} have none. "
            "Give points outside the grid the class of the nearest voxel, with `nearest_rows`."
        )
    write_labels(path, SEMANTIC_KITTI.to_raw(classes))
    return path
