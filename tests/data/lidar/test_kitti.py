"""Labels, boxes, difficulties, images and result files of the KITTI object set."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import (
    box_corners,
    difficulty,
    from_boxes,
    in_image,
    read_calibration,
    read_image_size,
    read_objects,
    to_boxes,
    write_results,
)

from .scenes import CALIB, CAR, NOTHING, VAN


@pytest.fixture
def calib(tmp_path: Path):
    (tmp_path / "calib.txt").write_text(CALIB)
    return read_calibration(tmp_path / "calib.txt")


@pytest.fixture
def label(tmp_path: Path):
    def write(text: str) -> Path:
        (tmp_path / "label.txt").write_text(text)
        return tmp_path / "label.txt"

    return write


def test_boxes_stand_on_the_bottom_centre_with_the_heading_of_the_lidar(label, calib) -> None:
    objects = read_objects(label(f"{CAR}\n{NOTHING}\n"))
    assert objects.kind.tolist() == ["Car", "DontCare"]
    box = to_boxes(objects.take(objects.kind == "Car"), calib)[0]
    bottom = calib.to_lidar(np.array([2.0, 1.7, 15]))
    np.testing.assert_allclose(box[:3], bottom + (0, 0, 0.75))
    np.testing.assert_allclose(box[3:], [3.9, 1.6, 1.5, 1.4 - np.pi / 2])


def test_results_are_the_labels_again(label, calib, tmp_path: Path) -> None:
    objects = read_objects(label(f"{CAR}\n{VAN}\n"))
    boxes = to_boxes(objects, calib)
    found = from_boxes(boxes, objects.kind, np.array([0.9, 0.25]), calib)
    path = tmp_path / "data" / "000000.txt"
    write_results(path, found)
    again = read_objects(path)
    np.testing.assert_allclose(again.score, [0.9, 0.25])
    assert again.kind.tolist() == ["Car", "Van"]
    np.testing.assert_allclose(again.location, objects.location, atol=1e-4)
    np.testing.assert_allclose(again.size, objects.size, atol=1e-4)
    np.testing.assert_allclose(to_boxes(again, calib), boxes, atol=2e-4)
    x, _, z = objects.location.T
    np.testing.assert_allclose(again.alpha, objects.rotation - np.arctan2(x, z), atol=1e-4)
    assert all(len(line.split()) == 16 for line in path.read_text().splitlines())
    corners = np.concatenate([box_corners(boxes)[0], np.ones((8, 1))], axis=1) @ calib.camera.T
    pixels = corners[:, :2] / corners[:, 2:]
    np.testing.assert_allclose(again.region[0], [*pixels.min(0), *pixels.max(0)], atol=1e-3)


def test_no_detection_is_an_empty_file(calib, tmp_path: Path) -> None:
    write_results(tmp_path / "a.txt", from_boxes(np.zeros((0, 7)), [], np.zeros(0), calib))
    assert (tmp_path / "a.txt").read_text() == ""
    assert len(read_objects(tmp_path / "a.txt").kind) == 0
    with pytest.raises(ValueError, match="boxes and scores must be finite"):
        from_boxes(np.ones((1, 7)), ["Car"], np.array([np.nan]), calib)


def test_regions_stay_inside_the_image_even_behind_the_camera(calib) -> None:
    boxes = np.array([[0.5, 0.2, -1, 4, 2, 1.5, 0.1], [5, 4, -1, 4, 2, 1.5, 0]])
    region = from_boxes(boxes, ["Car"] * 2, np.ones(2), calib, (1224, 370)).region
    assert (region >= 0).all()
    assert (region[:, [0, 2]] <= 1223).all()
    assert (region[:, [1, 3]] <= 369).all()


@pytest.mark.parametrize(
    ("height", "occluded", "truncated", "level"),
    [
        *((40, 0, 0.15, 0), (39.9, 0, 0, 1), (40, 1, 0, 1), (60, 0, 0.16, 1), (60, 0, 0.3, 1)),
        *((25, 2, 0.5, 2), (25, 0, 0.31, 2), (24.9, 0, 0, 3), (99, 3, 0, 3), (99, 0, 0.51, 3)),
    ],
)
def test_difficulties(label, height, occluded, truncated, level) -> None:
    line = f"Car {truncated} {occluded} 0 10 100 50 {100 + height} 1.5 1.6 3.9 0 1 20 0"
    assert difficulty(read_objects(label(line))).tolist() == [level]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (CAR.replace(" -1.40", ""), "line 2: a label has 15 columns, or 16 .* found 14"),
        (CAR.replace("Car", "Auto"), "line 2: 'Auto' is not a type of object. Fix: use one of Car"),
        (CAR.replace("1.60", "0.00"), r"line 2: Car has the size \[1\.5, 0\.0, 3\.9\]"),
        (CAR.replace("1.60", "nan"), "line 2: holds NaN"),
        (CAR.replace("1.60", "a"), "line 2: holds something that is not a number"),
    ],
)
def test_bad_labels_are_refused(label, line, message) -> None:
    path = label(f"{VAN}\n{line}\n")
    with pytest.raises(DataError, match=message) as error:
        read_objects(path)
    assert str(error.value).startswith(str(path))


def test_a_file_without_objects_is_a_frame_without_objects(label, calib) -> None:
    assert to_boxes(read_objects(label("\n")), calib).shape == (0, 7)


def test_the_camera_sees_what_is_ahead_and_within_the_image(calib) -> None:
    points = np.array([[10, 0, 0, 1], [-10, 0, 0, 1], [10, 20, 0, 1], [10, 0, 9, 1]], np.float32)
    assert in_image(points, calib).tolist() == [True, False, False, False]
    edge = np.array([[20.0, -17.5, 0], [20, -18.2, 0]])
    assert in_image(edge, calib).tolist() == [True, False]
    assert in_image(edge, calib, (1200, 375)).tolist() == [False, False]


def test_the_size_of_an_image_is_read_without_decoding_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR")
    path.write_bytes(head + struct.pack(">II", 1224, 370) + b"rest")
    assert read_image_size(path) == (1224, 370)
    path.write_bytes(head + struct.pack(">II", 0, 370))
    with pytest.raises(DataError, match="byte 16: declares an image of 0 x 370"):
        read_image_size(path)
    path.write_bytes(b"\xff\xd8 a photograph of twenty-four")
    with pytest.raises(DataError, match="is not a PNG file"):
        read_image_size(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_image_size(tmp_path / "b.png")
