"""Voxels become cubes at the right place, and spikes their colours."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import SparseTensor
from snnjax.viz import CloudLevel, cloud_levels, voxel_cloud
from snnjax.viz.cloud import cube_faces


def _coords(seed: int = 0, side: int = 5) -> np.ndarray:
    return np.argwhere(np.random.default_rng(seed).random((side,) * 3) < 0.3)


def test_faces_lie_between_full_and_empty_voxels():
    coords = _coords()
    full = {tuple(c) for c in coords.tolist()}
    expect = set()
    for i, (z, y, x) in enumerate(coords.tolist()):
        for axis in range(3):
            for side in (-1, 1):
                step = [0, 0, 0]
                step[axis] = side
                dx, dy, dz = step
                if (z + dz, y + dy, x + dx) not in full:
                    middle = (x + 0.5 + dx / 2, y + 0.5 + dy / 2, z + 0.5 + dz / 2)
                    expect.add((i, *middle, *step))
    quads, owner, normal = cube_faces(coords, 1)
    rows = np.concatenate([owner[:, None], quads.mean(1), normal], axis=1)
    assert {tuple(row) for row in rows.tolist()} == expect
    np.testing.assert_allclose(cube_faces(coords, 4)[0], quads * 4)


def test_levels_sum_spikes_over_time_and_channels_of_valid_rows():
    rng = np.random.default_rng(1)
    coords = np.stack([np.pad(_coords(s)[:9], ((0, 3), (0, 0))) for s in (0, 1)])
    feats = rng.integers(0, 5, (2, 2, 12, 3)).astype(np.float32)
    n, overflow = jnp.array([9, 7], jnp.int32), jnp.zeros(2, jnp.int32)
    sites = jnp.asarray(coords, jnp.int32)
    x = SparseTensor(jnp.asarray(feats[0]), sites, n, overflow, (8, 8, 8))
    spikes = SparseTensor(jnp.asarray(feats), sites, n, overflow, (4, 4, 4), 2)
    points, level = cloud_levels(x, [("stage 1", spikes)], sample=1)
    assert points.counts is None
    assert len(points.coords) == len(level.coords) == 7
    assert (level.title, level.stride) == ("stage 1", 2)
    for i in range(7):
        assert level.counts[i] == int(feats[:, 1, i].sum())
    with pytest.raises(ValueError, match=r"sample must be in \[0, 2\)"):
        cloud_levels(x, sample=2)


def test_silent_voxels_are_grey_and_counts_have_their_own_colours():
    coords = np.array([[0, 0, 0], [0, 0, 4], [0, 4, 0]])
    figure = voxel_cloud([CloudLevel("a", coords, np.array([0, 1, 3]))])
    rgb = figure.axes[0].collections[0].get_facecolor()[:, :3]
    grey = np.ptp(rgb, axis=1) < 1e-6
    assert grey.sum() == 6  # the open faces of the one silent voxel
    hues = {tuple(np.round(c / c.max(), 6)) for c in rgb[~grey]}
    assert len(hues) == 2  # light changes the brightness of a face, not its hue


def test_all_levels_share_one_frame():
    fine = CloudLevel("fine", np.array([[0, 0, 0], [7, 7, 7]]), None, 1)
    coarse = CloudLevel("coarse", np.array([[0, 0, 0], [1, 1, 1]]), np.array([2, 0]), 4)
    figure = voxel_cloud([fine, coarse], title="both")
    boxes = [ax for ax in figure.axes if ax.name == "3d"]
    assert len(boxes) == 2
    for ax in boxes:
        assert (ax.get_xlim(), ax.get_ylim(), ax.get_zlim()) == ((0, 8),) * 3
    assert boxes[1].get_title() == "coarse\n2 voxels, 2 spikes, in 50% of the voxels"


@pytest.mark.parametrize("counts", [[0, 0], [1, 0], [10, 11], [3, 4000]])
def test_any_range_of_counts_can_be_drawn(counts):
    level = CloudLevel("a", np.array([[0, 0, 0], [1, 1, 1]]), np.array(counts))
    voxel_cloud([level]).canvas.draw()


def test_an_empty_cloud_is_an_empty_frame_not_an_error():
    voxel_cloud([CloudLevel("empty", np.zeros((0, 3), int), np.zeros(0, int))]).canvas.draw()


def test_wrong_shapes_name_the_level():
    with pytest.raises(ValueError, match="'a': coords must be"):
        voxel_cloud([CloudLevel("a", np.zeros((3, 2), int))])
    with pytest.raises(ValueError, match=r"'a': counts must be \[3\]"):
        voxel_cloud([CloudLevel("a", np.zeros((3, 3), int), np.zeros(2, int))])
    with pytest.raises(ValueError, match="levels is empty"):
        voxel_cloud([])
