"""Far outliers and collapsed clouds: reported by default, left out if asked."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.data.clouds import CloudSource, load_dataset, normalise, read_cloud
from snnjax.data.clouds.outliers import bulk_distance

rng = np.random.default_rng(0)
BALL = rng.normal(size=(200, 3))
BALL /= np.maximum(np.linalg.norm(BALL, axis=1), 1)[:, None]
SPOILT = np.concatenate([BALL, [[1e4, 0, 0]]])


def voxels(cloud):
    """Occupied voxels of a 32^3 grid."""
    return len(np.unique(np.floor((cloud[:, :3] + 1) * 16), axis=0))


def messages(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_an_outlier_is_left_out_by_the_limit_and_nothing_else_changes():
    assert voxels(normalise(SPOILT)) < 9
    assert voxels(normalise(BALL)) > 100
    np.testing.assert_array_equal(normalise(SPOILT, outlier_limit=10), normalise(BALL))
    np.testing.assert_array_equal(normalise(BALL, outlier_limit=10), normalise(BALL))
    with_normals = np.concatenate([SPOILT, SPOILT], axis=1)
    assert normalise(with_normals, outlier_limit=10).shape == (200, 6)


@given(st.floats(1e2, 1e12), st.integers(0, 10), st.floats(1e-6, 1e6), st.floats(-100, 100))
@settings(deadline=None, max_examples=60)
def test_few_outliers_at_any_distance_do_not_matter(far, count, size, offset):
    """Up to one in twenty, in any direction; and neither scale nor place of the cloud counts."""
    away = np.random.default_rng(count).normal(size=(count, 3))
    away *= far / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    cloud = size * (np.concatenate([BALL, away]) + offset)
    out = normalise(cloud, outlier_limit=10)
    assert out.shape == (200, 3)
    np.testing.assert_allclose(out, normalise(BALL), atol=1e-3)


def test_the_distance_is_in_radii_of_the_bulk():
    distance = bulk_distance(SPOILT)
    assert np.sort(distance)[int(0.95 * 200)] == 1
    assert 8e3 < distance[-1] < 2e4
    for collapsed in (np.ones((1, 3)), np.full((9, 3), 1e6 / 3), np.repeat(SPOILT[:2], [99, 1], 0)):
        assert not bulk_distance(collapsed).any()
        assert len(normalise(collapsed, outlier_limit=2)) == len(collapsed)


@pytest.mark.parametrize("limit", [0.5, -1, float("nan")])
def test_a_limit_inside_the_bulk_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match="must be at least 1"):
        normalise(BALL, outlier_limit=limit)
    with pytest.raises(ValueError, match="`outlier_limit` must be at least 1"):
        load_dataset(str(tmp_path), "train", outlier_limit=limit)
    with pytest.raises(ValueError, match=r"data\.outlier_limit must be at least 1"):
        CloudSource(outlier_limit=limit)


def test_generated_shapes_have_no_outliers():
    with pytest.raises(ValueError, match="leave `outlier_limit` out"):
        load_dataset("shapes3d", "test", outlier_limit=10.0)


def folder(tmp_path):
    for i, cloud in enumerate([BALL, SPOILT, np.ones((1, 3)), 10 * SPOILT]):
        for split in ("train", "test"):
            place = tmp_path / split / "ball"
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"ball_{i}.npy", cloud)
    return tmp_path


def packs(tmp_path):
    clouds = [BALL, SPOILT, np.ones((1, 3)), 10 * SPOILT]
    for split in ("train", "test"):
        np.savez(
            tmp_path / f"{split}.npz",
            points=np.concatenate(clouds),
            offset=np.cumsum([0, *map(len, clouds)]),
            label=np.zeros(4, int),
            class_names=np.array(["ball"]),
        )
    return tmp_path


@pytest.mark.parametrize("build", [folder, packs])
def test_a_split_warns_once_of_each_kind(build, tmp_path, caplog):
    source = str(build(tmp_path))
    ds = load_dataset(source, "train", points=512)
    far, collapsed = messages(caplog)
    assert "train" in far
    assert "2 of 4 clouds have points more than 10 times as far from the median as 95 %" in far
    assert "set data.outlier_limit=10 to leave them out" in far
    assert "1 of 4 clouds have (nearly) all points at one place" in collapsed
    assert all(voxels(ds.points(i)) < 9 for i in (1, 3))
    caplog.clear()
    ds = CloudSource(source, points=512, outlier_limit=10.0).open("test")
    left, again = messages(caplog)
    assert "2 points of 2 of 4 clouds are left out as outliers (data.outlier_limit=10)" in left
    assert again.endswith("Remove them, or give them points.")
    for i in (1, 3):
        np.testing.assert_allclose(ds.points(i), ds.points(0), atol=1e-6)


def test_a_single_file_warns_as_a_prediction_does(tmp_path, caplog):
    np.save(tmp_path / "far.npy", SPOILT)
    (tmp_path / "one.txt").write_text("1 2 3\n")
    read_cloud(tmp_path / "far.npy")
    read_cloud(tmp_path / "one.txt")
    far, one = messages(caplog)
    assert "far.npy: 1 of 1 clouds have points more than 10 times" in far
    assert "one.txt: 1 of 1 clouds have (nearly) all points at one place" in one
    caplog.clear()
    assert voxels(read_cloud(tmp_path / "far.npy", outlier_limit=10)) > 100
    assert "1 points of 1 of 1 clouds are left out" in messages(caplog)[0]


def test_a_clean_split_says_nothing(tmp_path, caplog):
    for split in ("train", "test"):
        (tmp_path / split / "ball").mkdir(parents=True)
        np.save(tmp_path / split / "ball" / "a.npy", BALL)
    load_dataset(str(tmp_path), "train", outlier_limit=10.0)
    load_dataset(str(tmp_path), "test")
    assert not caplog.records
