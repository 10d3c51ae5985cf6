"""Real files against the figures that were counted from them independently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import batches
from snnjax.data.lidar import (
    SEMANTIC_KITTI,
    LidarBoxSource,
    LidarGrid,
    LidarSource,
    difficulty,
    from_boxes,
    in_image,
    majority_labels,
    points_in_box,
    read_calibration,
    read_labels,
    read_objects,
    read_points,
    to_boxes,
    voxelise,
)

RAW = """0:4458 1:5 10:544 11:20 30:23 40:20975 44:84 48:30092 50:2126 51:531 52:809 70:24514
71:3978 72:30925 80:413 81:1112 99:1652 252:990 254:138"""
MAPPED = """-1:6924 0:1534 1:20 5:161 8:20975 9:84 10:30092 12:2126 13:531 14:24514 15:3978
16:30925 17:413 18:1112"""


def counted(text: str) -> dict[int, int]:
    return {int(k): int(n) for k, n in (pair.split(":") for pair in text.split())}


def shares(numbers: np.ndarray) -> dict[int, int]:
    values, count = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), count.tolist(), strict=True))


def need(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no {folder.name}")
    return folder


@pytest.fixture(scope="module")
def labelled(data_root: Path):
    folder = need(data_root / "lidar" / "semantic_kitti" / "labelled")
    points = read_points(folder / "000000.bin")
    return points, read_labels(folder / "000000.label", len(points))[0]


def test_the_labelled_scan(labelled) -> None:
    points, raw = labelled
    assert points.shape == (123389, 4)
    assert shares(raw) == counted(RAW)
    classes = SEMANTIC_KITTI.to_classes(raw)
    assert shares(classes) == counted(MAPPED)


@pytest.mark.parametrize(
    ("size", "voxels", "accuracy", "iou"),
    [
        *((0.05, 85112, 0.9988, 0.9988), (0.1, 59353, 0.9955, 0.9915)),
        *((0.2, 33470, 0.9885, 0.9711), (0.3, 21497, 0.9816, 0.9610)),
    ],
)
def test_voxels_of_the_labelled_scan(labelled, size, voxels, accuracy, iou) -> None:
    points, raw = labelled
    label = SEMANTIC_KITTI.to_classes(raw)
    grid = LidarGrid((-35.2, -35.2, -4), (35.2, 35.2, 2), (size,) * 3)
    found = voxelise(points, grid, most=100_000)
    assert len(found.coords) == voxels
    kinds = majority_labels(label, found.inverse, voxels, 19)
    used = (found.inverse >= 0) & (label >= 0)
    answer, truth = kinds[found.inverse[used]], label[used]
    assert (answer == truth).mean() == pytest.approx(accuracy, abs=1e-4)
    table = np.zeros((19, 19))
    np.add.at(table, (truth, answer), 1)
    union = table.sum(0) + table.sum(1) - table.diagonal()
    present = table.sum(1) > 0
    assert present.sum() == 12
    assert (table.diagonal()[present] / union[present]).mean() == pytest.approx(iou, abs=1e-4)


def test_the_grid_of_evaluation_holds_the_scan(labelled) -> None:
    found = voxelise(labelled[0], LidarGrid(), most=100_000)
    assert len(found.coords) == 93648
    assert (found.inverse >= 0).mean() == pytest.approx(0.9935, abs=1e-4)


FRAMES = """
000006 110089 9 80 331 26
000007 122798 193 21 5 25
000008 122555 6237 1940 1183 699 65 204
000009 123928 219 4 1
000010 115875 1960 1068 23 368 51 246 55 33 20
000031 121291 1105 1134 572 328 158 35
000032 118661 1492 1395 812 417 71 584 75 64 154 39
000035 121784 15 591 103 94 24
000134 122637 597 160 80 104 36 31 43 48 46 154 60 91 64 12 5
000500 113162 134 2394 1549 509 286 20 88 2 53 56 24 9 6 0
"""


def in_camera_box(points: np.ndarray, objects, m: int) -> int:
    """Points in an object's box, which is upright in the camera's frame; its bottom 5 cm lower."""
    height, width, length = objects.size[m]
    x, y, z = (points - objects.location[m]).T
    cos, sin = np.cos(objects.rotation[m]), np.sin(objects.rotation[m])
    inside = np.abs(cos * x - sin * z) <= length / 2
    inside &= np.abs(sin * x + cos * z) <= width / 2
    return int((inside & (y <= 0.05) & (y >= -height)).sum())


@pytest.mark.parametrize("row", FRAMES.strip().splitlines())
def test_points_in_the_boxes_of_frames(data_root: Path, row: str) -> None:
    name, total, *inside = row.split()
    folder = need(data_root / "lidar_kitti_object") / "training"
    points = read_points(folder / "velodyne" / f"{name}.bin")
    calib = read_calibration(folder / "calib" / f"{name}.txt")
    objects = read_objects(folder / "label_2" / f"{name}.txt")
    objects = objects.take(objects.kind != "DontCare")
    boxes = to_boxes(objects, calib)
    assert len(points) == int(total)
    lower = boxes - np.array([0, 0, 0.025, 0, 0, -0.05, 0])  # as they were counted
    counts = [int(points_in_box(points, box).sum()) for box in lower]
    np.testing.assert_allclose(counts, [int(n) for n in inside], atol=14, rtol=0.1)
    seen = [in_camera_box(calib.to_camera(points[:, :3]), objects, m) for m in range(len(boxes))]
    np.testing.assert_allclose(seen, [int(n) for n in inside], atol=4)
    again = from_boxes(boxes, objects.kind, np.ones(len(boxes)), calib)
    np.testing.assert_allclose(again.location, objects.location, atol=1e-9)
    np.testing.assert_allclose(np.sin(again.rotation - objects.rotation), 0, atol=1e-9)


def test_the_first_boxes_of_two_frames(data_root: Path) -> None:
    wanted = {
        "kitti_object_fov/": ("000134", (12.98, 3.27, -0.80, 3.69, 1.78, 1.50, 0.00), 570),
        "kitti_object/training/": ("000000", (8.73, -1.86, -0.65, 1.20, 0.48, 1.89, -1.58), 377),
    }
    for place, (name, box, inside) in wanted.items():
        folder = need(data_root / "lidar" / place)
        calib = read_calibration(folder / "calib" / f"{name}.txt")
        objects = read_objects(folder / "label_2" / f"{name}.txt")
        points = read_points(folder / "velodyne" / f"{name}.bin")
        found = to_boxes(objects, calib)[0]
        np.testing.assert_allclose(found, box, atol=0.006)
        assert points_in_box(points, found).sum() == inside
    region = from_boxes(to_boxes(objects, calib), objects.kind, np.ones(1), calib).region
    assert region.shape == (1, 4)
    folder = data_root / "lidar" / "kitti_object_fov"
    calib = read_calibration(folder / "calib" / "000134.txt")
    objects = read_objects(folder / "label_2" / "000134.txt")
    found = from_boxes(to_boxes(objects, calib), objects.kind, np.ones(len(objects.kind)), calib)
    np.testing.assert_allclose(found.region[0], [333.4, 177.5, 490.1, 277.3], atol=0.3)
    points = read_points(folder / "velodyne" / "000134.bin")
    assert in_image(points, calib).mean() >= 0.998
    assert set(difficulty(objects).tolist()) <= {0, 1, 2, 3}


def test_points_in_the_boxes_of_another_sensor(data_root: Path) -> None:
    files = sorted(need(data_root / "lidar_argoverse2").glob("*.npz"))
    total = 0
    for path in files:
        arrays = np.load(path)
        points = np.stack([arrays[axis] for axis in "xyz"], axis=1).astype(np.float64)
        q = arrays["box_quaternion"]
        yaw = 2 * np.arctan2(q[:, 3], q[:, 0])
        boxes = np.concatenate([arrays["box_centre"], arrays["box_size"], yaw[:, None]], axis=1)
        counts = [int(points_in_box(points, box).sum()) for box in boxes]
        assert counts == arrays["box_interior_points"].tolist()
        total += len(counts)
    assert total == 209


PACKED = {
    ("lidar_semantic_kitti", "train"): """158583 38776 621 0 11597 11489 2706 0 267 417668 12346
        163648 37436 143485 83071 581399 15783 370558 11729 4898""",
    ("lidar_semantic_kitti", "test"): """28076 6430 85 0 0 0 681 0 0 36148 455 44238 0 9954 2433
        73650 8376 60826 1022 1595""",
    ("lidar_nuscenes_seg", "train"): "63180 238387 47858 89406 56 201957 2215 0 1238 57077 0",
    ("lidar_nuscenes_seg", "test"): "8687 31484 14156 12870 3 25917 42 0 0 12921 0",
}


@pytest.mark.parametrize(("folder", "split"), PACKED)
def test_packed_scans(data_root: Path, folder: str, split: str) -> None:
    source = LidarSource.packed(str(need(data_root / folder)))
    found = source.open(split)
    wanted = [int(n) for n in PACKED[folder, split].split()]
    assert found.class_counts().tolist() == [*wanted[1:], wanted[0]]
    if split == "test":
        batch = next(batches(found, source, 2, seed=0, train=False))
        assert (batch["point_voxel"][0, : len(found.sample(0, None)["points"])] >= 0).all()
        assert (batch["n"] > 5000).all()


def test_real_frames_as_a_source(data_root: Path, tmp_path: Path) -> None:
    folder = need(data_root / "lidar" / "kitti_object" / "training")
    (tmp_path / "training").symlink_to(folder)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("000001\n000002\n000003\n000004\n")
    (tmp_path / "ImageSets" / "val.txt").write_text("000002\n".replace("2", "5") + "000000\n")
    source = LidarBoxSource.kitti(str(tmp_path))
    batch = next(batches(source.open("train"), source, 2, seed=0, train=True))
    assert (batch["n"] > 5000).all()
    assert ((batch["box_class"] == 0).sum(axis=1) >= 1).all()
    assert len(source.open("test")) == 2


def test_voxels_of_a_frame_in_view(data_root: Path) -> None:
    folder = need(data_root / "lidar" / "kitti_object" / "training")
    calib = read_calibration(folder / "calib" / "000002.txt")
    points = read_points(folder / "velodyne" / "000002.bin")
    seen = points[in_image(points, calib)]
    grid = LidarBoxSource().grid
    assert grid.extent == (41, 1600, 1408)
    found = voxelise(seen, grid, most=40000, mean_of=5)
    assert len(found.coords) == pytest.approx(14817, rel=1e-3)
