from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import DataInfo, batches
from snnjax.data.lidar_scenes import BOX_CLASSES, POINT_CLASSES, LidarScenes
from snnjax.data.lidar_scenes.kitti import label_line, project

SMALL = LidarScenes(beams=12, columns=128, train_size=4, test_size=3)


def test_a_batch_is_padded_to_one_shape() -> None:
    test = SMALL.open("test")
    batch = next(batches(test, SMALL, 3, seed=0, train=False))
    assert batch["points"].shape == (3, 12 * 128, 4)
    assert batch["boxes"].shape == (3, SMALL.max_boxes, 7)
    for row in range(3):
        scan, n = SMALL.scan(row, "test"), int(batch["n"][row])
        m = len(scan.boxes)
        assert np.array_equal(batch["points"][row, :n], scan.points)
        assert np.array_equal(batch["point_label"][row, :n], scan.label)
        assert not batch["points"][row, n:].any()
        assert np.all(batch["point_label"][row, n:] == -1)
        assert np.array_equal(batch["boxes"][row, :m], scan.boxes)
        assert np.array_equal(batch["box_class"][row, :m], scan.box_class)
        assert np.array_equal(batch["box_points"][row, :m], scan.points_in_box)
        assert np.array_equal(batch["box_visible"][row, :m], scan.visible)
        assert np.all(batch["box_class"][row, m:] == -1)


def test_splits_describe_themselves() -> None:
    info = DataInfo.of(SMALL.open("train"), SMALL.open("test"))
    assert (info.train_size, info.test_size, info.in_channels) == (4, 3, 4)
    assert info.class_names == POINT_CLASSES
    assert SMALL.open("test").name(2) == "test scene 2"
    with pytest.raises(IndexError, match="sample 3 of a split of 3"):
        SMALL.open("test").sample(3, None)


def test_no_scene_has_more_boxes_than_a_batch() -> None:
    crowd = LidarScenes(beams=4, columns=64, driving=(30, 30), stray=(9, 9), pedestrians=(40, 40))
    assert max(len(crowd.scan(i).boxes) for i in range(10)) <= crowd.max_boxes


def test_an_empty_street() -> None:
    none = (0, 0)
    source = LidarScenes(beams=12, columns=128, driving=none, stray=none, pedestrians=none,
                         cyclists=none, poles=none, plants=none, range=20.0)  # fmt: skip
    scans = [source.scan(i) for i in range(6)]
    bare = [scan for scan in scans if not len(scan.boxes)]  # streets without a parking lane
    assert bare
    assert all(scan.boxes.shape == (0, 7) and not scan.instance.any() for scan in bare)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beams": 0}, "data.beams must be an integer of at least 1"),
        ({"columns": 2.5}, "data.columns must be an integer"),
        ({"fov": 0.0}, "data.fov must be in"),
        ({"fov": 200.0}, "data.fov must be in"),
        ({"fov": 0.1}, "contain an azimuth of the 1024 columns"),
        ({"range": float("nan")}, "data.range must be in"),
        ({"noise": -0.1}, "data.noise must be in"),
        ({"dropout": 1.0}, "data.dropout in"),
        ({"driving": (5, 3)}, "data.driving must be two integers"),
        ({"plants": (-1, 3)}, "data.plants must be two integers"),
        ({"poles": (1, 2.5)}, "data.poles must be two integers"),
        ({"stray": (1,)}, "data.stray must be two integers"),
        ({"seed": -1}, "data.seed must be an integer"),
        ({"seed": 1.5}, "data.seed must be an integer"),
        ({"path": "/somewhere"}, "data.path and data.skip_bad have no effect"),
        ({"train_size": 0}, "data.train_size must be"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LidarScenes(**settings)


def test_unknown_splits_and_scans_are_refused() -> None:
    with pytest.raises(ValueError, match="`split` must be"):
        SMALL.scan(0, "val")
    with pytest.raises(IndexError, match="numbered from 0"):
        SMALL.scan(-1)


def test_kitti_files_hold_the_scan(tmp_path: Path) -> None:
    source = LidarScenes(beams=16, columns=256)
    assert source.write_kitti(tmp_path, [0, 7]) == ["000000", "000007"]
    written = 0
    for index in (0, 7):
        name, scan = f"{index:06d}", source.scan(index)
        points = np.fromfile(tmp_path / "velodyne" / f"{name}.bin", "<f4").reshape(-1, 4)
        assert np.array_equal(points, scan.points)
        calib = dict(
            line.split(": ")
            for line in (tmp_path / "calib" / f"{name}.txt").read_text().splitlines()
        )
        assert {"P2", "R0_rect", "Tr_velo_to_cam"} <= calib.keys()
        to_camera = np.array(calib["Tr_velo_to_cam"].split(), float).reshape(3, 4)
        for line in (tmp_path / "label_2" / f"{name}.txt").read_text().splitlines():
            kind, *rest = line.split()
            v = np.array(rest, float)
            assert len(v) == 14
            height, width, length = v[7:10]
            centre = to_camera[:, :3].T @ v[10:13] + [0, 0, height / 2]
            heading = -v[13] - np.pi / 2
            near = np.linalg.norm(scan.boxes[:, :3] - centre, axis=1).argmin()
            box = scan.boxes[near]
            np.testing.assert_allclose([*centre, length, width, height], box[:6], atol=0.0101)
            assert abs((heading - box[6] + np.pi) % (2 * np.pi) - np.pi) < 0.0101
            assert kind == BOX_CLASSES[scan.box_class[near]]
            assert 0 <= v[3] <= v[5] <= 1241
            assert 0 <= v[4] <= v[6] <= 374
            written += 1
    assert written > 3


def test_label_columns() -> None:
    box = np.array([20.0, 0.0, -0.9, 4.0, 1.7, 1.5, 0.0])
    kind, truncated, occluded, alpha, *rest = label_line(box, 0, 0.5).split()
    assert (kind, truncated, occluded, alpha) == ("Car", "0.00", "1", "-1.57")
    assert rest[4:] == ["1.50", "1.70", "4.00", "-0.00", "1.65", "20.00", "-1.57"]
    left, top, right, bottom = map(float, rest[:4])
    u = (721.54 * 0.85 + 609.56 * 18 + 44.86) / (18 + 0.0027)
    v = (721.54 * 0.15 + 172.85 * 18 + 0.22) / (18 + 0.0027)
    assert right == pytest.approx(u, abs=0.006)
    assert left < 609.56 < right
    assert top == pytest.approx((721.54 * 0.15 + 172.85 * 22 + 0.22) / 22.0027, abs=0.006)
    assert top < v < bottom
    assert [label_line(box, 0, v).split()[2] for v in (0.8, 0.2, 0.0)] == ["0", "2", "3"]


def test_boxes_behind_or_beside_the_image_are_not_labels() -> None:
    assert project(np.array([-9.0, 0, -1, 4, 1.7, 1.5, 0])) is None
    assert label_line(np.array([-9.0, 0, -1, 4, 1.7, 1.5, 0]), 0, 1.0) == ""
    assert label_line(np.array([9.0, 30, -1, 4, 1.7, 1.5, 0]), 0, 1.0) == ""
    half = label_line(np.array([9.0, 8, -1, 4, 1.7, 1.5, 0]), 0, 1.0).split()
    assert 0 < float(half[1]) < 1
