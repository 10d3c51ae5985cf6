"""Splits packed into .npz files: `train.npz` and `test.npz`, or parts `train_0.npz`, ...

Understood arrays, next to `label` [N] (integers), `class_names` [K] and optionally `name` [N]:

- `image` uint8 [N, H, W] or [N, H, W, C] with C = 1 or 3: pixels;
- `jpeg`, `png` or `encoded` uint8 [M] with `offset` [N + 1]: the files one after the other, sample
  i is the file `jpeg[offset[i]:offset[i + 1]]`; `encoded` may hold both kinds.

Parts are joined in the order of their numbers and must have the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from snnjax.data.arrays import read_npz
from snnjax.data.errors import DataError

from .decode import decode
from .form import Form, to_form
from .stored import Stored

KINDS: dict[str, str | None] = {"jpeg": "JPEG", "png": "PNG", "encoded": None}


def find_parts(folder: Path, split: str) -> list[Path]:
    """The packed files of a split in order, none if it is not packed.

    Raises:
      DataError: a part is missing, or there are both a single file and parts.
    """
    one = folder / f"{split}.npz"
    found = [p for p in folder.glob(f"{split}_*.npz") if _number(p, split).isdecimal()]
    parts = {int(_number(path, split)): path for path in sorted(found)}
    if len(parts) < len(found):
        twice = sorted(p.name for p in found if p not in parts.values())
        problem = f"{twice[0]} has the number of another part"
        raise DataError.at(folder, problem, fix="number the parts 0, 1, ...")
    if one.is_file() and parts:
        problem = f"lies next to {parts[min(parts)].name}; which of them is the {split} split?"
        raise DataError.at(one, problem, fix="remove one of them")
    if sorted(parts) != list(range(len(parts))):
        missing = min(set(range(max(parts))) - set(parts))
        problem = f"part {split}_{missing}.npz is missing"
        raise DataError.at(folder, problem, fix="complete the parts, numbered from 0")
    return [one] if one.is_file() else [parts[i] for i in range(len(parts))]


def _number(path: Path, split: str) -> str:
    return path.stem.removeprefix(f"{split}_")


def read_packed(paths: list[Path]) -> Stored:
    """Open the parts of a split; the pictures are checked and decoded when they are read.

    Raises:
      DataError: file, array and sample, and the fix.
    """
    parts = [_read_part(path) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        if part.class_names != first.class_names:
            problem = f"has different `class_names` from {first.path.name}"
            raise DataError.at(part.path, problem, fix="pack all parts with the same list")
    ends = np.cumsum([len(part.labels) for part in parts])

    def read(i: int, form: Form) -> np.ndarray:
        part = int(np.searchsorted(ends, i, side="right"))
        return parts[part].read(i - int(ends[part] - len(parts[part].labels)), form)

    return Stored(
        first.path,
        read,
        np.concatenate([part.labels for part in parts]),
        first.class_names,
        tuple(name for part in parts for name in part.names),
    )


def read_labels(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels [N] of a packed file, and the classes that it names, () if it has none."""
    arrays = read_npz(path, only=("label", "class_names"))
    return _labels(arrays, path), _class_names(arrays, path)


def _read_part(path: Path) -> Stored:
    arrays = read_npz(path)
    labels = _labels(arrays, path)
    kinds = [name for name in ("image", *KINDS) if name in arrays]
    if len(kinds) != 1:
        problem = f"must have one of `image`, `jpeg`, `png`, `encoded`; found {sorted(arrays)}"
        raise DataError.at(path, problem, fix="see snnjax.data.images.packed")
    if kinds == ["image"]:
        read = _pixels(arrays["image"], path, len(labels))
    else:
        read = _files(arrays, kinds[0], path, len(labels))
    return Stored(path, read, labels, _class_names(arrays, path), _names(arrays, path, len(labels)))


def _labels(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    label = arrays.get("label")
    if label is None:
        problem = f"has no array `label` (found {sorted(arrays)})"
        raise DataError.at(path, problem, fix="add integers `label` [N]")
    if label.ndim != 1 or label.dtype.kind not in "iu":
        problem = f"`label` must be integers of shape [N]; got {label.dtype} {label.shape}"
        raise DataError.at(path, problem, fix="save one integer for each picture")
    if len(label) == 0:
        raise DataError.at(path, "the split is empty", fix="pack at least one picture")
    return label


def _class_names(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...]:
    names = arrays.get("class_names")
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind not in "US":
        problem = f"`class_names` must be strings of shape [K]; got {names.dtype} {names.shape}"
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


def _names(arrays: dict[str, np.ndarray], path: Path, total: int) -> tuple[str, ...]:
    names = arrays.get("name")
    if names is None:
        return tuple(f"{path.stem}#{i}" for i in range(total))
    if names.shape != (total,) or names.dtype.kind not in "US":
        problem = f"`name` must be strings of shape [{total}]; got {names.dtype} {names.shape}"
        raise DataError.at(path, problem, fix="save one name for each picture, or none at all")
    return tuple(
        n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in names.tolist()
    )


def _pixels(image: np.ndarray, path: Path, total: int) -> Callable[[int, Form], np.ndarray]:
    if image.dtype != np.uint8:
        problem = f"`image` must be uint8 (0..255); got {image.dtype}"
        raise DataError.at(path, problem, fix="save the pixels as uint8")
    if image.ndim == 4 and image.shape[1] in (1, 3) and image.shape[3] not in (1, 3):
        problem = f"`image` has its channels first: {image.shape}"
        raise DataError.at(path, problem, fix="transpose it to [N, H, W, C]")
    if image.ndim not in (3, 4) or (image.ndim == 4 and image.shape[3] not in (1, 3)):
        problem = f"`image` must be [N, H, W] or [N, H, W, 1 or 3]; got {image.shape}"
        raise DataError.at(path, problem, fix="save grey or colour pictures of one size")
    if len(image) != total or 0 in image.shape:
        problem = f"`image` has shape {image.shape} for {total} labels"
        raise DataError.at(path, problem, fix="give every picture one label")
    image = image.reshape(*image.shape[:3], -1)
    return lambda i, form: to_form(image[i], f"{path}, picture {i}", form)


def _files(
    arrays: dict[str, np.ndarray], key: str, path: Path, total: int
) -> Callable[[int, Form], np.ndarray]:
    data, offset = arrays[key], arrays.get("offset")
    if data.dtype != np.uint8 or data.ndim != 1:
        problem = f"`{key}` must be bytes, uint8 [M]; got {data.dtype} {data.shape}"
        raise DataError.at(path, problem, fix="join the files into one array")
    if offset is None or offset.shape != (total + 1,) or offset.dtype.kind not in "iu":
        found = "it is missing" if offset is None else f"got {offset.dtype} {offset.shape}"
        problem = f"`offset` must be {total + 1} integers for {total} labels; {found}"
        raise DataError.at(path, problem, fix="save N + 1 offsets")
    ends = [int(end) for end in offset]
    falls = any(b < a for a, b in pairwise(ends))
    if ends[0] != 0 or ends[-1] != len(data) or falls:
        problem = (
            f"`offset` must rise from 0 to {len(data)}, the length of `{key}`; "
            f"it goes from {ends[0]} to {ends[-1]}"
        )
        raise DataError.at(path, problem, fix="save the running sum of the file sizes")

    def read(i: int, form: Form) -> np.ndarray:
        content = data[ends[i] : ends[i + 1]].tobytes()
        return decode(content, f"{path}, picture {i}", form, KINDS[key])

    return read
