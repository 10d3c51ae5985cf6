from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.lidar_scenes.ground import SENSOR_HEIGHT, Ground
from snnjax.data.lidar_scenes.render import Sensor
from snnjax.data.lidar_scenes.shapes import Box, Foliage, Post

SENSOR = Sensor.of(24, 180, 180.0)
RAYS = SENSOR.rays
FLAT = Ground(0.0, 0.0, 4.0, 0, (2.0, 2.0), 0.0, (0.0, 0.0), (0.0, 0.0), np.zeros((3, 4)))


def directions() -> np.ndarray:
    """Unit vectors [R, C, 3]."""
    return np.array(
        [
            [[ce * ca, ce * sa, se] for ca, sa in zip(RAYS.cos_a, RAYS.sin_a, strict=True)]
            for ce, se in zip(RAYS.cos_e, RAYS.sin_e, strict=True)
        ]
    )


def box_by_faces(box: Box, ray: np.ndarray) -> float:
    """The nearest of the six faces that the ray crosses inside its rectangle."""
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    axes = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    centre = np.array([box.x, box.y, 0.5 * (box.low + box.high)])
    half = 0.5 * np.array([box.length, box.width, box.high - box.low])
    found = [np.inf]
    for k in range(3):
        for sign in (-1, 1):
            along = ray @ axes[k]
            if along == 0:
                continue
            t = (centre @ axes[k] + sign * half[k]) / along
            local = axes @ (t * ray - centre)
            others = [j for j in range(3) if j != k]
            if t > 0 and np.all(np.abs(local[others]) < half[others]):
                found.append(t)
    return min(found)


def post_by_roots(post: Post, ray: np.ndarray) -> float:
    flat, place = ray[:2], np.array([post.x, post.y])
    a, b, c = flat @ flat, -2 * flat @ place, place @ place - post.radius**2
    if b * b <= 4 * a * c:
        return np.inf
    t = (-b - np.sqrt(b * b - 4 * a * c)) / (2 * a)
    return t if t > 0 and post.low <= t * ray[2] <= post.high else np.inf


def spheroid_by_roots(shape: Foliage, ray: np.ndarray) -> float:
    scale = np.array([shape.radius, shape.radius, shape.half_height])
    d, o = ray / scale, np.array([shape.x, shape.y, shape.z]) / scale
    a, b, c = d @ d, -2 * d @ o, o @ o - 1
    if b * b <= 4 * a * c:
        return np.inf
    near, far = (np.sort(np.roots([a, b, c]).real)).tolist()
    return max(near, 0.0) if far > 0 else np.inf


@pytest.mark.parametrize(
    ("shape", "slow"),
    [
        (Box(9.0, 3.0, 0.4, 4.0, 1.7, -1.7, -0.2), box_by_faces),
        (Box(-8.0, 0.1, -2.0, 5.0, 3.0, -1.5, 1.0), box_by_faces),  # across azimuth pi
        (Box(4.0, -2.0, 0.0, 2.0, 1.0, -1.6, -1.0), box_by_faces),  # seen from above
        (Post(5.0, -4.0, 0.6, -1.7, 0.1), post_by_roots),
        (Post(-6.0, 0.0, 0.9, -1.7, 4.0), post_by_roots),
        (Foliage(7.0, 7.0, 0.0, 1.5, 1.0, 0.0), spheroid_by_roots),
        (Foliage(0.5, 0.0, 0.2, 1.5, 1.0, 0.0), spheroid_by_roots),  # the sensor is inside
    ],
)
def test_hits_equal_a_loop_over_rays(shape, slow) -> None:
    t, cosine = shape.cast(RAYS, np.random.default_rng(0))
    expected = np.array([[slow(shape, ray) for ray in row] for row in directions()])
    assert np.isfinite(expected).sum() > 10
    np.testing.assert_allclose(t, expected, rtol=0, atol=1e-9)
    assert np.all((cosine[np.isfinite(t)] >= 0) & (cosine[np.isfinite(t)] <= 1 + 1e-12))


