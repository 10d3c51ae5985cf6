"""Voxels of scans against a slow loop; surplus voxels; points without a voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnjax.data import DataError
from snnjax.data.lidar import LidarGrid, majority_labels, nearest_rows, voxelise

from .scenes import scan

GRID = LidarGrid((0, -8, -2), (32, 8, 2), (1, 0.5, 0.25), (16, 32, 32))


def cells(points: np.ndarray) -> list[tuple[int, ...]]:
    """z, y, x of each point inside, one after the other; () outside."""
    found = []
    for x, y, z in points[:, :3].astype(np.float64).tolist():
        inside = 0 <= x < 32 and -8 <= y < 8 and -2 <= z < 2
        cell = (int((z + 2) // 0.25), int((y + 8) // 0.5), int(x // 1))
        found.append(cell if inside else ())
    return found


@given(st.integers(0, 1000), st.sampled_from([None, 1, 3]), st.booleans())
@settings(deadline=None, max_examples=30)
def test_voxels_are_those_of_a_loop(seed: int, mean_of: int | None, far: bool) -> None:
    points = scan(seed, 200)
    if far:
        points[::7, 0] += 1e6
    got = voxelise(points, GRID, most=500, mean_of=mean_of)
    of_points = cells(points)
    sites = sorted({cell for cell in of_points if cell})
    assert [tuple(c) for c in got.coords.tolist()] == sites
    assert got.inverse.tolist() == [sites.index(c) if c else -1 for c in of_points]
    for row, site in enumerate(sites):
        inside = [i for i, c in enumerate(of_points) if c == site]
        if mean_of is None:
            z, y, x = site
            centre = ((x + 0.5) * 1, (y + 0.5) * 0.5 - 8, (z + 0.5) * 0.25 - 2)
            scaled = (points[inside, :3].astype(np.float64) - centre) / (1, 0.5, 0.25)
            best = inside[int(np.argmin((scaled**2).sum(1).round(12)))]
            np.testing.assert_array_equal(got.feats[row], points[best])
            assert got.chosen[row] == best
        else:
            want = points[inside[:mean_of]].astype(np.float64).mean(axis=0)
            np.testing.assert_allclose(got.feats[row], want, rtol=1e-5, atol=1e-6)


def test_training_takes_any_point_of_a_voxel_and_evaluation_always_the_same() -> None:
    points = scan(0, 2000)
    grid = LidarGrid((0, -8, -2), (32, 8, 2), (4, 4, 4))
    same = [voxelise(points, grid, most=500).feats for _ in range(2)]
    np.testing.assert_array_equal(*same)
    drawn = [voxelise(points, grid, most=500, rng=np.random.default_rng(k)) for k in range(2)]
    assert (drawn[0].feats != drawn[1].feats).any()
    for voxels in drawn:
        np.testing.assert_array_equal(voxels.inverse[voxels.chosen], np.arange(len(voxels.coords)))


def test_the_order_of_the_points_does_not_matter_in_evaluation() -> None:
    points = scan(3, 500)
    order = np.random.default_rng(0).permutation(500)
    a, b = voxelise(points, GRID, most=500), voxelise(points[order], GRID, most=500)
    np.testing.assert_array_equal(a.feats, b.feats)
    np.testing.assert_array_equal(a.inverse[order], b.inverse)


def test_a_far_outlier_changes_no_other_voxel() -> None:
    points = scan(1, 300)
    spoilt = np.concatenate([points, [[1e30, 0, 0, 0.5], [5, 1e9, 0, 0.5]]]).astype(np.float32)
    a, b = voxelise(points, GRID, most=500), voxelise(spoilt, GRID, most=500)
    np.testing.assert_array_equal(a.feats, b.feats)
    assert b.inverse[300:].tolist() == [-1, -1]


def test_surplus_voxels_are_random_in_training_and_an_error_in_evaluation() -> None:
    points = scan(0, 400)
    full = voxelise(points, GRID, most=400)
    total = len(full.coords)
    with pytest.raises(DataError, match=rf"a\.bin: has {total} voxels, but data\.voxels allows 50"):
        voxelise(points, GRID, most=50, name="a.bin")
    thin = voxelise(points, GRID, most=50, rng=np.random.default_rng(0))
    asked = [voxelise(points, GRID, most=50, drop=True) for _ in range(2)]
    np.testing.assert_array_equal(asked[0].coords, asked[1].coords)
    for got in (thin, asked[0]):
        assert (len(got.coords), got.dropped) == (50, total - 50)
        keys = [tuple(c) for c in got.coords.tolist()]
        assert keys == sorted(keys)
        assert got.coords[:, 0].max() >= 9  # the top of the scene is not what is left out
        kept = got.inverse >= 0
        np.testing.assert_array_equal(
            got.coords[got.inverse[kept]], full.coords[full.inverse[kept]]
        )
        assert kept.sum() == sum(tuple(c) in set(keys) for c in full.coords[full.inverse].tolist())


def test_a_scan_outside_the_grid_is_an_error() -> None:
    with pytest.raises(DataError, match=r"b\.bin: none of its 5 points is in the grid.*Fix: check"):
        voxelise(scan(0, 5) + 1000, GRID, most=9, name="b.bin")
    with pytest.raises(DataError, match="none of its 0 points"):
        voxelise(scan(0, 0), GRID, most=9)


@given(st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_the_label_of_a_voxel_is_that_of_most_points_the_lowest_on_a_tie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, inverse = rng.integers(-1, 4, 60), rng.integers(-1, 12, 60)
    want = []
    for row in range(13):
        votes = [int(((inverse == row) & (label == k)).sum()) for k in range(4)]
        want.append(int(np.argmax(votes)) if max(votes) else -1)
    assert majority_labels(label, inverse, 13, 4).tolist() == want


def test_points_without_a_voxel_take_the_nearest() -> None:
    points = scan(2, 100)
    inverse = np.arange(100)
    inverse[::3] = -1
    got = nearest_rows(points, inverse)
    known = np.flatnonzero(inverse >= 0)
    for i in np.flatnonzero(inverse < 0):
        distance = np.linalg.norm(points[known, :3] - points[i, :3], axis=1)
        assert got[i] == inverse[known[np.argmin(distance)]]
    np.testing.assert_array_equal(got[known], inverse[known])


def test_extents_are_multiples_of_16_unless_given() -> None:
    assert LidarGrid().extent == (160, 3200, 3200)
    assert LidarGrid((-35.2, -35.2, -4), (35.2, 35.2, 2)).extent == (128, 1408, 1408)
    assert LidarGrid((0, 0, 0), (1, 1, 1), (0.1, 0.1, 0.1), (11, 10, 10)).extent == (11, 10, 10)
    for options, message in (
        ({"size": (9, 10, 10)}, "grid.size must be at least"),
        ({"low": (0, 2, 0)}, "grid.low must be below"),
        ({"voxel_size": (0.1, -1, 1)}, "grid.voxel_size must be positive"),
        ({"high": (1, np.nan, 1)}, "grid.high must be three finite"),
        ({"voxel_size": (1e-4, 1e-4, 1e-4)}, "Use larger voxels"),
    ):
        given = {"low": (0, 0, 0), "high": (1, 1, 1), "voxel_size": (0.1, 0.1, 0.1)} | options
        with pytest.raises(ValueError, match=message):
            LidarGrid(**given)
