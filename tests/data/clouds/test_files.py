from __future__ import annotations

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.clouds import normalise, read_cloud, shell_points

CLOUD = np.random.default_rng(0).normal(size=(20, 6))


@pytest.fixture
def save(tmp_path):
    def write(name: str, cloud: np.ndarray | str):
        path = tmp_path / name
        if isinstance(cloud, str):
            path.write_text(cloud)
        elif path.suffix == ".npy":
            np.save(path, cloud)
        elif path.suffix == ".npz":
            np.savez(path, points=cloud)
        else:
            np.savetxt(path, cloud, delimiter="," if path.suffix == ".csv" else " ", fmt="%.17g")
        return path

    return write


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt", ".xyz", ".csv", ".NPY"])
def test_all_formats_give_the_same_cloud(save, suffix):
    path = save("cloud" + suffix.lower(), CLOUD)
    path = path.rename(path.with_suffix(suffix))
    np.testing.assert_allclose(read_cloud(path), normalise(CLOUD[:, :3]), atol=1e-6)
    with_normals = read_cloud(path, normals=True)
    assert with_normals.shape == (20, 6)
    np.testing.assert_allclose(with_normals[:, 3:], CLOUD[:, 3:].astype(np.float32))


def test_text_takes_commas_blanks_and_comments(save):
    path = save("a.txt", "# x y z\n0, 0,0\n\n2 0\t0 # end\n")
    np.testing.assert_allclose(read_cloud(path)[:, 0], [-0.999, 0.999], atol=1e-6)


def test_a_large_cloud_is_thinned(save):
    assert read_cloud(save("a.npy", CLOUD), points=7).shape == (7, 3)


def test_one_point_and_equal_points_are_clouds(save):
    assert (read_cloud(save("one.txt", "1 2 3\n")) == 0).all()
    assert (read_cloud(save("same.txt", "1 2 3\n" * 5)) == 0).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "empty"),
        ("a.txt", "# nothing\n", "empty"),
        ("a.txt", "1 2 3\n1 2\n", "line 2: has 2 values"),
        ("a.txt", "1 2 3\n\n1 b 3\n", "line 3: is not a row of numbers"),
        ("a.txt", "1 2 3\n1 inf 3\n", "point 1 has a NaN or infinite"),
        ("a.csv", "x;y\n1;2;3\n", "line 1: is a header whose columns do not begin with x, y, z"),
        ("a.txt", "1 2\n3 4\n", "at least 3"),
        ("a.npy", np.zeros((0, 3)), "empty"),
        ("a.npy", np.zeros((4, 2)), "at least 3"),
        ("a.npy", np.zeros((2, 4, 3)), r"shape \(2, 4, 3\)"),
        ("a.npy", np.array([["a", "b", "c"]]), "must be numbers"),
        ("a.npy", np.zeros((4, 3), complex), "must be numbers"),
        ("a.npy", np.full((4, 3), np.nan), "point 0 has a NaN"),
        ("a.ply", "ply\n", "cannot read '.ply' files"),
    ],
)
def test_faults_name_the_file_and_the_fix(save, name, content, message):
    path = save(name, content)
    with pytest.raises(DataError, match=message) as error:
        read_cloud(path)
    assert str(error.value).startswith(str(path))
    assert "Fix:" in str(error.value)


def test_normals_need_six_columns(save):
    with pytest.raises(DataError, match="x, y, z and a normal"):
        read_cloud(save("a.txt", "1 2 3\n"), normals=True)


def test_an_archive_needs_one_cloud_or_the_name_points(tmp_path):
    np.savez(tmp_path / "two.npz", a=CLOUD, b=CLOUD)
    with pytest.raises(DataError, match="no array `points`"):
        read_cloud(tmp_path / "two.npz")
    np.savez(tmp_path / "one.npz", anything=CLOUD)
    assert read_cloud(tmp_path / "one.npz").shape == (20, 3)


def test_a_solid_grid_gives_its_shell_unmoved(save):
    solid = np.zeros((8, 8, 8), bool)
    solid[4:8, 2:6, 0:3] = True
    np.testing.assert_array_equal(read_cloud(save("g.npy", solid)), shell_points(solid))
    assert len(read_cloud(save("g.npz", solid), points=9)) == 9
    with pytest.raises(DataError, match="the grid is empty"):
        read_cloud(save("e.npy", solid & False))
    with pytest.raises(DataError, match=r"a grid is \[S, S, S\]"):
        read_cloud(save("f.npy", solid[:5]))


@pytest.mark.parametrize("name", ["none.txt", "none.npy", "none.npz", "none.off"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        read_cloud(tmp_path / name)
