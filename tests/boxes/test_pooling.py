"""Grid points of proposals, neighbours among sites against a scan, samples of a map."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import map_samples, points_in_boxes, roi_grid, voxel_neighbours
from snnjax.sparse import sparse_tensor

EXTENT, STRIDE = (6, 10, 12), 2
VOXEL, ORIGIN = (0.5, 0.4, 0.3), (1.0, -4.0, -2.0)


def test_grid_points_lie_in_the_box():
    boxes = np.array([[10.0, 2, -1, 4, 1.8, 1.5, 0.7], [0, 0, 0, 1, 1, 1, 0]], np.float32)
    grid = np.asarray(roi_grid(jnp.asarray(boxes), 3))
    assert grid.shape == (2, 27, 3)
    inside = points_in_boxes(grid.astype(float), boxes[:, None].astype(float))
    assert inside.all()
    np.testing.assert_allclose(grid.mean(1), boxes[:, :3], atol=1e-5)
    np.testing.assert_allclose(
        grid[1, [0, 1, 26]] * 3, [[-1, -1, -1], [-1, -1, 0], [1, 1, 1]], atol=1e-6
    )


def sites(seed=0):
    rng = np.random.default_rng(seed)
    n, capacity = np.array([200, 40]), 220
    coords = np.zeros((2, capacity, 3), np.int32)
    for b in (0, 1):
        flat = rng.choice(np.prod(EXTENT), n[b], replace=False)
        coords[b, : n[b]] = np.stack(np.unravel_index(flat, EXTENT), -1)
    feats = rng.normal(size=(2, capacity, 3)).astype(np.float32)
    return sparse_tensor(
        jnp.asarray(feats), jnp.asarray(coords), jnp.asarray(n), extent=EXTENT, stride=STRIDE
    )


def scan(coords, point, radius, window, count):
    """Rows of the neighbours of one point by a scan over the window, and their offsets."""
    row = {tuple(c): i for i, c in enumerate(coords.tolist())}
    cell = [int(np.floor((point[i] - ORIGIN[i]) / VOXEL[i])) // STRIDE for i in (2, 1, 0)]
    found = []
    steps = range(-window, window + 1)
    for dz in steps:
        for dy in steps:
            for dx in steps:
                at = (cell[0] + dz, cell[1] + dy, cell[2] + dx)
                if at not in row or len(found) == count:
                    continue
                centre = [(at[2 - i] + 0.5) * STRIDE * VOXEL[i] + ORIGIN[i] for i in range(3)]
                offset = np.array(centre) - point
                if offset @ offset <= radius**2:
                    found.append((row[at], offset))
    return found + found[:1] * (count - len(found)) if found else []


@pytest.mark.parametrize(("window", "radius", "count"), [(2, 1.7, 5), (1, 0.9, 2)])
def test_neighbours_equal_the_scan(window, radius, count):
    x = sites()
    rng = np.random.default_rng(1)
    low, high = (-1, -6, -4), (15, 6, 3.5)  # also outside the grid
    points = rng.uniform(low, high, (2, 60, 3)).astype(np.float32)
    found = jax.jit(
        lambda x, p: voxel_neighbours(
            x, p, origin=ORIGIN, voxel=VOXEL, radius=radius, window=window, count=count, chunk=16
        )
    )(x, jnp.asarray(points))
    features = np.asarray(found.features(x.feats))
    full = 0
    for b in (0, 1):
        coords = np.asarray(x.coords[b])[: int(x.n[b])]
        for q in range(60):
            expected = scan(coords, points[b, q], radius, window, count)
            assert bool(found.found[b, q]) == bool(expected)
            if expected:
                rows, offsets = zip(*expected, strict=True)
                assert found.rows[b, q].tolist() == list(rows)
                np.testing.assert_allclose(found.offset[b, q], offsets, atol=1e-5)
                np.testing.assert_array_equal(features[b, q], np.asarray(x.feats[b])[list(rows)])
                full += len(set(rows)) == count
            else:
                assert not features[b, q].any()
                assert not np.asarray(found.offset[b, q]).any()
    assert full > 5
    assert 0.1 < np.mean(found.found) < 0.9


def test_wrong_arguments_are_refused():
    x, points = sites(), jnp.zeros((2, 4, 3))
    options = {"origin": ORIGIN, "voxel": VOXEL, "radius": 1.0}
    with pytest.raises(ValueError, match=r"points must be \[2, Q, 3\]; got \(1, 4, 3\)"):
        voxel_neighbours(x, points[:1], **options)
    with pytest.raises(ValueError, match="`count` at least 1"):
        voxel_neighbours(x, points, **options, count=0)
    with pytest.raises(ValueError, match="got 3 packed samples"):
        voxel_neighbours(x.replace(samples=3), points, **options)


def test_a_map_is_interpolated_and_0_outside():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 5, 2))
    positions = np.concatenate([rng.uniform(-1.5, 5.5, (30, 2)), [[3, 4], [0, 0], [-1, 2]]])
    found = np.asarray(map_samples(jnp.asarray(values), jnp.asarray(positions)))
    padded = np.pad(values, ((9, 9), (9, 9), (0, 0)))
    for (i, j), got in zip(positions, found, strict=True):
        a, b = int(np.floor(i)), int(np.floor(j))
        u, v = i - a, j - b
        block = padded[a + 9 : a + 11, b + 9 : b + 11]
        weights = np.outer([1 - u, u], [1 - v, v])
        np.testing.assert_allclose(got, (weights[..., None] * block).sum((0, 1)), atol=1e-5)
