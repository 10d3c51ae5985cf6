"""Splits packed into one .npz each: `train.npz` and `test.npz`.

Understood arrays, each beside `label` [N] (integers) and, if given, `class_names` [K] and `name` [N]:

- `points` [M, C] with `offset` [N + 1]: clouds of different sizes, sample i owns
  rows offset[i]:offset[i+1];
- `points` [N, P, C]: clouds of one size;
- `voxels` [N, 4096] uint8: solid 32^3 grids, bits packed in C order over the axes x, y, z. Their
  shell becomes the cloud.

Integer coordinates of any unit are fine: every cloud is centred and scaled into the unit ball.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from .arrays import read_npz
from .cloud import CloudSet, normalise, stack_clouds
from .errors import DataError
from .voxels import read_shells

log = logging.getLogger(__name__)


def load_packed(
    path: str | Path, *, train: bool, skip_bad: bool = False, size: int | None = None
) -> CloudSet:
    """One packed split.

    An empty cloud is left out of a training split and counted in `skipped`; in a test split it stays,
    with its label, so that accuracy is over all shapes.

    Args:
      path: the .npz. train: which of the two rules above. skip_bad: leave out samples with NaN or
        infinite coordinates or a label out of range, instead of raising. size: the first so many.

    Raises:
      DataError: file, array and sample, and the fix.
    """
    path = Path(path)
    arrays = read_npz(path)
    labels, class_names = _labels(arrays, path)
    samples = len(labels) if size is None else min(size, len(labels))
    if samples == 0:
        raise DataError.at(path, "the split is empty", fix="pack at least one sample")
    clouds = _clouds(arrays, path, samples, len(labels))
    names = arrays.get("name")
    kept: list[np.ndarray] = []
    rows: list[int] = []
    empty = bad = 0
    for i, cloud in enumerate(clouds):
        try:
            cloud = cloud if "voxels" in arrays else _clean(cloud, path, i)
            _check_label(int(labels[i]), class_names, path, i)
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)
            bad += 1
            continue
        if train and len(cloud) == 0:
            empty += 1
            continue
        kept.append(cloud)
        rows.append(i)
    if empty:
        log.warning("%s: %d empty training clouds are left out", path, empty)
    if not kept:
        raise DataError.at(
            path, f"none of {samples} samples can be used", fix="pack the data again"
        )
    flat, offset = stack_clouds(kept)
    return CloudSet(
        flat,
        offset,
        labels[rows].astype(np.int32),
        class_names,
        names=tuple(str(names[i]) for i in rows) if names is not None else None,
        skipped=bad + empty,
    )


def _labels(arrays: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    label = arrays.get("label")
    if label is None:
        raise DataError.at(
            path, f"has no array `label` (found {sorted(arrays)})", fix="add integers `label` [N]"
        )
    if label.ndim != 1 or label.dtype.kind not in "iu":
        raise DataError.at(
            path,
            f"`label` must be integers of shape [N]; got {label.dtype} {label.shape}",
            fix="save one integer for each sample",
        )
    names = arrays.get("class_names")
    if names is None:
        return label, tuple(str(k) for k in range(int(label.max(initial=0)) + 1))
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError.at(
            path,
            f"`class_names` must be strings of shape [K]; got {names.dtype} {names.shape}",
            fix="save one string for each class",
        )
    return label, tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist())


def _check_label(label: int, class_names: tuple[str, ...], path: Path, sample: int) -> None:
    if not 0 <= label < len(class_names):
        raise DataError.at(
            path,
            f"sample {sample} has label {label}, but there are {len(class_names)} classes "
            f"(0..{len(class_names) - 1})",
            fix="correct `label` or complete `class_names`",
        )


def _clouds(
    arrays: dict[str, np.ndarray], path: Path, samples: int, total: int
) -> list[np.ndarray]:
    """The first `samples` clouds as saved."""
    if "voxels" in arrays:
        return read_shells(arrays["voxels"], path, samples, total)
    points = arrays.get("points")
    if points is None:
        raise DataError.at(
            path,
            f"has neither `points` nor `voxels` (found {sorted(arrays)})",
            fix="see snnjax.data.packed for the arrays understood",
        )
    if points.dtype.kind not in "iuf":
        raise DataError.at(
            path, f"`points` must be numbers; got {points.dtype}", fix="save float32"
        )
    offset = arrays.get("offset")
    if offset is None:
        if points.ndim != 3 or points.shape[2] < 3 or len(points) != total:
            raise DataError.at(
                path,
                f"`points` without `offset` must be [{total}, P, C >= 3]; got {points.shape}",
                fix="give one cloud for each label, or `offset`",
            )
        return list(points[:samples])
    _check_offset(offset, points, path, total)
    return [points[offset[i] : offset[i + 1]] for i in range(samples)]


def _check_offset(offset: np.ndarray, points: np.ndarray, path: Path, total: int) -> None:
    if points.ndim != 2 or points.shape[1] < 3:
        raise DataError.at(
            path,
            f"`points` with `offset` must be [M, C >= 3]; got {points.shape}",
            fix="flatten it",
        )
    if offset.shape != (total + 1,) or offset.dtype.kind not in "iu":
        raise DataError.at(
            path,
            f"`offset` must be {total + 1} integers for {total} labels; "
            f"got {offset.dtype} {offset.shape}",
            fix="save N + 1 offsets",
        )
    ends = offset.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(points) or (np.diff(ends) < 0).any():
        raise DataError.at(
            path,
            f"`offset` must rise from 0 to {len(points)}, the rows of `points`; "
            f"it goes from {ends[0]} to {ends[-1]}",
            fix="save the running sum of the cloud sizes",
        )


def _clean(cloud: np.ndarray, path: Path, sample: int) -> np.ndarray:
    try:
        return normalise(cloud)
    except ValueError as error:
        raise DataError.at(
            path,
            f"sample {sample}: {error}",
            fix="remove the point, or leave bad samples out (skip_bad)",
        ) from error
