from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from snnjax.data.clouds import Augment
from snnjax.data.clouds.rotations import uniform_rotations

FULL = Augment(
    "so3", (0.8, 1.3), (0.7, 1.3), shift=0.2, jitter=0.02, drop=0.3, crop_fraction=0.2, flip=True
)


def _rngs(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


def _batch(b: int = 6, p: int = 50, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.55, 0.55, (b, p, channels)).astype(np.float32)
    count = rng.integers(p // 2, p + 1, b).astype(np.int32)
    points[np.arange(p) >= count[:, None]] = 0
    return points, count


def test_no_augmentation_changes_nothing():
    points, count = _batch()
    out, left = Augment()(points, count, _rngs(6))
    np.testing.assert_array_equal(out, points)
    np.testing.assert_array_equal(left, count)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_turn_about_an_axis_keeps_it_and_all_distances(axis):
    points, count = _batch()
    out, _ = Augment(rotate=axis)(points, count, _rngs(6))
    k = "xyz".index(axis)
    np.testing.assert_allclose(out[..., k], points[..., k], atol=1e-6)
    other = [i for i in range(3) if i != k]
    norms = [np.linalg.norm(a[..., other], axis=-1) for a in (out, points)]
    np.testing.assert_allclose(*norms, atol=1e-6)
    assert np.abs(out - points).max() > 0.1


def test_a_turn_stays_within_its_angle():
    points, count = _batch(300)
    out, _ = Augment(rotate="z", angle=20)(points, count, _rngs(300))
    before, after = (np.arctan2(a[:, 0, 1], a[:, 0, 0]) for a in (points, out))
    turned = np.degrees((after - before + np.pi) % (2 * np.pi) - np.pi)
    assert -20 <= turned.min() < -19
    assert 19 < turned.max() <= 20


def test_rotations_are_proper_and_uniform():
    turns = uniform_rotations(np.random.default_rng(0).random((4000, 3), dtype=np.float32))
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.eye(3)[None].repeat(4000, 0), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-5)
    # uniform on SO(3): every entry has mean 0 and variance 1/3, the trace mean 0
    assert np.abs(turns.mean(0)).max() < 0.04
    np.testing.assert_allclose(turns.var(0), 1 / 3, atol=0.03)
    assert abs(np.trace(turns, axis1=1, axis2=2).mean()) < 0.07


def test_scale_and_stretch_stay_in_their_ranges():
    points, count = _batch(200)
    out, _ = Augment(scale=(0.5, 0.9))(points, count, _rngs(200))
    factor = out[:, 0] / points[:, 0]
    assert np.ptp(factor, axis=1).max() < 1e-5  # one factor for all axes
    assert 0.5 <= factor.min() < 0.52
    assert 0.88 < factor.max() <= 0.9
    out, _ = Augment(stretch=(0.5, 0.9))(points, count, _rngs(200))
    assert np.ptp(out[:, 0] / points[:, 0], axis=1).mean() > 0.1


def test_flip_mirrors_x_and_y_only():
    points, count = _batch(64)
    out, _ = Augment(flip=True)(points, count, _rngs(64))
    sign = out[:, 0] / points[:, 0]
    np.testing.assert_array_equal(np.abs(sign), 1)
    assert (sign[:, 2] == 1).all()
    assert all(0.3 < (sign[:, k] > 0).mean() < 0.7 for k in (0, 1))


def test_jitter_has_the_asked_deviation_and_is_clipped():
    points, count = _batch(8, 500)
    out, _ = Augment(jitter=0.02)(points, count, _rngs(8))
    noise = (out - points)[np.arange(500) < count[:, None]]
    assert abs(noise.std() - 0.02) < 1e-3
    assert np.abs(noise).max() <= 0.06 + 1e-6


def test_drop_leaves_a_random_subset_in_order_and_never_nothing():
    points, count = _batch(64)
    out, left = Augment(drop=0.5)(points, count, _rngs(64))
    assert (left <= count).all()
    assert 0.15 < 1 - (left / count).mean() < 0.35  # the fraction is uniform up to one half
    for b in range(64):
        rows = [points[b].tolist().index(p) for p in out[b, : left[b]].tolist()]
        assert rows == sorted(set(rows))
    one = np.ones((4, 1, 3), np.float32) * 0.1
    _, left = Augment(drop=0.99)(one, np.ones(4, np.int32), _rngs(4))
    assert left.tolist() == [1] * 4


def test_a_cut_takes_one_side_of_a_plane():
    points, count = _batch(64)
    out, left = Augment(crop_fraction=0.5)(points, count, _rngs(64))
    assert 0.15 < 1 - (left / count).mean() < 0.35
    for b in range(64):
        kept = out[b, : left[b]]
        whole = {tuple(p) for p in points[b, : count[b]].tolist()}
        gone = np.array(sorted(whole - {tuple(p) for p in kept.tolist()}))
        assert len(gone) == count[b] - left[b]
        if len(gone):  # a plane parts both sets: w p < d and w p > d
            sides = np.c_[np.r_[kept, -gone], np.r_[-np.ones(len(kept)), np.ones(len(gone))]]
            found = linprog(np.zeros(4), sides, np.full(len(sides), -1e-3), bounds=(None, None))
            assert found.success


def test_a_cut_leaves_a_single_point():
    one = np.full((4, 1, 3), 0.1, np.float32)
    _, left = Augment(crop_fraction=0.99)(one, np.ones(4, np.int32), _rngs(4))
    assert left.tolist() == [1] * 4


def test_everything_stays_in_the_cube_and_padding_stays_zero():
    points, count = _batch(64)
    count[3] = 0
    points[3] = 0
    out, left = FULL(points * 1.8, count, _rngs(64))
    assert np.abs(out).max() < 1
    assert left[3] == 0
    assert (out[np.arange(50) >= left[:, None]] == 0).all()
    assert np.isfinite(out).all()


def test_the_shift_moves_the_cloud_as_far_as_asked():
    points, count = _batch(64)
    out, _ = Augment(shift=0.2)(points, count, _rngs(64))
    moved = (out - points)[:, 0]
    assert 0.19 < np.abs(moved).max() <= 0.2 + 1e-6
    np.testing.assert_allclose((out - points)[:, :20], moved[:, None].repeat(20, 1), atol=1e-6)


def test_a_sample_sees_only_its_own_generator():
    points, count = _batch()
    out, left = FULL(points, count, _rngs(6))
    alone, one = FULL(points[4:5], count[4:5], _rngs(6)[4:5])
    assert left[4] == one[0]
    np.testing.assert_allclose(out[4], alone[0], atol=1e-6)


def test_normals_stay_perpendicular_to_the_surface():
    """A stretched plane: tangents map by A, normals by its inverse transpose."""
    rng = np.random.default_rng(0)
    normal = np.array([1.0, 2.0, -1.0]) / np.sqrt(6)
    tangent = rng.normal(size=(1, 40, 3))
    tangent -= (tangent @ normal)[..., None] * normal
    cloud = np.concatenate([0.2 * tangent, np.broadcast_to(normal, (1, 40, 3))], -1)
    augment = Augment("so3", stretch=(0.5, 1.5), flip=True)
    out, _ = augment(cloud.astype(np.float32), np.array([40], np.int32), _rngs(1))
    assert np.abs((out[..., :3] * out[..., 3:]).sum(-1)).max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(out[..., 3:], axis=-1), 1, atol=1e-5)


def test_other_features_are_left_alone():
    points, count = _batch(channels=4)
    out, _ = Augment("so3", scale=(0.5, 0.6))(points, count, _rngs(6))
    np.testing.assert_array_equal(out[..., 3], points[..., 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotate": "w"}, "`rotate` must be"),
        ({"scale": (1.2, 0.8)}, "`scale` must be"),
        ({"stretch": (0.0, 1.0)}, "`stretch` must be"),
        ({"scale": (0.5, float("nan"))}, "`scale` must be"),
        ({"shift": -0.1}, "`shift` must be"),
        ({"jitter": 2.0}, "`jitter` must be"),
        ({"drop": 1.0}, "`drop` must be"),
        ({"crop_fraction": -0.1}, "`crop_fraction` must be"),
        ({"rotate": "z", "angle": 200.0}, "`angle` must be"),
        ({"rotate": "so3", "angle": 20.0}, "turns about one axis"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Augment(**arguments)
