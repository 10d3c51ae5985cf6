"""Scans as a source of training: batches, random changes, shapes, and the tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import DataError, DataInfo, Layout, batches
from snnjax.data.lidar import LidarAugment, LidarGrid, LidarSource, majority_labels

from . import scenes

GRID = LidarGrid((0, -8, -2), (16, 8, 2), (1, 1, 0.25))
MODEL = SimpleNamespace(depth=2)


@pytest.fixture
def source(tmp_path: Path) -> LidarSource:
    folder = str(scenes.semantic_kitti(tmp_path))
    return LidarSource(folder, grid=GRID, points=400, voxels=320)


def one(source: LidarSource, split: str = "test", *, train: bool = False):
    return next(batches(source.open(split), source, 2, seed=0, train=train))


def test_a_batch_holds_voxels_labels_and_the_way_back_to_the_points(source) -> None:
    batch, test = one(source), source.open("test")
    assert {name: array.shape for name, array in batch.items()} == {
        "coords": (2, 320, 3),
        "feats": (2, 320, 4),
        "n": (2,),
        "dropped": (2,),
        "label": (2, 320),
        "point_voxel": (2, 400),
        "point_label": (2, 400),
        "weight": (2,),
        "index": (2,),
    }
    for b in range(2):
        sample = test.sample(b, None)
        points, n = sample["points"], batch["n"][b]
        position, inside = GRID.cells(points[:, :3])
        assert 50 < inside.sum() < 300
        row = batch["point_voxel"][b, :300]
        cell = np.floor(position[inside]).astype(int)[:, ::-1]
        np.testing.assert_array_equal(batch["coords"][b][row[inside]], cell)
        assert (row >= 0).all()  # points outside take the nearest voxel
        want = majority_labels(sample["point_label"], np.where(inside, row, -1), n, 19)
        np.testing.assert_array_equal(batch["label"][b, :n], want)
        assert (batch["label"][b, n:] == -1).all()
        assert (batch["point_voxel"][b, 300:] == -1).all()
        np.testing.assert_array_equal(batch["point_label"][b, :300], sample["point_label"])
        assert (batch["point_label"][b, 300:] == -1).all()
    alone = one(replace(source, outside="none"))
    assert ((alone["point_voxel"] == -1).sum(axis=1) > 100).all()


def test_the_label_of_the_representative_can_be_taken(source) -> None:
    batch, test = one(replace(source, voxel_label="representative")), source.open("test")
    for b in range(2):
        sample, n = test.sample(b, None), batch["n"][b]
        for feature, label in zip(batch["feats"][b, :n], batch["label"][b, :n], strict=True):
            point = int(np.flatnonzero((sample["points"] == feature).all(axis=1))[0])
            assert label == sample["point_label"][point]


def test_the_model_receives_the_sorted_voxels(source) -> None:
    batch, test = one(source), source.open("test")
    shapes = source.shapes(source.open("train"), test, MODEL, Layout(2))
    shape = shapes.choose(batch, train=False)
    device = {name: jnp.asarray(array) for name, array in batch.items()}
    found = source.encode(device, shape, key=None, train=False)
    x = found["x"]
    assert x.extent == (16, 16, 16)
    assert found["label"].shape == x.coords.shape[:2] == (2, shape.rows[0])
    assert shape.rows[0] >= batch["n"].max()
    np.testing.assert_array_equal(x.coords, batch["coords"][:, : shape.rows[0]])
    assert x.overflow.tolist() == [0, 0]
    assert found.keys() == {"x", "capacities", "label", "point_voxel", "point_label"}
    few = source.encode(device, replace(shape, rows=(8, 8, 8)), key=None, train=False)
    assert few["x"].n.tolist() == [8, 8]
    assert few["x"].overflow.tolist() == [int(n) - 8 for n in batch["n"]]
    assert int(few["point_voxel"].max()) == 7
    assert source.shapes_from_json(shapes.to_json(), MODEL, Layout(2)) == shapes
    assert 0 <= shapes.padding(batch, shape) < 0.2


def test_levels_are_counted_as_sets_of_halved_cells(source) -> None:
    batch = one(source)
    grid = source.shapes(None, source.open("test"), MODEL, Layout(2)).grid
    for b, counts in enumerate(grid.counts(batch)):
        cells = batch["coords"][b, : batch["n"][b]]
        assert counts.tolist() == [len(np.unique(cells >> k, axis=0)) for k in range(3)]


def test_a_model_must_halve_the_grid_without_a_rest(source) -> None:
    with pytest.raises(TypeError, match=r"integer `depth`.*SimpleNamespace has neither"):
        source.shapes(None, source.open("test"), SimpleNamespace(), Layout(2))
    with pytest.raises(ValueError, match="each must be a multiple of 32"):
        source.shapes(None, source.open("test"), SimpleNamespace(depth=5), Layout(2))


def test_labels_move_with_their_points(source) -> None:
    augment = LidarAugment(180.0, scale=(0.9, 1.1), flip_x=0.5, flip_y=0.5, drop=0.4)
    changed = replace(
        source, augment=augment, grid=LidarGrid((-32, -32, -4), (32, 32, 4), (1,) * 3)
    )
    sample = changed.open("train").sample(0, None)
    # a reflectance of its own for each point: which one is it after the changes?
    sample["points"][:, 3] = np.arange(300)
    batch = changed.collate([sample], [np.random.default_rng(0)])
    rows = batch["point_voxel"][0]
    assert 150 < (batch["point_label"][0] >= 0).sum() < 280
    assert (rows >= 0).sum() > 170
    full = changed.collate([sample], None)
    plain = replace(changed, augment=replace(augment, drop=0.0))
    turned = plain.collate([sample], [np.random.default_rng(0)])
    assert (full["coords"] != turned["coords"]).any()
    np.testing.assert_array_equal(turned["point_label"], full["point_label"])
    for row in range(int(turned["n"][0])):
        point = int(turned["feats"][0, row, 3])
        assert turned["point_voxel"][0, point] == row
    again = changed.collate([sample], [np.random.default_rng(0)])
    np.testing.assert_array_equal(batch["feats"], again["feats"])


def test_mixed_scans_hold_the_points_of_two(source) -> None:
    mixed = replace(source, mix=1.0, points=600, voxels=600)
    batch = one(mixed, "train", train=True)
    assert ((batch["point_label"] >= 0).sum(axis=1) > 350).all()  # of 300 points each
    assert (batch["n"] > one(source, "train")["n"].max()).all()
    never = one(replace(mixed, mix=0.0), "train", train=True)
    assert ((never["point_label"] >= 0).sum(axis=1) <= 300).all()
    assert "other" not in mixed.open("test").sample(0, np.random.default_rng(0))
    assert "other" not in mixed.open("train").sample(0, None)
    half = replace(mixed, mix=0.5)
    counts = []
    for batch in batches(half.open("train"), half, 1, seed=0, train=True, epochs=10):
        counts.append(int((batch["point_label"] >= 0).sum() > 300))
    assert 5 < sum(counts) < 25


def test_training_can_be_limited_to_a_square(source) -> None:
    near = replace(source, train_radius=6.0)
    batch = one(near, "train", train=True)
    for b in range(2):
        assert (batch["feats"][b, : batch["n"][b], :2] <= 6).all()
    assert one(near, "train")["feats"][..., 0].max() > 6


def test_too_many_points_and_voxels(source) -> None:
    with pytest.raises(DataError, match=r"000000\.bin: has 300 points, but data\.points allows 99"):
        one(replace(source, points=99))
    few = one(replace(source, points=99), "train", train=True)
    assert few["point_voxel"].shape == (2, 99)
    with pytest.raises(DataError, match=r"000000\.bin: has \d+ voxels, but data\.voxels allows 40"):
        one(replace(source, voxels=40))
    for batch in (
        one(replace(source, voxels=40), "train", train=True),
        one(replace(source, voxels=40, drop_voxels=True)),
    ):
        assert batch["n"].tolist() == [40, 40]
        assert (batch["dropped"] > 20).all()


def test_a_file_is_a_sample_without_labels(source) -> None:
    path = source.open("test").name(0)
    batch = source.collate([source.read(path)], None)
    assert batch.keys() == {"coords", "feats", "n", "dropped", "point_voxel"}
    want = one(source)
    np.testing.assert_array_equal(batch["feats"][0], want["feats"][0])
    np.testing.assert_array_equal(batch["point_voxel"][0], want["point_voxel"][0])


def test_splits_belong_together_and_votes_need_changes(source) -> None:
    info = DataInfo.of(source.open("train"), source.open("test"))
    assert (info.in_channels, info.train_size, info.test_size, info.skipped) == (4, 3, 3, 0)
    assert info.class_names[8] == "road"
    augment = LidarAugment.segmentation()
    voting = replace(source, augment=replace(augment, drop=0.5), mix=0.8).for_voting()
    assert (voting.augment, voting.mix) == (augment, 0.0)
    with pytest.raises(ValueError, match="the copies would be equal"):
        source.for_voting()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "kitti"}, r"data\.layout must be one of semantic_kitti, nuscenes, packed"),
        ({"mix": 1.5}, r"data\.mix is a chance"),
        ({"points": 0}, r"data\.points must be an integer"),
        ({"voxels": 0}, r"data\.voxels must be an integer"),
        ({"mean_of": 0}, r"data\.mean_of must be an integer"),
        ({"train_radius": 0.0}, r"data\.train_radius must be positive"),
        ({"voxel_label": "mean"}, r"data\.voxel_label must be one of majority"),
        ({"outside": "far"}, r"data\.outside must be one of nearest"),
    ],
)
def test_impossible_settings_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        LidarSource(**options)
