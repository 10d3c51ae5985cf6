"""Frames with boxes as a source of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import DataError, Layout, batches
from snnjax.data.lidar import LidarAugment, LidarBoxSource, LidarGrid, box_corners, points_in_box
from snnjax.data.lidar.kitti import IMAGE_SIZE

from . import scenes

GRID = LidarGrid((0, -8, -2), (32, 8, 2), (1, 1, 0.5))
CHANGES = LidarAugment(45.0, scale=(0.95, 1.05), flip_y=0.5)
PERSON = "Pedestrian 0 0 0 10 10 50 60 1.7 0.6 0.8 1 1.7 12 0"


@pytest.fixture
def source(tmp_path: Path) -> LidarBoxSource:
    return LidarBoxSource(str(scenes.kitti(tmp_path)), grid=GRID, voxels=1500, boxes=8)


def one(source: LidarBoxSource, split: str = "test", *, train: bool = False):
    return next(batches(source.open(split), source, 1, seed=0, train=train))


def test_a_batch_holds_voxels_and_padded_boxes(source) -> None:
    batch = one(source)
    assert batch["boxes"].shape == (1, 8, 7)
    assert batch["box_class"].tolist() == [[0, *[-1] * 7]]
    assert batch["box_ignore"].tolist() == [[-1, 0, *[-1] * 6]]  # the van
    assert batch["box_level"].tolist() == [[0, 2, *[3] * 6]]
    assert batch["image_size"].tolist() == [list(IMAGE_SIZE)]
    np.testing.assert_allclose(batch["boxes"][0, 0, 3:6], [3.9, 1.6, 1.5])
    assert not batch["boxes"][0, 2:].any()
    n = batch["n"][0]
    assert 100 < n < 1500
    pixel = np.concatenate([batch["feats"][0, :n, :3], np.ones((n, 1))], 1) @ batch["camera"][0].T
    assert (pixel[:, 0] / pixel[:, 2] < 1242).all()
    wide = one(replace(source, in_view=False))
    assert wide["n"][0] > n


def test_boxes_follow_their_points_and_the_camera_follows_both(source) -> None:
    sample = source.open("train").sample(0, None)
    inside = [int(points_in_box(sample["points"], box).sum()) for box in sample["boxes"]]
    changed, kept = replace(source, augment=CHANGES), 0
    for seed in range(8):
        moved = changed._changed(sample, np.random.default_rng(seed))
        assert len(moved["boxes"]) == len(moved["box_class"])  # some leave the grid
        kept += len(moved["boxes"])
        for box, kind in zip(moved["boxes"], moved["box_class"], strict=True):
            want = inside[0] if kind == 0 else inside[1]
            assert abs(int(points_in_box(moved["points"], box).sum()) - want) <= 1
        if 0 in moved["box_class"]:
            before = _pixels(sample["boxes"][0], sample["camera"])
            after = _pixels(moved["boxes"][0], moved["camera"])
            np.testing.assert_allclose(after, before, rtol=1e-6)
    assert kept > 6


def _pixels(box: np.ndarray, camera: np.ndarray) -> np.ndarray:
    corners = np.concatenate([box_corners(box[None])[0], np.ones((8, 1))], axis=1) @ camera.T
    pixels = corners[:, :2] / corners[:, 2:]
    return np.array([*pixels.min(axis=0), *pixels.max(axis=0)])  # flips exchange corners


def test_objects_of_other_frames_are_pasted_in_training_only(tmp_path: Path) -> None:
    places = ("2.00 1.70 15.00", "-3.00 1.70 11.00", "4.50 1.70 22.00")
    labels = tuple(scenes.CAR.replace(places[0], place) + "\n" for place in places)
    folder = str(scenes.kitti(tmp_path, 7, labels))
    source = LidarBoxSource(folder, grid=GRID, voxels=1500, boxes=8, paste=15, paste_points=1)
    train = source.open("train")
    assert len(train.store.points) >= 3
    counts = []
    for seed in range(6):
        sample = train.sample(0, np.random.default_rng(seed))
        counts.append(len(sample["boxes"]))
        assert len(sample["box_class"]) == len(sample["boxes"]) == len(sample["box_level"])
        for box in sample["boxes"]:
            assert points_in_box(sample["points"], box).any()
    assert max(counts) > 1
    assert len(train.sample(0, None)["boxes"]) == 1
    assert source.open("test").store is None
    assert (one(source, "train", train=True)["box_class"] == 0).sum() > 1


def test_training_frames_without_an_object_are_left_out(tmp_path: Path) -> None:
    labels = (f"{scenes.CAR}\n", f"{PERSON}\n", f"{scenes.NOTHING}\n")
    folder = str(scenes.kitti(tmp_path, 5, labels))
    source = LidarBoxSource(folder, grid=GRID, voxels=1500)
    assert [Path(name).stem for name in map(source.open("train").name, range(2))] == [
        "000000",
        "000003",
    ]
    both = replace(source, class_names=("Pedestrian", "Car"))
    assert len(both.open("train")) == 3
    assert both.open("train").sample(1, None)["box_class"].tolist() == [0]
    nobody = replace(source, class_names=("Tram",))
    with pytest.raises(DataError, match=r"none of 4 train frames can be used for \('Tram',\)"):
        nobody.open("train")
    scenes.kitti(tmp_path, 5, ("",))  # empty ground truth in a test
    batch = one(source)
    assert (batch["box_class"] == -1).all()


def test_the_model_receives_a_tensor_and_the_boxes(source) -> None:
    model = SimpleNamespace(depth=2)
    test = source.open("test")
    grid = replace(GRID, size=(8, 16, 32))
    with pytest.raises(ValueError, match="each must be a multiple of 16"):
        replace(source, grid=grid).shapes(None, test, SimpleNamespace(depth=4), Layout(1))
    shapes = source.shapes(None, test, model, Layout(1))
    batch = one(source)
    shape = shapes.choose(batch, train=False)
    found = source.encode(
        {k: jnp.asarray(v) for k, v in batch.items()}, shape, key=None, train=True
    )
    assert set(found) == {
        *("x", "capacities", "boxes", "box_class", "box_ignore", "box_level"),
        *("camera", "image_size"),
    }
    assert found["x"].n.tolist() == batch["n"].tolist()


def test_a_file_is_a_sample_without_boxes(source, tmp_path: Path) -> None:
    path = Path(source.open("test").name(0))
    batch = source.collate([source.read(path)], None)
    assert batch.keys() == {"coords", "feats", "n", "dropped", "camera", "image_size"}
    np.testing.assert_array_equal(batch["feats"], one(source)["feats"])
    alone = scenes.write_scan(tmp_path / "alone" / "a.bin", scenes.scan())
    assert source.collate([source.read(alone)], None).keys() == {"coords", "feats", "n", "dropped"}


def test_missing_images_are_noticed(source) -> None:
    notice = source.notices(source.open("train"), source.open("test"))[0]
    assert notice.startswith("4 of 4 frames have no image in training/image_2; 1242 x 375")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "calib/000001.txt").unlink(), r"calib/000001\.txt: is missing, so the la"),
        (lambda r: (r / "label_2/000001.txt").unlink(), r"label_2/000001\.txt: cannot be read"),
        (lambda r: (r / "velodyne/000001.bin").unlink(), r"velodyne/000001\.bin: cannot be read"),
        (lambda r: (r / "velodyne/000001.bin").write_bytes(b"0" * 9), "has 9 bytes, not a mult"),
        (lambda r: (r / "label_2/000001.txt").write_text("Car 1"), "line 1: a label has 15"),
    ],
)
def test_damaged_frames_stop_the_start_or_are_counted(source, damage, message) -> None:
    damage(Path(source.path) / "training")
    with pytest.raises(DataError, match=message):
        source.open("train")
    train = replace(source, skip_bad=True).open("train")
    assert (len(train), train.skipped) == (2, 1)


def test_lists_of_frames_are_needed_and_must_not_overlap(source) -> None:
    lists = Path(source.path) / "ImageSets"
    (lists / "val.txt").write_text("000001\n")
    with pytest.raises(DataError, match=r"'000001' is in train\.txt, line 2, too"):
        source.open("test")
    (lists / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: names no frames"):
        source.open("test")
    (lists / "val.txt").unlink()
    with pytest.raises(DataError, match="has no list of the test frames"):
        source.open("test")


def test_too_many_objects_are_an_error(source) -> None:
    with pytest.raises(DataError, match=r"000003\.bin: has 2 objects, but data\.boxes allows 1"):
        one(replace(source, boxes=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ()}, r"data\.class_names must be different types among Car, Van"),
        ({"class_names": ("Car", "Car")}, r"data\.class_names"),
        ({"class_names": ("DontCare",)}, r"data\.class_names"),
        ({"paste": -1}, r"data\.paste must be at least 0"),
        ({"boxes": 0}, r"data\.boxes must be an integer"),
    ],
)
def test_impossible_settings_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        LidarBoxSource(**options)
    assert LidarBoxSource.kitti().paste == 15
