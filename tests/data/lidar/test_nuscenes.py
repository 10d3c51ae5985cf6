"""The tables of nuScenes, point labels, and boxes in the frame of the LiDAR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import LidarSource, Tables, points_in_box

from .scenes import scan, write_scan


def turn(yaw: float) -> list[float]:
    return [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]


SIZE = [1.8, 4.2, 1.5]  # width, length, height


def tables() -> dict[str, list[dict[str, Any]]]:
    """Two scenes with one key frame each; in the first, a car 10 m ahead of the LiDAR."""
    pose = {"translation": [400.0, 1000.0, 0.0], "rotation": turn(2.0)}
    sensor = {"translation": [1.0, 0.0, 1.8], "rotation": turn(-np.pi / 2)}
    # 10 m along the LiDAR's y is ahead of the car: ego (11, 0, 1.8)
    centre = [400 + 11 * np.cos(2.0), 1000 + 11 * np.sin(2.0), 0.8]
    frames = [
        {
            "token": f"d{k}",
            "sample_token": f"s{k}",
            "filename": f"samples/LIDAR_TOP/{k}.pcd.bin",
            "is_key_frame": True,
            "calibrated_sensor_token": "c",
            "ego_pose_token": "p",
        }
        for k in range(2)
    ]
    sweep = frames[0] | {"token": "w", "is_key_frame": False, "filename": "sweeps/LIDAR_TOP/9"}
    box = {"token": "a", "sample_token": "s0", "instance_token": "i", "size": SIZE}
    return {
        "scene": [{"token": "x", "name": "scene-0061"}, {"token": "y", "name": "scene-0103"}],
        "sample": [{"token": "s0", "scene_token": "x"}, {"token": "s1", "scene_token": "y"}],
        "sample_data": [*frames, sweep],
        "ego_pose": [pose | {"token": "p"}],
        "calibrated_sensor": [sensor | {"token": "c"}],
        "instance": [{"token": "i", "category_token": "k"}],
        "category": [{"token": "k", "name": "vehicle.car"}],
        "sample_annotation": [box | {"translation": centre, "rotation": turn(2.3)}],
        "lidarseg": [
            {"sample_data_token": f"d{k}", "filename": f"lidarseg/v1.0-mini/{k}.bin"}
            for k in range(2)
        ],
    }


def write(root: Path, content: dict[str, list[dict[str, Any]]]) -> Path:
    (root / "v1.0-mini").mkdir(parents=True, exist_ok=True)
    (root / "lidarseg" / "v1.0-mini").mkdir(parents=True, exist_ok=True)
    for name, rows in content.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    for k in range(2):
        points = np.concatenate([scan(k), np.ones((300, 1))], axis=1)
        points[:, 3] *= 255
        write_scan(root / "samples" / "LIDAR_TOP" / f"{k}.pcd.bin", points)
        labels = np.random.default_rng(k).integers(0, 32, 300).astype(np.uint8)
        (root / "lidarseg" / "v1.0-mini" / f"{k}.bin").write_bytes(labels.tobytes())
    return root


def test_key_frames_come_with_their_labels(tmp_path: Path) -> None:
    source = LidarSource.nuscenes(str(write(tmp_path, tables())))
    train, test = source.open("train"), source.open("test")
    assert [Path(split.name(0)).name for split in (train, test)] == ["0.pcd.bin", "1.pcd.bin"]
    assert (len(train), len(test), len(train.class_names)) == (1, 1, 16)
    sample = test.sample(0, None)
    np.testing.assert_allclose(sample["points"], scan(1), rtol=1e-5)
    raw = np.random.default_rng(1).integers(0, 32, 300)
    assert (sample["point_label"][raw == 17] == 3).all()
    assert (sample["point_label"][raw == 31] == -1).all()
    read = source.read(test.name(0))
    np.testing.assert_array_equal(read["points"], sample["points"])


def test_boxes_are_moved_into_the_frame_of_the_lidar(tmp_path: Path) -> None:
    found = Tables(write(tmp_path, tables()))
    frame, other = found.frames("train")[0], found.frames("test")[0]
    boxes, kinds = found.boxes(frame)
    assert kinds.tolist() == ["vehicle.car"]
    np.testing.assert_allclose(boxes[0], [0, 10, -1, 4.2, 1.8, 1.5, 0.3 + np.pi / 2], atol=1e-9)
    assert found.boxes(other)[0].shape == (0, 7)


def test_lists_of_scenes_replace_those_of_the_small_set(tmp_path: Path) -> None:
    write(tmp_path, tables())
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.txt").write_text("scene-0061\nscene-0103\n")
    assert len(LidarSource.nuscenes(str(tmp_path)).open("train")) == 2
    (tmp_path / "splits" / "train.txt").write_text("scene-7\n")
    with pytest.raises(DataError, match="has no key frames of the train scenes scene-7"):
        LidarSource.nuscenes(str(tmp_path)).open("train")
    (tmp_path / "v1.0-mini").rename(tmp_path / "v1.0-trainval")
    with pytest.raises(DataError, match=r"needs the names of the test scenes.*splits/test\.txt"):
        Tables(tmp_path).frames("test")


def broken(name: str, changes: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    content = tables()
    content[name][0] = {k: v for k, v in (content[name][0] | changes).items() if v is not None}
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            broken("sample_data", {"ego_pose_token": "q"}),
            "ego_pose_token that no table holds",
        ),
        (broken("sample_data", {"filename": None}), "the record d0 has no 'filename'"),
        (broken("sample_data", {"filename": "../../LIDAR_TOP.bin"}), "names a file outside"),
        (broken("ego_pose", {"rotation": [0, 0, 0, 0]}), "the record p has no valid pose"),
        (broken("ego_pose", {"translation": [0, 0]}), r"needs `translation` \[3\]"),
        (broken("lidarseg", {"sample_data_token": "z"}), "has no labels of the frame d0"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, content, message) -> None:
    with pytest.raises(DataError, match=message) as error:
        LidarSource.nuscenes(str(write(tmp_path, content))).open("train")
    assert str(error.value).startswith(str(tmp_path))


def test_boxes_without_a_size_and_tables_that_are_not_there_are_refused(tmp_path: Path) -> None:
    found = Tables(write(tmp_path, broken("sample_annotation", {"size": [1, 0, 1]})))
    with pytest.raises(DataError, match="the box a has the size"):
        found.boxes(found.frames("train")[0])
    (tmp_path / "v1.0-mini" / "lidarseg.json").write_text("{")
    with pytest.raises(DataError, match=r"lidarseg\.json: is not valid JSON"):
        LidarSource.nuscenes(str(tmp_path)).open("train")
    (tmp_path / "v1.0-mini" / "lidarseg.json").unlink()
    with pytest.raises(DataError, match=r"lidarseg\.json: cannot be read"):
        LidarSource.nuscenes(str(tmp_path)).open("train")
    with pytest.raises(DataError, match=r"needs one folder v1\.0-\*.*found none"):
        Tables(tmp_path / "samples")


def test_real_boxes_hold_the_points_that_the_data_set_counts(data_root: Path) -> None:
    folder = data_root / "lidar" / "nuscenes"
    if not folder.is_dir():
        pytest.skip("no nuScenes frame")
    rows = json.loads(next(folder.glob("*.json")).read_text())["instances"]
    from snnjax.data.lidar import read_points

    points = read_points(next(folder.glob("*.bin")), 5)
    assert points.shape == (34688, 5)
    assert (points[:, 3].min(), points[:, 3].max()) == (0, 255)
    counts = [int(points_in_box(points, np.array(row["bbox_3d"])).sum()) for row in rows]
    differ = [abs(n - row["num_lidar_pts"]) for n, row in zip(counts, rows, strict=True)]
    assert len(rows) == 69
    assert sum(d <= 2 for d in differ) >= 67
