"""Embedded scenes as voxels: equal to the generator's points, without options that do nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnjax.data.lidar import SEMANTIC_KITTI
from snnjax.data.lidar_scenes import POINT_CLASSES, LidarScenes, SceneVoxels

SOURCE = SceneVoxels(
    scenes=LidarScenes(beams=8, columns=128), train_size=2, test_size=1, points=1024, voxels=1024
)


def test_samples_are_the_scans_of_the_generator():
    train = SOURCE.open("train")
    scan = SOURCE.scenes.scan(1, "train")
    sample = train.sample(1, None)
    assert len(train) == 2
    assert len(SOURCE.open("test")) == 1
    assert train.class_names == POINT_CLASSES
    assert train.name(1) == "train scene 1"
    np.testing.assert_array_equal(sample["points"], scan.points)
    np.testing.assert_array_equal(sample["point_label"], scan.label)
    assert train.sample(1, None)["points"] is sample["points"]  # generated once


def test_batches_hold_what_a_scan_of_a_file_does():
    train = SOURCE.open("train")
    batch = SOURCE.collate([train.sample(0, None)], None)
    n, scan = batch["n"][0], SOURCE.scenes.scan(0, "train")
    assert 0 < n <= len(scan.points)
    inside = batch["point_voxel"][0, : len(scan.points)]
    assert inside.min() >= 0
    assert inside.max() == n - 1
    assert set(np.unique(batch["label"][0, :n])) <= set(range(-1, len(POINT_CLASSES)))


def test_raw_classes_are_those_of_semantic_kitti():
    classes = SOURCE.open("train").classes
    assert [numbers[0] for numbers in classes.raw] == [
        SEMANTIC_KITTI.raw[SEMANTIC_KITTI.names.index(name)][0] for name in classes.names
    ]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"path": "x"}, "data.path has no effect"),
        ({"layout": "packed"}, "data.layout has no effect"),
        ({"skip_bad": True}, "data.skip_bad has no effect"),
        ({"scenes": LidarScenes(train_size=3)}, "set data.train_size in place"),
        ({"feature_units": (1.0, 0.0)}, "feature_units must be positive"),
    ],
)
def test_options_without_effect_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        replace(SOURCE, **options)


def test_feature_units_divide_the_features():
    train = SOURCE.open("train")
    plain = SOURCE.collate([train.sample(0, None)], None)["feats"]
    units = (20.0, 20.0, 2.0, 0.5)
    scaled = replace(SOURCE, feature_units=units).collate([train.sample(0, None)], None)["feats"]
    np.testing.assert_allclose(scaled * units, plain, rtol=1e-6)
    with pytest.raises(ValueError, match="one entry for each of the 4 features"):
        replace(SOURCE, feature_units=(1.0,)).collate([train.sample(0, None)], None)
