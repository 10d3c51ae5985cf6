from __future__ import annotations

import numpy as np

from snnjax.data.clouds import shell, shell_points
from snnjax.data.clouds.voxels import read_shells


def _slow_shell(solid: np.ndarray) -> set[tuple[int, int, int]]:
    """The definition, voxel by voxel."""
    out = set()
    occupied = {tuple(int(c) for c in v) for v in np.argwhere(solid)}
    for x, y, z in occupied:
        around = [(x + 1, y, z), (x - 1, y, z), (x, y + 1, z)]
        around += [(x, y - 1, z), (x, y, z + 1), (x, y, z - 1)]
        if any(n not in occupied for n in around):  # outside the grid is free too
            out.add((x, y, z))
    return out


def test_shell_against_the_definition():
    rng = np.random.default_rng(0)
    for density in (0.3, 0.8, 0.97):
        solid = rng.random((7, 6, 5)) < density
        got = {tuple(int(c) for c in v) for v in np.argwhere(shell(solid))}
        assert got == _slow_shell(solid)


def test_batches_of_grids_are_independent():
    solids = np.random.default_rng(1).random((4, 8, 8, 8)) < 0.7
    np.testing.assert_array_equal(shell(solids), np.stack([shell(s) for s in solids]))


def test_points_lie_at_voxel_centres_and_voxelise_back():
    solid = np.zeros((32, 32, 32), bool)
    solid[3, 31, 0] = solid[10:14, 5:9, 20:24] = True
    points = shell_points(solid)
    assert points.dtype == np.float32
    assert len(points) == 1 + 4**3 - 2**3
    np.testing.assert_allclose(points[0], [3.5 / 16 - 1, 31.5 / 16 - 1, 0.5 / 16 - 1])
    back = np.floor((points.astype(np.float64) + 1) / (2 / 32)).astype(int)
    np.testing.assert_array_equal(back, np.argwhere(shell(solid)))


def test_packed_grids_give_the_same_shells(tmp_path):
    rng = np.random.default_rng(2)
    solids = rng.random((150, 32, 32, 32)) < 0.02
    solids[130] = False
    packed = np.packbits(solids.reshape(150, -1), axis=1)
    rows = np.array([0, 3, 128, 130, 149])
    clouds = read_shells(packed, tmp_path, rows, 150)
    assert len(clouds[3]) == 0
    for cloud, row in zip(clouds, rows, strict=True):
        np.testing.assert_array_equal(cloud, shell_points(solids[row]))
    everything = read_shells(packed, tmp_path, np.arange(150), 150)
    np.testing.assert_array_equal(everything[149], clouds[4])
