"""Embedded scenes as voxels with boxes: equal to the generator, levels of difficulty by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnjax.data.lidar import difficulty, read_objects
from snnjax.data.lidar_scenes import BOX_CLASSES, LidarScenes, SceneBoxes
from snnjax.data.source import Layout
from snnjax.sparse import Geometry

SOURCE = SceneBoxes(
    scenes=LidarScenes(beams=16, columns=512, fov=45.0),
    train_size=3,
    test_size=2,
    in_view=False,
    voxels=4096,
)


class Model:
    """The part of a detector that buckets are fitted to."""

    geometries = (Geometry.of(3, 2, 1), Geometry.of((3, 1, 1), (2, 1, 1)))


def test_frames_are_the_scans_of_the_generator():
    test = SOURCE.open("test")
    scan, sample = SOURCE.scenes.scan(1, "test"), test.sample(1, None)
    np.testing.assert_array_equal(sample["points"], scan.points)
    np.testing.assert_array_equal(sample["boxes"], scan.boxes)
    cars = scan.box_class == BOX_CLASSES.index("Car")
    np.testing.assert_array_equal(sample["box_class"], np.where(cars, 0, -1))
    vans = scan.box_class == BOX_CLASSES.index("Van")
    np.testing.assert_array_equal(sample["box_ignore"], np.where(vans, 0, -1))
    assert test.name(1) == "test scene 1"


def test_levels_are_those_of_the_label_files(tmp_path):
    """Files round to two decimals, so objects at a limit are left out."""
    names = SOURCE.scenes.write_kitti(tmp_path, range(2), "test")
    compared = 0
    for name, frame in zip(names, replace(SOURCE, least_points=0).open("test").frames, strict=True):
        objects = read_objects(tmp_path / "label_2" / f"{name}.txt")
        levels = frame.level[frame.level < 3].tolist()
        assert sorted(levels) == sorted(difficulty(objects)[difficulty(objects) < 3].tolist())
        compared += len(levels)
    assert compared >= 3


def test_objects_with_few_points_do_not_count():
    frame = replace(SOURCE, least_points=10**6).open("test").frames[0]
    assert len(frame.level) > 0
    assert (frame.level == 3).all()


def test_batches_are_padded_and_training_moves_boxes_with_points():
    train = SOURCE.open("train")
    samples = [train.sample(i, None) for i in range(2)]
    plain = SOURCE.collate(samples, None)
    assert plain["boxes"].shape == (2, 64, 7)
    assert plain["camera"].shape == (2, 3, 4)
    moved = replace(SOURCE, augment=replace(SOURCE.augment, flip_y=1.0)).collate(
        samples, [np.random.default_rng(i) for i in range(2)]
    )
    kept = moved["box_class"][0] >= 0
    assert kept.any()
    assert not np.allclose(moved["boxes"][0], plain["boxes"][0])


def test_objects_are_pasted_from_other_scans():
    train = replace(SOURCE, train_size=5, paste=30, paste_points=1).open("train")
    before = sum(len(frame.boxes) for frame in train.frames)
    after = sum(len(train.sample(i, np.random.default_rng(i))["boxes"]) for i in range(5))
    assert after > before


def test_buckets_are_fitted_to_the_strided_convolutions_of_the_model():
    model: Any = Model()
    shapes = SOURCE.shapes(SOURCE.open("train"), SOURCE.open("test"), model, Layout(1))
    rows = shapes.evaluation.choices[0].rows
    batch = SOURCE.collate([SOURCE.open("test").sample(0, None)], None)
    assert len(rows) == 3
    assert rows[1] > rows[0]  # kernel 3, stride 2 dilates thin surfaces
    again = SOURCE.shapes_from_json(shapes.to_json(), model, Layout(1))
    assert again.evaluation == shapes.evaluation
    assert again.fit({**batch, "weight": np.ones(1)}).rows[0] <= rows[0]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"path": "x"}, "data.path has no effect"),
        ({"skip_bad": True}, "data.skip_bad has no effect"),
        ({"scenes": LidarScenes(test_size=3)}, "set data.test_size in place"),
        ({"class_names": ("Tram",)}, "must be among Car, Van, Truck, Pedestrian, Cyclist"),
        ({"least_points": -1}, "least_points must be at least 0"),
    ],
)
def test_options_without_effect_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        replace(SOURCE, **options)
