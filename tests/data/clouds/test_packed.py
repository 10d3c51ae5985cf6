from __future__ import annotations

import logging

import numpy as np
import pytest

from snnjax.data import DataError, batches
from snnjax.data.clouds import CloudSource, load_dataset, load_packed, normalise

NAMES = np.array(["a", "b"])


@pytest.fixture
def pack(tmp_path):
    def write(**changes):
        rng = np.random.default_rng(0)
        arrays = {
            "points": rng.integers(-2047, 2048, (12, 3)).astype(np.int16),
            "offset": np.array([0, 5, 6, 12], np.int32),
            "label": np.array([0, 1, 1], np.uint8),
            "class_names": NAMES,
            "name": np.array(["x1", "x2", "x3"]),
        } | changes
        np.savez(tmp_path / "train.npz", **{k: v for k, v in arrays.items() if v is not None})
        return tmp_path / "train.npz"

    return write


def test_ragged_clouds(pack):
    path = pack()
    ds = load_packed(path, train=True)
    raw = np.load(path)["points"]
    assert len(ds) == 3
    assert ds.class_names == ("a", "b")
    assert ds.name(2) == "x3"
    np.testing.assert_allclose(ds.points(0), normalise(raw[:5]), atol=1e-6)
    np.testing.assert_allclose(ds.points(2), normalise(raw[6:]), atol=1e-6)
    assert [ds.label(i) for i in range(3)] == [0, 1, 1]


def test_clouds_of_one_size(pack):
    cube = np.random.default_rng(1).normal(size=(3, 7, 6)).astype(np.float32)
    path = pack(points=cube, offset=None)
    ds = load_packed(path, train=True)
    np.testing.assert_allclose(ds.points(1), normalise(cube[1, :, :3]), atol=1e-6)
    full = load_packed(path, train=True, normals=True)
    assert full.in_channels == 6
    np.testing.assert_array_equal(full.points(1)[:, 3:], cube[1, :, 3:])


def test_empty_clouds_leave_training_but_stay_in_the_test_split(pack, caplog):
    path = pack(offset=np.array([0, 5, 5, 12]))
    with caplog.at_level(logging.WARNING):
        train = load_packed(path, train=True)
    assert (len(train), train.skipped) == (2, 1)
    assert [train.label(i) for i in range(2)] == [0, 1]
    assert "1 empty training clouds" in caplog.text
    test = load_packed(path, train=False)
    assert (len(test), test.skipped) == (3, 0)
    assert test.points(1).shape == (0, 3)
    batch = next(batches(test, CloudSource(points=8), 3, seed=0, train=False))
    assert batch["count"].tolist() == [5, 0, 7]
    assert batch["weight"].tolist() == [1, 1, 1]  # it counts, and is answered wrongly or by chance


