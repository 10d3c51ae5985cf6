"""Splits packed into one .npz each: `train.npz` and `test.npz`.

Understood arrays, next to `label` [N] (integers), `class_names` [K] and optionally `name` [N]:

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

from snnjax.data.arrays import read_npz
from snnjax.data.draws import spread
from snnjax.data.errors import DataError

from .cloud import CloudSet, stack_clouds
from .files import scaled
from .outliers import Findings
from .voxels import read_shells

log = logging.getLogger(__name__)


def load_packed(
    path: str | Path,
    *,
    train: bool,
    points: int | None = None,
    skip_bad: bool = False,
    size: int | None = None,
    normals: bool = False,
    outlier_limit: float | None = None,
) -> CloudSet:
    """One packed split.

    An empty cloud is left out of a training split and counted in `skipped`; in a test split it
    stays, with its label, so that accuracy is over all shapes.

    Args:
      path: the .npz. train: whether it is the training split.
      points: maximum points per sample, redrawn in every epoch; None keeps all.
      skip_bad: leave out samples with NaN or infinite coordinates or a label out of range, instead
        of raising. size: at most this many samples, spread evenly. normals: keep columns 3..5.
      outlier_limit: as in `normalise`; voxel grids stay as they are.

    Raises:
      DataError: file, array and sample, and the fix.
    """
    path = Path(path)
    arrays = read_npz(path)
    labels, classes = _labels(arrays, path), _class_names(arrays, path)
    names = _sample_names(arrays, path)
    rows = spread(len(labels), size)
    kept: list[tuple[int, np.ndarray]] = []
    findings = Findings(outlier_limit)
    bad = empty = 0
    for i, raw in zip(rows.tolist(), _clouds(arrays, path, rows, normals), strict=True):
        try:
            _check_label(int(labels[i]), classes, path, i)
            cloud = raw if "voxels" in arrays else _clean(raw, path, i, findings)
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)
            bad += 1
            continue
        if train and len(cloud) == 0:
            empty += 1
        else:
            kept.append((i, cloud))
    findings.report(path)
    if empty:
        log.warning("%s: %d empty training clouds are left out", path, empty)
    if not kept:
        problem = f"none of {len(rows)} samples can be used"
        raise DataError.at(path, problem, fix="pack the data again")
    index, clouds = zip(*kept, strict=True)
    flat, offset = stack_clouds(list(clouds))
    return CloudSet(
        flat,
        offset,
        labels[list(index)].astype(np.int32),
        classes,
        names=None if names is None else tuple(names[i] for i in index),
        skipped=bad + empty,
        limit=points,
    )


def class_names(path: str | Path) -> tuple[str, ...]:
    """The classes of a packed split, in the order of their labels."""
    return _class_names(read_npz(path, only=("class_names",)), Path(path))


def check_disjoint(train: str | Path, test: str | Path) -> None:
    """Raise if packed splits share the `name` of a sample, which would leak into the test.

    Splits without names are not compared.
    """
    first, second = ({name: i for i, name in enumerate(_named(p))} for p in (train, test))
    shared = [name for name in second if name in first]
    if shared:
        name = shared[0]
        problem = (
            f"sample {second[name]}, '{name}', is sample {first[name]} of {Path(train).name} too; "
            f"{len(shared)} of {len(second)} are in both"
        )
        raise DataError.at(test, problem, fix="leave every sample out of one of the splits")


def _named(path: str | Path) -> list[str]:
    arrays = read_npz(path, only=("name", "label"))
    return _sample_names(arrays, Path(path)) or []


def _sample_names(arrays: dict[str, np.ndarray], path: Path) -> list[str] | None:
    """The unique names of all samples; None if they have none."""
    names, count = arrays.get("name"), len(_labels(arrays, path))
    if names is None:
        return None
    if names.shape != (count,) or names.dtype.kind not in "US":
        problem = f"`name` must be strings of shape [{count}]; got {names.dtype} {names.shape}"
        raise DataError.at(path, problem, fix="save one name for each sample, or none at all")
    known: dict[str, int] = {}
    for i, raw in enumerate(names.tolist()):
        name = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        if known.setdefault(name, i) != i:
            problem = f"sample {i} has the name of sample {known[name]}, '{name}'"
            raise DataError.at(path, problem, fix="pack every sample once, under its own name")
    return list(known)


def _labels(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    label = arrays.get("label")
    if label is None:
        problem = f"has no array `label` (found {sorted(arrays)})"
        raise DataError.at(path, problem, fix="add integers `label` [N]")
    if label.ndim != 1 or label.dtype.kind not in "iu":
        problem = f"`label` must be integers of shape [N]; got {label.dtype} {label.shape}"
        raise DataError.at(path, problem, fix="save one integer for each sample")
    if len(label) == 0:
        raise DataError.at(path, "the split is empty", fix="pack at least one sample")
    return label


def _class_names(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...]:
    names = arrays.get("class_names")
    if names is None or names.ndim != 1 or names.dtype.kind not in "US":
        found = "it is missing" if names is None else f"got {names.dtype} {names.shape}"
        problem = f"`class_names` must be strings of shape [K]; {found}"
        raise DataError.at(path, problem, fix="save one string for each class")
    try:
        known = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist())
    except UnicodeDecodeError as error:
        problem = f"`class_names` is not UTF-8 ({error})"
        raise DataError.at(path, problem, fix="save the names as text") from error
    if len(set(known)) < len(known):
        twice = sorted({n for n in known if known.count(n) > 1})
        problem = f"`class_names` holds {', '.join(map(repr, twice))} more than once"
        raise DataError.at(path, problem, fix="give every class a name of its own")
    return known


def _check_label(label: int, class_names: tuple[str, ...], path: Path, sample: int) -> None:
    if not 0 <= label < len(class_names):
        raise DataError.at(
            path,
            f"sample {sample} has label {label}, but there are {len(class_names)} classes "
            f"(0..{len(class_names) - 1})",
            fix="correct `label` or complete `class_names`",
        )


def _clouds(
    arrays: dict[str, np.ndarray], path: Path, rows: np.ndarray, normals: bool
) -> list[np.ndarray]:
    """The clouds of the samples `rows` as saved, [n_i, 3] or [n_i, 6]."""
    total, columns = len(arrays["label"]), 6 if normals else 3
    if "voxels" in arrays:
        if normals:
            raise DataError.at(path, "voxel grids have no normals", fix="leave `normals` out")
        return read_shells(arrays["voxels"], path, rows, total)
    points = arrays.get("points")
    if points is None:
        problem = f"has neither `points` nor `voxels` (found {sorted(arrays)})"
        raise DataError.at(
            path, problem, fix="see snnjax.data.clouds.packed for what is understood"
        )
    if points.dtype.kind not in "iuf":
        raise DataError.at(
            path, f"`points` must be numbers; got {points.dtype}", fix="save float32"
        )
    offset = arrays.get("offset")
    flat = offset is not None
    if points.ndim != (2 if flat else 3) or points.shape[-1] < columns:
        want = f"[M, C >= {columns}] with" if flat else f"[N, P, C >= {columns}] without"
        problem = f"`points` must be {want} `offset`; got {points.shape}"
        raise DataError.at(
            path, problem, fix="save clouds of one size, or a flat array and `offset`"
        )
    if offset is None:
        if len(points) != total:
            problem = f"there are {len(points)} clouds for {total} labels"
            raise DataError.at(path, problem, fix="give every cloud one label")
        return [points[i, :, :columns] for i in rows]
    _check_offset(offset, points, path, total)
    return [points[offset[i] : offset[i + 1], :columns] for i in rows]


def _check_offset(offset: np.ndarray, points: np.ndarray, path: Path, total: int) -> None:
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


def _clean(cloud: np.ndarray, path: Path, sample: int, findings: Findings) -> np.ndarray:
    try:
        return scaled(cloud, findings, f"sample {sample}")
    except ValueError as error:
        raise DataError.at(
            path,
            f"sample {sample}: {error}",
            fix="remove the point, or leave bad samples out (--skip-bad)",
        ) from error
