"""The IDX files of MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.images import Form, load_images

FORM = Form(4, 3, 1)
PIXELS = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.array([3, 0, 1, 2, 3], np.uint8)


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write(folder: Path, split: str = "train", *, packed: bool = False) -> None:
    suffix = ".gz" if packed else ""
    for name, array in (("images-idx3", PIXELS), ("labels-idx1", LABELS)):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (folder / f"{split}-{name}-ubyte{suffix}").write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
def test_both_splits(tmp_path: Path, packed: bool) -> None:
    write(tmp_path, "train", packed=packed)
    write(tmp_path, "t10k", packed=packed)
    for split in ("train", "test"):
        found = load_images(tmp_path, split, FORM)
        np.testing.assert_array_equal(found.images[..., 0], PIXELS)
        assert found.labels.tolist() == LABELS.tolist()
        assert found.class_names == ("0", "1", "2", "3")


HEAD = bytes([0, 0, 8, 3])
BAD = {
    "empty": (b"", "does not start like IDX"),
    "floats": (bytes([0, 0, 13, 3]) + bytes(12), "does not start like IDX"),
    "labels": (idx(LABELS), "does not start like IDX with 3 axes"),
    "short": (idx(PIXELS)[:-1], "59 follow"),
    "long": (idx(PIXELS) + b"\0", "more follow"),
    "hostile_shape": (HEAD + b"\xff" * 12, "more than the"),
    "too_few": (idx(PIXELS[:4]), "has 4 pictures, but .* has 5 labels"),
    "no_pixels": (HEAD + struct.pack(">3I", 5, 0, 3), "holds no pixels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_an_error_that_names_it(case: str, tmp_path: Path) -> None:
    content, message = BAD[case]
    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_images(tmp_path, "train", FORM)
    assert str(path) in str(caught.value)


def test_damaged_gzip_and_missing_labels(tmp_path: Path) -> None:
    write(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        load_images(tmp_path, "train", FORM)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no train-labels-idx1-ubyte"):
        load_images(tmp_path, "train", FORM)