def test_bad_samples_raise_or_are_counted(pack):
    points = np.random.default_rng(0).normal(size=(12, 3))
    points[5] = np.nan
    path = pack(points=points, label=np.array([0, 1, 2]))
    with pytest.raises(DataError, match="sample 1: point 0 has a NaN"):
        load_packed(path, train=True)
    ds = load_packed(path, train=True, skip_bad=True)
    assert (len(ds), ds.skipped, ds.label(0)) == (1, 2, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.array([0, 1, 2])}, "sample 2 has label 2, but there are 2 classes"),
        ({"label": np.array([0, -1, 1])}, "label -1"),
        ({"label": np.array([0.0, 1.0, 1.0])}, "`label` must be integers"),
        ({"label": np.zeros((3, 1), int)}, "`label` must be integers"),
        ({"label": None}, "no array `label`"),
        ({"label": np.zeros(0, int), "offset": np.array([0])}, "the split is empty"),
        ({"class_names": None}, "`class_names` must be strings"),
        ({"class_names": np.arange(2)}, "`class_names` must be strings"),
        ({"class_names": np.array([b"a\xff", b"b"])}, "`class_names` is not UTF-8"),
        ({"class_names": np.array(["a", "a"])}, "`class_names` holds 'a' more than once"),
        ({"name": np.array(["x1"])}, r"`name` must be strings of shape \[3\]; got <U2 \(1,\)"),
        ({"name": np.array("x1")}, r"`name` must be strings of shape \[3\]"),
        ({"points": None}, "neither `points` nor `voxels`"),
        ({"points": np.zeros((12, 2))}, r"\[M, C >= 3\]"),
        ({"points": np.zeros((12, 3), complex)}, "`points` must be numbers"),
        ({"points": np.zeros((4, 3)), "offset": None}, r"\[N, P, C >= 3\]"),
        ({"points": np.zeros((2, 4, 3)), "offset": None}, "2 clouds for 3 labels"),
        ({"offset": np.array([0, 5, 12])}, "4 integers for 3 labels"),
        ({"offset": np.array([0.0, 5, 6, 12])}, "4 integers for 3 labels"),
        ({"offset": np.array([0, 7, 6, 12])}, "must rise from 0 to 12"),
        ({"offset": np.array([0, 5, 6, 13])}, "must rise from 0 to 12"),
        ({"offset": np.array([1, 5, 6, 12])}, "must rise from 0 to 12"),
        ({"voxels": np.zeros((3, 4096), bool)}, "`voxels` must be uint8"),
        ({"voxels": np.zeros((3, 4000), np.uint8)}, "`voxels` must be uint8"),
        ({"voxels": np.zeros((2, 4096), np.uint8)}, "`voxels` must be uint8"),
        ({"voxels": np.zeros((3, 4096), np.uint8)}, "none of 3 samples"),
    ],
)
def test_wrong_arrays_are_refused_with_file_and_fix(pack, changes, message):
    path = pack(**changes)
    with pytest.raises(DataError, match=message) as error:
        load_packed(path, train=True)
    assert str(error.value).startswith(str(path))
    assert "Fix:" in str(error.value)


def test_size_takes_samples_spread_over_the_file(pack):
    ds = load_packed(pack(), train=True, size=2)
    assert [ds.name(i) for i in range(2)] == ["x1", "x3"]


def test_both_splits_must_number_the_same_classes(pack, tmp_path):
    path = pack(name=None)
    arrays = dict(np.load(path))
    np.savez(tmp_path / "test.npz", **(arrays | {"class_names": np.array(["b", "a"])}))
    with pytest.raises(DataError, match="different `class_names`"):
        load_dataset(str(tmp_path), "test")
    np.savez(tmp_path / "test.npz", **arrays)
    assert len(load_dataset(str(tmp_path), "test")) == 3


def test_modelnet40_points(data_root):
    ds = load_dataset(str(data_root / "modelnet40_points"), "test")
    assert (len(ds), len(ds.class_names), ds.skipped) == (930, 33, 0)
    sizes = [len(ds.points(i)) for i in range(len(ds))]
    assert max(sizes) == 512
    assert np.bincount([ds.label(i) for i in range(930)], minlength=33).min() > 0


def test_shapes69_points(data_root):
    ds = load_dataset(str(data_root / "shapes69_points"), "test")
    assert (len(ds), len(ds.class_names)) == (374, 69)
    assert ds.points(0).shape == (1024, 3)


def test_modelnet10_voxels(data_root):
    folder = str(data_root / "modelnet10_voxels")
    test = load_dataset(folder, "test")
    labels = [test.label(i) for i in range(len(test))]
    assert np.bincount(labels).tolist() == [25, 50, 50, 43, 43, 50, 43, 50, 50, 50]
    train = load_dataset(folder, "train")
    assert (len(train), train.skipped) == (3964, 27)  # 27 grids lost all their thin parts
    assert [s for s in (len(test.points(i)) for i in range(len(test))) if s == 0]


def test_a_name_in_both_splits_is_refused(pack, tmp_path):
    pack(name=np.array([b"x9", b"x1", b"x8"])).rename(tmp_path / "test.npz")
    pack()
    for split in ("train", "test"):
        with pytest.raises(
            DataError, match=r"test\.npz: sample 1, 'x1', is sample 0 of train\.npz"
        ):
            load_dataset(str(tmp_path), split, skip_bad=True)
    pack(name=None)
    assert load_dataset(str(tmp_path), "test").name(0) == "x9"  # bytes are text


def test_a_name_packed_twice_is_refused(pack):
    path = pack(name=np.array(["x1", "x2", "x1"]))
    with pytest.raises(DataError, match="sample 2 has the name of sample 0, 'x1'"):
        load_packed(path, train=True, skip_bad=True)
