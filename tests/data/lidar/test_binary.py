"""Raw files of points and labels, and what is said about damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import read_labels, read_points, write_labels
from snnjax.data.lidar.binary import read_byte_labels

from .scenes import scan, write_scan


def test_points_are_read_as_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_points(write_scan(tmp_path / "a.bin", scan())), scan())
    five = np.concatenate([scan(), np.ones((300, 1))], axis=1)
    assert read_points(write_scan(tmp_path / "a.pcd.bin", five), 5).shape == (300, 5)


def test_labels_are_classes_and_instances(tmp_path: Path) -> None:
    path = tmp_path / "sequences" / "00" / "a.label"
    kind, instance = np.array([10, 252, 65535, 0]), np.array([0, 7, 65535, 3])
    write_labels(path, kind, instance)
    assert path.stat().st_size == 16
    got = read_labels(path, 4)
    np.testing.assert_array_equal(got, [kind, instance])
    write_labels(path, kind)
    np.testing.assert_array_equal(read_labels(path)[1], 0)
    (tmp_path / "b.bin").write_bytes(bytes([3, 31]))
    assert read_byte_labels(tmp_path / "b.bin", 2).tolist() == [3, 31]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty"),
        (b"\0" * 17, r"byte 16: has 17 bytes, not a multiple of 16 .* truncated"),
        (np.array([1, 2, np.nan, 0] * 2, "<f4").tobytes(), r"byte 0: point 0 has a NaN.*2 such"),
        (np.array([1, 2, 3, 0, np.inf, 0, 0, 0], "<f4").tobytes(), r"byte 16: point 1 has a NaN"),
    ],
)
def test_damaged_scans_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_points(path)
    assert str(error.value).startswith(str(path))
    assert "Fix:" in str(error.value)


def test_a_missing_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.bin: cannot be read \(No such file"):
        read_points(tmp_path / "no.bin")


def test_labels_of_another_scan_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.label", np.zeros(9, int))
    with pytest.raises(DataError, match=r"a\.label: holds 9 labels for the 10 points .* Fix:"):
        read_labels(tmp_path / "a.label", 10)
    (tmp_path / "b.label").write_bytes(b"\0" * 7)
    with pytest.raises(DataError, match="not a multiple of 4"):
        read_labels(tmp_path / "b.label")


@pytest.mark.parametrize(
    ("semantic", "instance", "message"),
    [
        ([1, 70000], None, r"`semantic` must be in 0\.\.65535.*got 1 to 70000"),
        ([-1, 3], None, "got -1 to 3. Map predictions back"),
        ([1, 2], [0, 1 << 16], "`instance` must be in"),
        ([1, 2], [0], r"`instance` must be integers \[2\]"),
        ([1.0, 2.0], None, "must be integers"),
    ],
)
def test_labels_that_do_not_fit_are_not_written(tmp_path, semantic, instance, message) -> None:
    instance = None if instance is None else np.array(instance)
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / "a.label", np.array(semantic), instance)
    assert not (tmp_path / "a.label").exists()
