"""Loading of a split: limits, sizes, bad files, and the real data."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.images import Form, ImageSource, load_images
from tests.data.images.pictures import pixels, write

FORM = Form(6, 6, 3)


def test_size_spreads_over_the_classes(folder: Path) -> None:
    split = load_images(folder, "train", FORM, size=2)
    assert split.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(split.images, [pixels(1), pixels(3)])


def test_bad_file_raises_or_is_counted(folder: Path) -> None:
    bad = folder / "train/cat/1.png"
    bad.write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/1.png, byte 0: is empty"):
        load_images(folder, "train", FORM)
    split = load_images(folder, "train", FORM, skip_bad=True)
    assert (len(split), split.skipped, split.labels.tolist()) == (3, 1, [0, 1, 1])


def test_other_sizes_in_a_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"cat/0.png: is 6 x 6 pixels, not 5 x 5"):
        load_images(folder, "train", Form(5, 5, 3))
    assert load_images(folder, "train", Form(5, 5, 3, "crop")).sample_shape == (5, 5, 3)


def test_no_good_file_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match="none of 4 train pictures can be used"):
        load_images(folder, "train", Form(5, 5, 3), skip_bad=True)


def test_memory_limit(folder: Path) -> None:
    needed = 4 * 6 * 6 * 3 / 2**30
    assert len(load_images(folder, "train", FORM, memory_gb=needed)) == 4
    with pytest.raises(DataError, match="4 pictures of 6 x 6 x 3 take"):
        load_images(folder, "train", FORM, memory_gb=0.99 * needed)


def test_first_bad_file_is_named_whatever_the_threads(tmp_path: Path) -> None:
    for i in range(300):
        write(tmp_path / f"train/a/{i:03}.png", i)
    for i in (70, 150, 299):
        (tmp_path / f"train/a/{i:03}.png").write_bytes(b"x")
    before = threading.active_count()
    with pytest.raises(DataError, match=r"070.png"):
        load_images(tmp_path, "train", FORM)
    assert threading.active_count() == before
    assert load_images(tmp_path, "train", FORM, skip_bad=True).skipped == 3


def test_missing_folder_and_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; give a folder; understood layouts"):
        load_images(tmp_path / "none", "train", FORM)
    with pytest.raises(ValueError, match="'train' or 'test'"):
        load_images(tmp_path, "valid", FORM)


def test_mnist(data_root: Path) -> None:
    source = ImageSource.mnist(str(data_root / "mnist"), test_size=1000)
    test = source.open("test")
    assert (len(test), test.sample_shape, test.class_names[9]) == (1000, (28, 28, 1), "9")
    assert abs((test.images / 255).mean() - source.mean[0]) < 0.01
    assert np.bincount(test.labels).min() > 50


def test_cifar10(data_root: Path) -> None:
    source = ImageSource.cifar10(str(data_root / "cifar10_jpeg"), train_size=500, test_size=500)
    for split in (source.open("train"), source.open("test")):
        assert (len(split), split.sample_shape, split.class_names[3]) == (500, (32, 32, 3), "cat")
        x = split.images / 255
        np.testing.assert_allclose(x.mean((0, 1, 2)), source.mean, atol=0.02)
        np.testing.assert_allclose(x.std((0, 1, 2)), source.std, atol=0.02)
    with pytest.raises(DataError, match="28 x 28"):
        replace(source, image_size=(28, 28)).open("test")


def test_fashion_mnist(data_root: Path) -> None:
    source = ImageSource.fashion_mnist(str(data_root / "fashion_mnist"), test_size=500)
    test = source.open("test")
    assert test.class_names[8] == "bag"
    assert abs((test.images / 255).mean() - source.mean[0]) < 0.02