def test_the_cosine_of_a_box_is_that_of_its_face() -> None:
    """A face normal to x: the cosine is the x of the direction."""
    t, cosine = Box(9.0, 0.0, 0.0, 2.0, 4.0, -3.0, 3.0).cast(RAYS, np.random.default_rng(0))
    hit = np.isfinite(t)
    assert hit.sum() > 50
    np.testing.assert_allclose(cosine[hit], directions()[..., 0][hit], atol=1e-12)


@pytest.mark.parametrize("shape", [Box(9, 3, 0.4, 4, 2, -2, 0), Post(-7, 0, 0.9, -2, 4),
                                   Foliage(0.5, 0.0, 0.2, 1.5, 1.0, 0.0)])  # fmt: skip
@pytest.mark.parametrize("fov", [180.0, 60.0])
def test_the_block_of_a_shape_holds_all_its_hits(shape, fov: float) -> None:
    sensor = Sensor.of(24, 180, fov)
    t, _ = shape.cast(sensor.rays, np.random.default_rng(0))
    outside = np.isfinite(t)
    assert fov < 180 or outside.any()
    for cols in sensor.cols(shape.bounds):
        outside[sensor.rows(shape.bounds), cols] = False
    assert not outside.any()


def test_gaps_let_their_share_of_rays_pass() -> None:
    solid, _ = Box(3, 0, 0, 1, 6, -3, 3).cast(RAYS, np.random.default_rng(0))
    wire, _ = Box(3, 0, 0, 1, 6, -3, 3, gap=0.35).cast(RAYS, np.random.default_rng(0))
    hit = np.isfinite(solid)
    assert not np.isfinite(wire[~hit]).any()
    assert np.isfinite(wire[hit]).mean() == pytest.approx(0.65, abs=0.06)


def test_foliage_is_passed_by_beer_lambert() -> None:
    """A ray gets through a chord c with probability exp(-c / path)."""
    shape = Foliage(5.0, 0.0, -0.5, 2.0, 1.5, 0.8)
    solid = Foliage(5.0, 0.0, -0.5, 2.0, 1.5, 0.0)
    near, _ = solid.cast(RAYS, np.random.default_rng(0))
    inside = np.isfinite(near)
    through, expected = [], []
    for seed in range(20):
        t, _ = shape.cast(RAYS, np.random.default_rng(seed))
        assert np.all(t[inside] >= near[inside])
        assert not np.isfinite(t[~inside]).any()
        through.append(~np.isfinite(t[inside]))
    centre = np.array([5.0, 0.0, -0.5]) / [2.0, 2.0, 1.5]
    for ray in directions()[inside]:
        d = ray / [2.0, 2.0, 1.5]
        a, b, c = d @ d, d @ centre, centre @ centre - 1
        expected.append(np.exp(-2 * np.sqrt(b * b - a * c) / a / 0.8))
    assert np.mean(through) == pytest.approx(np.mean(expected), abs=0.02)


def test_flat_ground_is_met_at_its_height() -> None:
    (t, cosine), _ = FLAT.cast(RAYS, 50.0)
    z = directions()[..., 2]
    hit = np.isfinite(t)
    np.testing.assert_allclose(t[hit], -SENSOR_HEIGHT / z[hit], atol=1e-9)
    np.testing.assert_allclose(cosine[hit], -z[hit], atol=1e-12)
    assert hit[z < -0.05].all()
    assert not hit[z > -0.012].any()


def test_a_slope_is_met_exactly() -> None:
    ground = FLAT._replace(slope=(0.02, -0.01))
    (t, _), _ = ground.cast(RAYS, 50.0)
    x, y, z = np.moveaxis(np.where(np.isfinite(t), t, 0)[..., None] * directions(), -1, 0)
    hit = np.isfinite(t)
    assert hit.sum() > 1000
    np.testing.assert_allclose(z[hit], (0.02 * x - 0.01 * y - SENSOR_HEIGHT)[hit], atol=1e-9)
