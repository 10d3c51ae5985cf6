"""Folders of SemanticKITTI, and predictions for submission."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import LidarSource, read_labels, write_labels, write_predictions

from . import scenes


def test_scans_are_those_of_the_sequences_in_order(tmp_path: Path, caplog) -> None:
    scenes.semantic_kitti(tmp_path / "dataset", ("00", "05", "08"), scans=2)
    with caplog.at_level(logging.WARNING):
        train = LidarSource.semantic_kitti(str(tmp_path)).open("train")
    assert "the sequences 01, 02, 03, 04, 06, 07, 09, 10 are missing" in caplog.text
    names = [Path(train.name(i)).relative_to(tmp_path / "dataset" / "sequences") for i in range(4)]
    assert [str(name) for name in names] == [
        *("00/velodyne/000000.bin", "00/velodyne/000001.bin"),
        *("05/velodyne/000000.bin", "05/velodyne/000001.bin"),
    ]
    sample = train.sample(3, None)
    np.testing.assert_array_equal(sample["points"], scenes.scan(501))
    raw = scenes.raw_labels(1, 300) & 0xFFFF
    number = {0: -1, 10: 0, 252: 0, 40: 8, 48: 10, 50: 12, 70: 14}
    assert sample["point_label"].tolist() == [number[int(k)] for k in raw]
    assert len(LidarSource(str(tmp_path)).open("test")) == 2
    assert len(LidarSource(str(tmp_path), test_sequences=("05", "08")).open("test")) == 4
    assert len(LidarSource(str(tmp_path), train_size=3).open("train")) == 3


def test_class_counts_are_those_of_all_points(tmp_path: Path) -> None:
    source = LidarSource(str(scenes.semantic_kitti(tmp_path)))
    train = source.open("train")
    labels = np.concatenate([train.sample(i, None)["point_label"] for i in range(3)])
    counts = train.class_counts()
    assert counts[-1] == (labels == -1).sum()
    assert counts[:-1].tolist() == [(labels == k).sum() for k in range(19)]
    assert train.class_shares()[8] == 0.19880  # of the full training set


def test_folders_that_are_not_the_data_set_are_refused(tmp_path: Path) -> None:
    source = LidarSource(str(tmp_path / "no"))
    with pytest.raises(DataError, match=r"no: is not a folder; data\.layout is 'semantic_kitti'"):
        source.open("train")
    with pytest.raises(DataError, match="has no folder 'sequences'"):
        LidarSource(str(tmp_path)).open("train")
    scenes.semantic_kitti(tmp_path, ("00",))
    with pytest.raises(DataError, match="has none of the sequences 08 with a folder velodyne"):
        LidarSource(str(tmp_path)).open("test")
    (tmp_path / "sequences" / "00" / "labels" / "000001.label").unlink()
    with pytest.raises(DataError, match=r"000001\.bin: has no labels: .*000001\.label is missing"):
        LidarSource(str(tmp_path)).open("train")


def test_bad_scans_stop_the_start_or_are_counted(tmp_path: Path) -> None:
    scenes.semantic_kitti(tmp_path, scans=5)
    folder = tmp_path / "sequences" / "00"
    unknown = np.full(300, 12)
    write_labels(folder / "labels" / "000000.label", unknown)
    write_labels(folder / "labels" / "000001.label", np.zeros(299, int))
    (folder / "velodyne" / "000002.bin").write_bytes(b"\0" * 30)
    spoilt = scenes.scan(3)
    spoilt[7] = np.nan
    scenes.write_scan(folder / "velodyne" / "000003.bin", spoilt)
    source = LidarSource(str(tmp_path))
    with pytest.raises(DataError, match=r"000001\.label: holds 299 labels for the 300 points"):
        source.open("train")
    write_labels(folder / "labels" / "000001.label", np.zeros(300, int))
    with pytest.raises(DataError, match=r"000002\.bin, byte 16: has 30 bytes"):
        source.open("train")
    scenes.write_scan(folder / "velodyne" / "000002.bin", scenes.scan())
    train = source.open("train")
    with pytest.raises(DataError, match=r"000000\.label: holds raw classes .* 12 \(300 points\)"):
        train.sample(0, None)
    with pytest.raises(DataError, match=r"000003\.bin, byte 112: point 7 has a NaN"):
        train.sample(3, None)
    clean = LidarSource(str(tmp_path), skip_bad=True).open("train")
    assert (len(clean), clean.skipped) == (3, 2)
    for name in ("000001", "000002", "000004"):
        (folder / "velodyne" / f"{name}.bin").write_bytes(b"")
    with pytest.raises(DataError, match="none of 5 scans can be used"):
        LidarSource(str(tmp_path), skip_bad=True).open("train")


def test_predictions_are_written_as_a_submission_needs_them(tmp_path: Path) -> None:
    classes = np.array([0, 4, 8, 18])
    path = write_predictions(tmp_path, "11", "000007", classes, points=4)
    assert path == tmp_path / "sequences" / "11" / "predictions" / "000007.label"
    raw, instance = read_labels(path, 4)
    assert raw.tolist() == [10, 20, 40, 81]
    assert instance.tolist() == [0] * 4
    with pytest.raises(DataError, match="holds 3 labels for the 4 points"):
        write_predictions(tmp_path, "11", "000008", classes[:3], points=4)
    with pytest.raises(ValueError, match="every point needs a class, and 1 of 4 have none"):
        write_predictions(tmp_path, "11", "000008", np.array([0, -1, 3, 3]), points=4)
    with pytest.raises(ValueError, match="got 0 to 19"):
        write_predictions(tmp_path, "11", "000008", np.array([0, 19]), points=2)
