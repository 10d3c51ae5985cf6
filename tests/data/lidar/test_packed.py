"""Many scans in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import LidarSource, read_packed


@pytest.fixture
def pack(tmp_path: Path):
    def write(name: str = "voxels_train.npz", **changes) -> Path:
        rng = np.random.default_rng(0)
        arrays = {
            **{axis: rng.integers(-90, 90, 12).astype(np.int16) for axis in "xyz"},
            "reflectance": rng.integers(0, 256, 12).astype(np.uint8),
            "label": np.array([0, 1, 19, 9, 9, 9, 0, 2, 3, 4, 5, 6], np.uint8),
            "offset": np.array([0, 5, 12]),
            "sequence": np.array([0, 8]),
            "frame": np.array([3, 6]),
        } | changes
        np.savez(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        return tmp_path / name

    return write


def test_voxels_are_points_at_their_centres(pack) -> None:
    path = pack()
    scans, classes = read_packed(path)
    assert [scan.name for scan in scans] == ["00/000003", "08/000006"]
    raw = np.load(path)
    points = scans[1].points()
    np.testing.assert_allclose(points[:, 1], (raw["y"][5:] + 0.5) / 10, rtol=1e-6)
    np.testing.assert_allclose(points[:, 3], raw["reflectance"][5:] / 255, rtol=1e-6)
    assert scans[0].label(classes).tolist() == [-1, 0, 18, 8, 8]
    assert classes.names[8] == "road"


def test_sweeps_are_in_256ths_of_a_metre(pack) -> None:
    label = np.array([0, 1, 10, 9, 9, 9, 0, 2, 3, 4, 5, 6])
    intensity = np.arange(12)
    path = pack("train.npz", reflectance=None, intensity=intensity, label=label, sequence=None)
    scans, classes = read_packed(path)
    assert len(classes.names) == 10
    assert [scan.name for scan in scans] == ["scan 0", "scan 1"]
    np.testing.assert_allclose(scans[0].points()[:, 0], np.load(path)["x"][:5] / 256)
    np.testing.assert_allclose(scans[0].points()[:, 3], np.arange(5) / 255, rtol=1e-6)
    assert scans[0].label(classes).tolist() == [0, 1, -1, 9, 9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reflectance": None}, "needs an array 'reflectance' or 'intensity'"),
        ({"intensity": np.zeros(12, int)}, "needs an array 'reflectance' or 'intensity'"),
        ({"x": np.zeros(12)}, r"`x` must be integers \[M\]; got float64"),
        ({"z": np.zeros(11, int)}, "`z` has 11 entries, `x` has 12"),
        ({"label": None}, "`label` must be integers .* it is missing"),
        ({"label": np.full(12, -1)}, "`label` goes from -1 to -1"),
        ({"reflectance": np.full(12, 256)}, "`reflectance` goes from 256 to 256"),
        ({"offset": None}, "`offset` must be integers .* it is missing"),
        ({"offset": np.array([0, 12.0])}, "`offset` must be integers"),
        ({"offset": np.array([0, 5, 5, 12])}, "must rise from 0 to 12 without empty scans"),
        ({"offset": np.array([0, 5, 11])}, "must rise from 0 to 12"),
        ({"frame": np.array([1])}, r"`sequence` and `frame` must be integers \[2\]"),
    ],
)
def test_wrong_arrays_are_refused(pack, changes, message) -> None:
    path = pack(**changes)
    with pytest.raises(DataError, match=message) as error:
        read_packed(path)
    assert str(error.value).startswith(str(path))
    assert "Fix:" in str(error.value)


def test_an_unknown_class_names_the_scan(pack) -> None:
    label = np.zeros(12, int)
    label[7] = 20
    pack(label=label)
    source = LidarSource.packed(str(pack().parent))
    pack(label=label)
    with pytest.raises(DataError, match=r"08/000006: holds raw classes .* 20 \(1 points\)"):
        source.open("train").sample(1, None)


def test_a_missing_split_is_named(pack) -> None:
    source = LidarSource.packed(str(pack().parent))
    assert len(source.open("train")) == 2
    with pytest.raises(DataError, match=r"has no packed test split; .* voxels_val\.npz or"):
        source.open("test")
