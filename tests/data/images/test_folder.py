"""Folders of pictures in both layouts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.images import Form, load_images
from snnjax.data.images.folder import list_split
from tests.data.images.pictures import pixels, write

FORM = Form(6, 6, 3)


def test_split_first(folder: Path) -> None:
    split = load_images(folder, "train", FORM)
    assert split.class_names == ("cat", "dog")
    assert split.labels.tolist() == [0, 0, 1, 1]
    assert [split.name(i) for i in (0, 3)] == ["train/cat/0.png", "train/dog/3.png"]
    np.testing.assert_array_equal(split.images, [pixels(i) for i in range(4)])
    assert load_images(folder, "test", FORM).labels.tolist() == [0, 1]


def test_class_first_and_further_folders(tmp_path: Path) -> None:
    write(tmp_path / "b/train/x/0.png", 0)
    write(tmp_path / "a/train/1.png", 1)
    write(tmp_path / "a/test/2.png", 2)
    split = load_images(tmp_path, "train", FORM)
    assert split.class_names == ("a", "b")
    assert split.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(split.images, [pixels(1), pixels(0)])


def test_class_of_one_split_alone_keeps_its_number(folder: Path) -> None:
    write(folder / "test/bird/6.png", 6)
    assert load_images(folder, "train", FORM).class_names == ("bird", "cat", "dog")
    assert load_images(folder, "train", FORM).labels.tolist() == [1, 1, 2, 2]
    assert load_images(folder, "test", FORM).labels.tolist() == [0, 1, 2]


def test_hidden_and_other_files_are_ignored(folder: Path) -> None:
    for name in ("cat/.hidden.png", ".trash/0.png", "cat/.cache/0.png"):
        write(folder / "train" / name, 7)
    (folder / "train/cat/notes.txt").write_text("none")
    (folder / "train/cat/x.png").mkdir()
    assert len(load_images(folder, "train", FORM)) == 4
    assert load_images(folder, "train", FORM).class_names == ("cat", "dog")


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hard_link"])
def test_file_listed_twice(folder: Path, link) -> None:
    link(folder / "train/cat/0.png", folder / "train/dog/9.png")
    with pytest.raises(DataError, match=r"dog/9.png: is the same file as .*cat/0.png"):
        load_images(folder, "train", FORM)
    split = load_images(folder, "train", FORM, skip_bad=True)
    assert (len(split), split.skipped) == (4, 1)


def test_training_file_that_is_tested_on(folder: Path) -> None:
    os.symlink(folder / "train/cat/0.png", folder / "test/cat/9.png")
    assert len(load_images(folder, "train", FORM)) == 4
    with pytest.raises(DataError, match=r"test/cat/9.png: is the same file as .*train/cat/0.png"):
        load_images(folder, "test", FORM)


def test_dangling_link_is_ignored(folder: Path) -> None:
    os.symlink(folder / "none.png", folder / "train/cat/9.png")
    assert len(load_images(folder, "train", FORM)) == 4


def test_no_layout_and_empty_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train split is found(.|\n)*<class>/train"):
        list_split(tmp_path, "train")
    (tmp_path / "train/cat").mkdir(parents=True)
    with pytest.raises(DataError, match="the train split is empty"):
        list_split(tmp_path, "train")
