"""Packed splits: pixels, encoded files, parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.images import Form, load_images
from tests.data.images.pictures import encoded, pixels

FORM = Form(6, 6, 3)
GREY = Form(6, 6, 1)
IMAGES = np.stack([pixels(i) for i in range(5)])
LABELS = np.array([0, 1, 2, 1, 0], np.uint8)
NAMES = np.array(["a", "b", "c"])


def files(kind: str = "PNG") -> dict[str, np.ndarray]:
    content = [encoded(image, kind) for image in IMAGES]
    offset = np.cumsum([0] + [len(c) for c in content]).astype(np.int32)
    return {"png": np.frombuffer(b"".join(content), np.uint8), "offset": offset}


def save(folder: Path, stem: str = "train", /, **arrays: Any) -> Path:
    np.savez(folder / f"{stem}.npz", **arrays)
    return folder


def test_pixels(tmp_path: Path) -> None:
    split = load_images(
        save(tmp_path, image=IMAGES, label=LABELS, class_names=NAMES), "train", FORM
    )
    np.testing.assert_array_equal(split.images, IMAGES)
    assert split.labels.dtype == np.int32
    assert split.labels.tolist() == LABELS.tolist()
    assert split.class_names == ("a", "b", "c")
    assert split.name(2) == "train#2"


def test_grey_pixels_without_an_axis_of_channels(tmp_path: Path) -> None:
    save(tmp_path, image=IMAGES[..., 0], label=LABELS)
    split = load_images(tmp_path, "train", GREY)
    np.testing.assert_array_equal(split.images, IMAGES[..., :1])
    assert split.class_names == ("0", "1", "2")


def test_encoded_files(tmp_path: Path) -> None:
    save(tmp_path, **files(), label=LABELS, name=np.array(list("vwxyz")))
    split = load_images(tmp_path, "train", FORM)
    np.testing.assert_array_equal(split.images, IMAGES)
    assert split.names == tuple("vwxyz")


def test_encoded_may_mix_kinds(tmp_path: Path) -> None:
    content = [encoded(IMAGES[0], "PNG"), encoded(IMAGES[1], "JPEG")]
    data = np.frombuffer(b"".join(content), np.uint8)
    offset = np.array([0, len(content[0]), len(data)])
    save(tmp_path, encoded=data, offset=offset, label=LABELS[:2])
    np.testing.assert_array_equal(load_images(tmp_path, "train", FORM).images[0], IMAGES[0])


def test_parts_are_joined_in_order_of_their_numbers(tmp_path: Path) -> None:
    for i in range(12):
        image = np.full((1, 6, 6, 3), i, np.uint8)
        save(tmp_path, f"train_{i}", image=image, label=[i % 3], class_names=NAMES)
    split = load_images(tmp_path, "train", FORM)
    assert split.images[:, 0, 0, 0].tolist() == list(range(12))
    assert split.labels.tolist() == [i % 3 for i in range(12)]
    assert split.name(10) == "train_10#0"


def test_missing_part_and_ambiguous_files(tmp_path: Path) -> None:
    save(tmp_path, "train_0", image=IMAGES, label=LABELS)
    save(tmp_path, "train_2", image=IMAGES, label=LABELS)
    with pytest.raises(DataError, match=r"part train_1.npz is missing"):
        load_images(tmp_path, "train", FORM)
    save(tmp_path, "train", image=IMAGES, label=LABELS)
    with pytest.raises(DataError, match=r"lies next to train_0.npz"):
        load_images(tmp_path, "train", FORM)


def test_two_parts_of_one_number_and_other_names(tmp_path: Path) -> None:
    for stem in ("train_0", "train_1", "train_extra"):
        save(tmp_path, stem, image=IMAGES, label=LABELS)
    assert len(load_images(tmp_path, "train", FORM)) == 10
    save(tmp_path, "train_01", image=IMAGES, label=LABELS)
    with pytest.raises(DataError, match=r"train_01.npz has the number of another|train_1.npz has"):
        load_images(tmp_path, "train", FORM)


def test_number_of_classes_is_that_of_both_splits(tmp_path: Path) -> None:
    save(tmp_path, "train", image=IMAGES, label=LABELS)
    save(tmp_path, "test", image=IMAGES, label=LABELS + 1)
    for split in ("train", "test"):
        assert load_images(tmp_path, split, FORM).class_names == ("0", "1", "2", "3")


def test_given_class_names(tmp_path: Path) -> None:
    save(tmp_path, image=IMAGES, label=LABELS)
    names = ("x", "y", "z")
    assert load_images(tmp_path, "train", FORM, class_names=names).class_names == names
    save(tmp_path, image=IMAGES, label=LABELS, class_names=NAMES)
    with pytest.raises(DataError, match=r"names the classes \('a', 'b', 'c'\), not"):
        load_images(tmp_path, "train", FORM, class_names=names)


def test_splits_with_other_classes(tmp_path: Path) -> None:
    save(tmp_path, "train", image=IMAGES, label=LABELS, class_names=NAMES)
    save(tmp_path, "test", image=IMAGES, label=LABELS, class_names=NAMES[::-1])
    with pytest.raises(DataError, match=r"test.npz: has different `class_names` from train.npz"):
        load_images(tmp_path, "train", FORM)


def changed(**change: Any) -> dict[str, Any]:
    arrays = {"image": IMAGES, "label": LABELS, "class_names": NAMES} | change
    return {name: array for name, array in arrays.items() if array is not None}


def bytes_with(**change: Any) -> dict[str, Any]:
    return changed(image=None, **(files() | change))


BAD = {
    "no_label": (changed(label=None), "has no array `label`"),
    "float_label": (changed(label=LABELS.astype(float)), "`label` must be integers"),
    "label_too_large": (changed(label=LABELS + 1), "train#2 has label 3, but there are 3 classes"),
    "negative_label": (changed(label=LABELS.astype(int) - 1), "train#0 has label -1"),
    "no_pictures": (changed(image=None), "must have one of `image`, `jpeg`"),
    "pixels_and_files": (changed(**files()), "must have one of"),
    "float_pixels": (changed(image=IMAGES / 255), "`image` must be uint8"),
    "channels_first": (changed(image=IMAGES.transpose(0, 3, 1, 2)), "has its channels first"),
    "four_channels": (changed(image=IMAGES.repeat(2, 3)[..., :4]), r"\[N, H, W, 1 or 3\]"),
    "too_few_pixels": (changed(image=IMAGES[:4]), "for 5 labels"),
    "empty": (changed(image=IMAGES[:0], label=LABELS[:0]), "the split is empty"),
    "names_twice": (changed(class_names=np.array(["a", "b", "a"])), "'a' more than once"),
    "names_as_numbers": (changed(class_names=np.arange(3)), "`class_names` must be strings"),
    "too_few_names": (changed(name=NAMES), "`name` must be strings"),
    "no_offset": (bytes_with(offset=None), "`offset` must be 6 integers.*missing"),
    "short_offset": (bytes_with(offset=np.arange(5)), "`offset` must be 6 integers"),
    "falling_offset": (bytes_with(offset=files()["offset"][[0, 2, 1, 3, 4, 5]]), "must rise"),
    "wrong_end": (bytes_with(offset=files()["offset"] + 1), "must rise from 0"),
    "png_holding_jpeg": (bytes_with(**files("JPEG")), "train.npz, picture 0.*holds a JPEG"),
    "float_bytes": (bytes_with(png=files()["png"] / 1.0), "`png` must be bytes"),
    "huge_label": (changed(class_names=None, label=[10**9] * 5), "has a label 1000000000"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_archive_is_an_error_that_names_it(case: str, tmp_path: Path) -> None:
    arrays, message = BAD[case]
    save(tmp_path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_images(tmp_path, "train", FORM)
    assert str(tmp_path / "train.npz") in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_bad_pictures_and_labels_are_counted(tmp_path: Path, caplog) -> None:
    arrays = files()
    data = arrays["png"].copy()
    data[arrays["offset"][1] + 3] ^= 1
    labels = LABELS.copy()
    labels[4] = 9
    save(tmp_path, png=data, offset=arrays["offset"], label=labels, class_names=NAMES)
    split = load_images(tmp_path, "train", FORM, skip_bad=True)
    assert split.skipped == 2
    np.testing.assert_array_equal(split.images, IMAGES[[0, 2, 3]])
    assert split.labels.tolist() == [0, 2, 1]
    assert [split.name(i) for i in range(3)] == ["train#0", "train#2", "train#3"]
    assert "picture 1" in caplog.text
    assert "train#4 has label 9" in caplog.text


def test_pickles_are_refused(tmp_path: Path) -> None:
    save(tmp_path, image=np.array([{}], object), label=LABELS[:1])
    with pytest.raises(DataError, match="Python objects"):
        load_images(tmp_path, "train", FORM)
