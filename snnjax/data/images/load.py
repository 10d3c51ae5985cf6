"""Pictures of every layout, decoded once into memory by several threads."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from snnjax.data.draws import spread
from snnjax.data.errors import DataError
from snnjax.data.source import SPLITS

from .dataset import ImageSet
from .folder import LAYOUTS, list_split
from .form import Form
from .idx import find_idx, read_array, read_idx
from .packed import find_parts, read_labels, read_packed
from .stored import Stored

log = logging.getLogger(__name__)
MAX_CLASSES = 1 << 17  # where the files give no names
_CHUNK = 64  # pictures that a thread decodes in one go


def load_images(
    path: str | Path,
    split: str,
    form: Form,
    *,
    class_names: tuple[str, ...] = (),
    size: int | None = None,
    skip_bad: bool = False,
    memory_gb: float = 4.0,
) -> ImageSet:
    """One split of labelled pictures.

    Args:
      path: a folder; its layout is recognised. split: "train" or "test".
      form: the shape of every picture. class_names: names for data that have none of their own.
      size: at most this number of pictures, spread evenly over the order.
      skip_bad: leave out pictures that cannot be read or have a label out of range, log each and
        count them in `.skipped`, instead of raising.
      memory_gb: limit for the decoded pictures, in units of 2**30 bytes.

    Raises:
      DataError: the layout is not understood, or a picture is bad: the file, and the fix.
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be 'train' or 'test'; got {split!r}")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"the data folder {path} does not exist; give a folder; {LAYOUTS}")
    stored = find_stored(folder, split)
    names = _names(stored, folder, split, class_names)
    for error in stored.bad:
        _refuse(error, skip_bad)
    rows = spread(len(stored.labels), size)
    _check_memory(folder, len(rows), form, memory_gb)
    images, errors = _decode(stored, rows, form, len(names), skip_bad)
    for error in errors.values():
        _refuse(error, skip_bad)
    good = np.array([k for k in range(len(rows)) if k not in errors], np.int64)
    if not len(good):
        problem = f"none of {len(rows)} {split} pictures can be used"
        raise DataError.at(stored.path, problem, fix="see the log for each")
    return ImageSet(
        images if not errors else images[good],
        stored.labels[rows[good]].astype(np.int32),
        names,
        tuple(stored.names[i] for i in rows[good]),
        skipped=len(errors) + len(stored.bad),
    )


def find_stored(folder: Path, split: str) -> Stored:
    """The split in whichever layout the folder has.

    Raises:
      DataError: no layout is recognised, or its index is bad.
    """
    parts = find_parts(folder, split)
    if parts:
        return read_packed(parts)
    idx = find_idx(folder, split)
    return read_idx(*idx) if idx else list_split(folder, split)


def _names(stored: Stored, folder: Path, split: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """The class names: those of the files, equal in both splits, those given, or numbers."""
    other = next(s for s in SPLITS if s != split)
    parts, idx = find_parts(folder, other), find_idx(folder, other)
    labels = [stored.labels]
    for part in parts:
        label, names = read_labels(part)
        labels.append(label)
        if names != stored.class_names:
            problem = f"has different `class_names` from {stored.path.name}"
            raise DataError.at(part, problem, fix="pack both splits with the same list")
    if stored.class_names:
        if given and given != stored.class_names:
            problem = f"names the classes {stored.class_names}, not {given}"
            raise DataError.at(stored.path, problem, fix="leave `class_names` out")
        return stored.class_names
    if given:
        return given
    if idx:
        labels.append(read_array(idx[1], axes=1))
    largest = max(int(label.max()) for label in labels)
    if largest >= MAX_CLASSES:
        problem = f"has a label {largest}, and no `class_names`"
        raise DataError.at(stored.path, problem, fix="correct `label`, or give `class_names`")
    return tuple(str(i) for i in range(largest + 1))


def _check_memory(folder: Path, total: int, form: Form, memory_gb: float) -> None:
    needed = total * int(np.prod(form.shape)) / 2**30
    if needed > memory_gb:
        raise DataError.at(
            folder,
            f"{total} pictures of {form.height} x {form.width} x {form.channels} take "
            f"{needed:.3g} GiB in memory, more than memory_gb={memory_gb:g}",
            fix="lower image_size, train_size or test_size, or raise memory_gb",
        )


def _decode(
    stored: Stored, rows: np.ndarray, form: Form, classes: int, skip_bad: bool
) -> tuple[np.ndarray, dict[int, DataError]]:
    """All pictures uint8 [N, H, W, C], and the errors by position (with `skip_bad`)."""
    out = np.zeros((len(rows), *form.shape), np.uint8)

    def work(first: int) -> dict[int, DataError]:
        errors = {}
        for k in range(first, min(first + _CHUNK, len(rows))):
            try:
                i = int(rows[k])
                _check_label(stored, i, classes)
                out[k] = stored.read(i, form)
            except DataError as error:
                if not skip_bad:
                    raise
                errors[k] = error
        return errors

    errors: dict[int, DataError] = {}
    for found in _in_threads(work, range(0, len(rows), _CHUNK)):
        errors |= found
    return out, errors


def _in_threads(work, items: range) -> Iterator[dict[int, DataError]]:
    """Results in the order of the items; pending items are dropped after an error."""
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _check_label(stored: Stored, i: int, classes: int) -> None:
    label = int(stored.labels[i])
    if not 0 <= label < classes:
        raise DataError.at(
            stored.path,
            f"{stored.names[i]} has label {label}, but there are {classes} classes "
            f"(0..{classes - 1})",
            fix="correct the label or complete the class names",
        )


def _refuse(error: DataError, skip_bad: bool) -> None:
    if not skip_bad:
        raise error
    log.warning("skipped: %s", error)
