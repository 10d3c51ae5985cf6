from __future__ import annotations

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.clouds import read_cloud
from snnjax.data.clouds.off import Mesh, read_off, sample_mesh

CUBE = """OFF
8 6 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def _write(tmp_path, text: str | bytes):
    path = tmp_path / "mesh.off"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _area(mesh: Mesh) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_polygons_are_fanned(tmp_path):
    mesh = read_off(_write(tmp_path, CUBE))
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    assert mesh.faces[:2].tolist() == [[0, 3, 2], [0, 2, 1]]
    assert _area(mesh) == 6.0


@pytest.mark.parametrize(
    "text",
    [
        CUBE.replace("OFF\n8", "OFF8"),  # the fault of ModelNet40
        CUBE.replace("OFF\n8", "OFF 8"),
        CUBE.replace("\n", "\r\n"),
        CUBE.replace("OFF\n", "OFF # made by hand\n\n# a comment\n"),
        CUBE.replace("8 6 0", "8 6"),
        CUBE.replace("4 0 3 2 1", "4 0 3 2 1 255 0 0"),  # a colour
        CUBE + "\n",
        CUBE.rstrip(),
        " ".join(CUBE.split()),  # numbers are told apart by blanks alone
        CUBE.replace("\n", " ").replace("OFF ", "OFF"),
        "\n".join(CUBE.split()),
        CUBE.replace("0 0 0\n1 0 0\n", "0 0 0 1 0 0\n"),
        CUBE.replace("0 0 0\n1 0 0\n", "0 0\n0 1 0\n0\n"),
        CUBE.replace("0 1 1\n4 0 3 2 1\n", "0 1 1 4 0 3 2 1\n"),
        CUBE.replace("4 0 3 2 1\n4 4", "4 0 3\n2 1 4 4"),
        CUBE.replace("8 6 0\n", "8 6\n0\n"),
        CUBE.replace("8 6 0\n0 0 0\n1", "8 6\n0 0 0 1"),
        # two vertices on a line, and a colour after a face, which ends with its line
        CUBE.replace("0 0 0\n1 0 0\n", "0 0 0 1 0 0\n").replace("4 0 3 2 1", "4 0 3 2 1 255 0 0"),
    ],
)
def test_variants_read_the_same(tmp_path, text):
    mesh = read_off(_write(tmp_path, text))
    assert _area(mesh) == 6.0
    assert len(mesh.faces) == 12


TRIANGLE = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "byte 0", "empty"),
        ("PLY\n1 2\n", "line 1", "starts with 'OFF'"),
        ("COFF\n3 1 0\n", "line 1", "starts with 'OFF'"),
        ("OFF", "line 2", "counts"),
        ("OFF\n3 x 0\n", "line 2", "numbers of vertices and faces"),
        ("OFF\n-3 1 0\n", "line 2", "numbers of vertices and faces"),
        ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "line 2", "above 0"),
        ("OFF BINARY\n\0\0", "line 1", "numbers of vertices and faces"),
        ("OFF\n99999999999 1 0\n0 0 0\n", "byte", "numbers too early"),
        (TRIANGLE[:-8], "byte", "at least 13 numbers, but the file ends 4 numbers too early"),
        (TRIANGLE[:20], "byte", "numbers too early"),
        (" ".join(TRIANGLE.split()[:-1]), "byte", "ends 1 numbers too early"),
        (TRIANGLE.replace("1 0 0", "1 0"), "line 4", "vertex 1 must be three numbers"),
        (TRIANGLE.replace("1 0 0", "1 0 0 0"), "line 4", "vertex 1 must be three numbers"),
        (TRIANGLE.replace("1 0 0", "1 zero 0"), "line 4", "vertex 1 must be three numbers"),
        (TRIANGLE.replace("1 0 0", "nan 0 0"), "line 4", "NaN or infinite"),
        (TRIANGLE.replace("1 0 0", "1e999 0 0"), "line 4", "NaN or infinite"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1 3"), "line 6", "names vertex 3"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1 -1"), "line 6", "names vertex -1"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1 1e3"), "line 6", "face 0 must be"),
        (TRIANGLE.replace("3 0 1 2", "4 0 1 2"), "line 6", "face 0 must be"),
        (TRIANGLE.replace("3 0 1 2", "2 0 1"), "line 6", "n >= 3"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1 99999999999999999999"), "line 6", "names vertex"),
        (" ".join(TRIANGLE.replace("3 0 1 2", "3 0 1 3").split()), "line 1", "names vertex 3"),
        (" ".join(TRIANGLE.replace("3 0 1 2", "2 0 1 2").split()), "line 1", "n >= 3"),
        (
            " ".join(TRIANGLE.replace("1 0 0", "1 zero 0").split()),
            "line 1",
            "vertex 1 must be three",
        ),
        (" ".join(TRIANGLE.replace("1 0 0", "1 inf 0").split()), "line 1", "NaN or infinite"),
        (" ".join(TRIANGLE.split()) + " 7", "line 1", "1 numbers follow the last face"),
        ("OFF 3 one 0 0 0 0 1 0 0", "line 1", "numbers of vertices and faces"),
        # colours of vertices are not in the format: six numbers are not two vertices
        (TRIANGLE.replace("1 0 0", "1 0 0 9 9 9"), "line 4", "vertex 1 must be three numbers"),
        (b"OFF\n3 1 0\n\xff\xfe 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "line 3", "three numbers"),
    ],
)
def test_faults_name_file_place_and_fix(tmp_path, text, place, message):
    path = _write(tmp_path, text)
    with pytest.raises(DataError, match=message) as error:
        read_off(path)
    assert str(error.value).startswith(f"{path}, {place}")
    assert "Fix:" in str(error.value)


def test_any_damage_gives_a_mesh_or_a_data_error(tmp_path):
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        raw = bytearray(CUBE.encode())
        for at in rng.integers(len(raw), size=3):
            raw[at] = rng.integers(256)
        try:
            mesh = read_off(_write(tmp_path, bytes(raw)))
            assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
            assert np.isfinite(mesh.vertices).all()
        except DataError:
            refused += 1
    assert refused > 100


def test_sampling_is_uniform_in_area_whatever_the_triangulation():
    """A unit square cut into one large and many slivers of triangles."""
    knots = np.linspace(0, 0.1, 20)
    bottom = np.stack([np.r_[knots, 1], np.zeros(21), np.zeros(21)], -1)
    vertices = np.concatenate([[[0, 1, 0], [1, 1, 0]], bottom])
    fan = [[0, i + 2, i + 3] for i in range(20)] + [[0, 22, 1]]
    points = sample_mesh(Mesh(vertices, np.array(fan)), 40_000, np.random.default_rng(0))
    counts = np.histogram2d(points[:, 0], points[:, 1], bins=4, range=[[0, 1], [0, 1]])[0]
    np.testing.assert_allclose(counts, 2500, atol=250)
    assert (points[:, 2] == 0).all()


def test_normals_of_a_cube_point_along_its_axes(tmp_path):
    mesh = read_off(_write(tmp_path, CUBE))
    cloud = sample_mesh(mesh, 600, np.random.default_rng(0), normals=True)
    points, normals = cloud[:, :3], cloud[:, 3:]
    np.testing.assert_allclose(np.sort(np.abs(normals), axis=1), [[0, 0, 1]] * 600, atol=1e-12)
    outward = ((points - 0.5) * normals).sum(1)
    np.testing.assert_allclose(outward, 0.5)  # on the face, and pointing out of the cube


def test_huge_and_tiny_meshes_do_not_overflow():
    face = np.array([[0, 1, 2]])
    for size in (1e-200, 1e200):
        mesh = Mesh(size * np.eye(3), face)
        assert np.isfinite(sample_mesh(mesh, 10, np.random.default_rng(0))).all()


def test_a_mesh_without_area_is_refused(tmp_path):
    text = "OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n"
    with pytest.raises(DataError, match="no area"):
        read_cloud(_write(tmp_path, text))


def test_read_cloud_samples_and_normalises(tmp_path):
    cloud = read_cloud(_write(tmp_path, CUBE), points=500)
    assert cloud.shape == (500, 3)
    assert cloud.dtype == np.float32
    assert 0.99 < np.linalg.norm(cloud, axis=1).max() < 1
    assert read_cloud(_write(tmp_path, CUBE), points=7, normals=True).shape == (7, 6)
