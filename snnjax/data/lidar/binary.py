"""Scans and point labels in raw binary files, as KITTI, SemanticKITTI and nuScenes store them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError

MAX_BYTES = 1 << 30  # of one scan; 64 million points of four numbers
_AGAIN = "copy or download the file again"


def read_points(path: str | Path, columns: int = 4) -> np.ndarray:
    """The points of a scan, float32 [P, columns], finite.

    Args:
      path: little-endian float32 numbers, point after point.
      columns: numbers of a point: 4 in KITTI (x, y, z, reflectance), 5 in nuScenes (and the ring).

    Raises:
      DataError: the file is missing, empty, truncated, too large, or holds NaN or infinity.
    """
    raw = _read(Path(path), 4 * columns, f"points of {columns} float32 numbers")
    points = np.frombuffer(raw, "<f4").reshape(-1, columns).astype(np.float32)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        problem = f"point {bad} has a NaN or infinite value: {points[bad].tolist()}"
        problem += f" ({int((~finite).sum())} such points)"
        raise DataError.at(path, problem, byte=4 * columns * bad, fix="remove these points")
    return points


def read_labels(path: str | Path, points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The raw class and the instance of every point of a SemanticKITTI `.label` file.

    Args:
      path: little-endian uint32: class in the low 16 bits, instance in the high 16 bits.
      points: points of the scan, which must have one label each; None skips this check.

    Returns:
      int32 [P] each.

    Raises:
      DataError: the file is missing, truncated, or has another number of labels than points.
    """
    labels = np.frombuffer(_read(Path(path), 4, "uint32 labels"), "<u4")
    check_length(path, len(labels), points)
    return (labels & 0xFFFF).astype(np.int32), (labels >> 16).astype(np.int32)


def read_byte_labels(path: str | Path, points: int | None = None) -> np.ndarray:
    """The raw class of every point of a nuScenes lidarseg file (one byte a point), int32 [P]."""
    labels = np.frombuffer(_read(Path(path), 1, "uint8 labels"), np.uint8)
    check_length(path, len(labels), points)
    return labels.astype(np.int32)


def write_labels(path: str | Path, semantic: np.ndarray, instance: np.ndarray | None = None):
    """Write a `.label` file, and the folder it belongs to.

    Args:
      path: the file. semantic: raw classes in 0..65535, integers [P].
      instance: instances in 0..65535, integers [P]; None writes 0.

    Raises:
      ValueError: a number does not fit into 16 bits, or the lengths differ.
    """
    semantic = np.asarray(semantic)
    instance = np.zeros_like(semantic) if instance is None else np.asarray(instance)
    for name, values in (("semantic", semantic), ("instance", instance)):
        if values.ndim != 1 or len(values) != len(semantic) or values.dtype.kind not in "iu":
            raise ValueError(
                f"`{name}` must be integers [{len(semantic)}], one for each point; got "
                f"{values.dtype} {values.shape}."
            )
        if len(values) and not (values.min() >= 0 and values.max() < 1 << 16):
            raise ValueError(
                f"`{name}` must be in 0..65535, 16 bits of a label; got {int(values.min())} to "
                f"{int(values.max())}. Map predictions back to raw classes first."
            )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    (semantic.astype("<u4") | instance.astype("<u4") << 16).tofile(path)


def check_length(path: str | Path, labels: int, points: int | None) -> None:
    """Raise unless there is one label for each point."""
    if points is not None and labels != points:
        problem = f"holds {labels} labels for the {points} points of the scan"
        raise DataError.at(path, problem, fix="use the points and labels of the same scan")


def check_scan(path: Path, columns: int) -> int:
    """The number of points of a scan by the size of its file, without reading it.

    Raises:
      DataError: the file is missing, empty or truncated.
    """
    return _size(path, 4 * columns, f"points of {columns} float32 numbers") // (4 * columns)


def _size(path: Path, item: int, what: str) -> int:
    try:
        size = os.stat(path).st_size
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path and its permissions") from error
    if size == 0:
        raise DataError.at(path, "is empty", byte=0, fix=_AGAIN)
    if size % item:
        problem = f"has {size} bytes, not a multiple of {item} ({what}): it is truncated"
        raise DataError.at(path, problem, byte=size - size % item, fix=_AGAIN)
    if size > MAX_BYTES:
        problem = f"has {size} bytes, more than the {MAX_BYTES} that one scan may have"
        raise DataError.at(path, problem, fix="check that this is a single scan")
    return size


def _read(path: Path, item: int, what: str) -> bytes:
    size = _size(path, item, what)
    try:
        raw = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path and its permissions") from error
    if len(raw) != size:
        raise DataError.at(path, f"changed while it was read: {size} bytes, then {len(raw)}")
    return raw
