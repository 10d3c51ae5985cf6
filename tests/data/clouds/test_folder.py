from __future__ import annotations

import logging

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.clouds import load_dataset

TETRAHEDRON = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
COUNTS = {"chair": {"train": 3, "test": 1}, "table_top": {"train": 2, "test": 2}}


def _cloud(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", np.random.default_rng(0).normal(size=(30, 3)))


def _build(root, layout):
    for kind, splits in COUNTS.items():
        number = 0
        for split, count in splits.items():
            for _ in range(count):
                number += 1
                name = f"{kind}_{number:04d}"
                if layout == "modelnet":
                    folder = root / kind / split
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"{name}.off").write_text(TETRAHEDRON)
                elif layout == "split first":
                    _cloud(root / split / kind, name)
                else:
                    _cloud(root / kind, name)
                    with open(root / f"modelnet40_{split}.txt", "a") as file:
                        file.write(name + "\n")
    return root


@pytest.fixture(params=["modelnet", "split first", "lists"])
def tree(request, tmp_path):
    return _build(tmp_path / "set", request.param)


def test_all_layouts_give_the_same_split(tree):
    train = load_dataset(str(tree), "train", points=16)
    test = load_dataset(str(tree), "test", points=16)
    assert train.class_names == test.class_names == ("chair", "table_top")
    assert [train.label(i) for i in range(len(train))] == [0, 0, 0, 1, 1]
    assert [test.label(i) for i in range(len(test))] == [0, 1, 1]
    assert train.in_channels == 3
    assert train.skipped == 0
    for i in range(5):
        assert train.points(i).shape[0] in (30, 32)  # the file's own, or twice the points asked for
        assert np.linalg.norm(train.points(i), axis=1).max() < 1


def test_meshes_are_sampled_by_seed_and_carry_normals(tmp_path):
    tree = str(_build(tmp_path, "modelnet"))
    one, two = (load_dataset(tree, "train", points=16, seed=0, normals=True) for _ in range(2))
    other = load_dataset(tree, "train", points=16, seed=1)
    assert one.in_channels == 6
    np.testing.assert_array_equal(one.points(2), two.points(2))
    assert (one.points(2)[:, :3] != other.points(2)).any()
    assert (one.points(0)[:, :3] != one.points(1)[:, :3]).any()
    np.testing.assert_allclose(np.linalg.norm(one.points(1)[:, 3:], axis=1), 1, atol=1e-6)


def test_size_keeps_every_class(tree):
    small = load_dataset(str(tree), "train", points=16, size=2)
    assert [small.label(i) for i in range(len(small))] == [0, 1]
    many = load_dataset(str(tree), "train", points=16, size=99)
    assert [many.label(i) for i in range(len(many))] == [0, 0, 0, 1, 1]


def test_a_bad_file_raises_or_is_counted(tmp_path, caplog):
    tree = _build(tmp_path, "modelnet")
    bad = tree / "chair" / "train" / "chair_0002.off"
    bad.write_text(TETRAHEDRON[:30])
    with pytest.raises(DataError, match="too early") as error:
        load_dataset(str(tree), "train", points=16)
    assert str(bad) in str(error.value)
    with caplog.at_level(logging.WARNING):
        ds = load_dataset(str(tree), "train", points=16, skip_bad=True)
    assert (len(ds), ds.skipped) == (4, 1)
    assert [ds.label(i) for i in range(4)] == [0, 0, 1, 1]
    assert "chair_0002.off" in caplog.text


def test_only_bad_files_leave_nothing_to_skip_to(tmp_path):
    _build(tmp_path, "modelnet")
    for path in tmp_path.rglob("train/*.off"):
        path.write_text("nonsense")
    with pytest.raises(DataError, match="none of 5 train files"):
        load_dataset(str(tmp_path), "train", skip_bad=True)


def test_an_empty_split_is_refused(tmp_path):
    (tmp_path / "chair" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="the train split is empty"):
        load_dataset(str(tmp_path), "train")
    with pytest.raises(DataError, match="the test split is empty"):
        load_dataset(str(tmp_path), "test")


def test_a_listed_file_that_is_missing_is_named_with_its_line(tmp_path):
    _build(tmp_path, "lists")
    (tmp_path / "chair" / "chair_0002.npy").unlink()
    with pytest.raises(DataError, match=r"modelnet40_train.txt, line 2: 'chair_0002' is listed"):
        load_dataset(str(tmp_path), "train")


def test_a_list_cannot_name_files_outside_the_folder(tmp_path):
    outside = tmp_path / "secret" / "secret_0001.npy"
    _cloud(outside.parent, outside.stem)
    tree = _build(tmp_path / "set", "lists")
    (tree / "modelnet40_train.txt").write_text("../secret/secret_0001\n")
    with pytest.raises(DataError, match="is listed"):
        load_dataset(str(tree), "train")
    (tree / "modelnet40_train.txt").write_text(".._0001\n")
    with pytest.raises(DataError, match="is listed"):
        load_dataset(str(tree), "train")


def test_hidden_and_foreign_files_are_left_out(tmp_path):
    tree = _build(tmp_path, "modelnet")
    (tree / "chair" / "train" / ".hidden.off").write_text("x")
    (tree / "chair" / "train" / "notes.md").write_text("x")
    assert len(load_dataset(str(tree), "train", points=16)) == 5
