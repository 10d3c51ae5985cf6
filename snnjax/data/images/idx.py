"""The IDX files of MNIST: `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, also with .gz."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from snnjax.data.arrays import MAX_BYTES
from snnjax.data.errors import DataError

from .form import to_form
from .stored import Stored

_PREFIX = {"train": "train", "test": "t10k"}


def find_idx(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of pictures and of labels of a split, or None.

    Raises:
      DataError: one of the two is missing.
    """
    images, labels = (_find(folder, f"{_PREFIX[split]}-{name}") for name in ("images", "labels"))
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing = "images-idx3-ubyte" if images is None else "labels-idx1-ubyte"
        problem = f"has no {_PREFIX[split]}-{missing}"
        raise DataError.at(folder, problem, fix="copy it to the others")
    return images, labels


def read_idx(images: Path, labels: Path) -> Stored:
    """Pictures [N, H, W] and labels [N] of one split.

    Raises:
      DataError: file and place in it, and the fix.
    """
    pixels, label = read_array(images, axes=3), read_array(labels, axes=1)
    if len(pixels) != len(label):
        problem = f"has {len(pixels)} pictures, but {labels.name} has {len(label)} labels"
        raise DataError.at(images, problem, fix="use two files of one split")
    if 0 in pixels.shape:
        raise DataError.at(images, f"holds no pixels: {pixels.shape}", fix="copy it again")
    return Stored(
        images,
        lambda i, form: to_form(pixels[i, :, :, None], f"{images}, picture {i}", form),
        label,
        (),
        tuple(f"{images.name}#{i}" for i in range(len(label))),
    )


def read_array(path: Path, axes: int) -> np.ndarray:
    """The bytes of an IDX file as uint8, with this number of axes.

    Raises:
      DataError: not an IDX file of unsigned bytes, or a size other than its header declares.
    """
    head_size = 4 + 4 * axes
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(head_size)
            if len(head) < head_size or head[:4] != bytes([0, 0, 8, axes]):
                problem = f"does not start like IDX with {axes} axes of bytes (found {head[:4]!r})"
                raise DataError.at(path, problem, byte=0, fix="copy the file again")
            shape = tuple(int(n) for n in np.frombuffer(head, ">u4", offset=4))
            size = 1
            for extent in shape:  # Python integers: a hostile shape cannot overflow
                size *= extent
            if size > MAX_BYTES:
                problem = f"declares shape {shape}, more than the {MAX_BYTES} bytes of this reader"
                raise DataError.at(path, problem, byte=4, fix="split the file")
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        problem = f"cannot be read ({error})"
        raise DataError.at(path, problem, fix="copy or download the file again") from error
    if len(data) != size:
        found = f"{len(data)} follow" if len(data) < size else "more follow"
        problem = f"declares shape {shape}, {size} bytes, but {found}"
        raise DataError.at(path, problem, byte=head_size, fix="copy the file again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _find(folder: Path, stem: str) -> Path | None:
    kind = "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"
    names = (f"{stem}-{kind}", f"{stem}.{kind}", f"{stem}-{kind}.gz", f"{stem}.{kind}.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)
