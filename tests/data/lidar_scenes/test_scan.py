from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.lidar_scenes import MATERIALS, POINT_CLASSES, LidarScenes, Scan
from snnjax.data.lidar_scenes.ground import Ground
from snnjax.data.lidar_scenes.objects import Pose, Thing, building, car
from snnjax.data.lidar_scenes.render import Sensor, cast
from snnjax.data.lidar_scenes.shapes import Box, Foliage, Post, Shape
from snnjax.data.lidar_scenes.street import build, rectangles_meet

SMALL = LidarScenes(beams=24, columns=512)
EXACT = LidarScenes(beams=24, columns=512, noise=0.0)
GROUND = {"road", "parking", "sidewalk", "terrain"}


def scene(source: LidarScenes, index: int) -> tuple[Ground, list[Thing]]:
    """The ground and the objects behind a scan of the training split."""
    return build(np.random.default_rng([source.seed, 0, index]), source)


def outside(box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points lie outside a box, the largest of the three axes; negative inside."""
    x, y, z = (points[:, :3].astype(np.float64) - box[:3]).T
    c, s = np.cos(box[6]), np.sin(box[6])
    local = np.abs(np.stack([c * x + s * y, c * y - s * x, z], 1))
    return (local - box[3:6] / 2).max(1)


def distance(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Distance of points to the surface of a shape; 0 inside foliage."""
    x, y, z = points[:, :3].astype(np.float64).T
    if isinstance(shape, Box):
        middle, height = 0.5 * (shape.low + shape.high), shape.high - shape.low
        box = np.array([shape.x, shape.y, middle, shape.length, shape.width, height, shape.yaw])
        return np.abs(outside(box, points))
    if isinstance(shape, Post):
        side = np.abs(np.hypot(x - shape.x, y - shape.y) - shape.radius)
        return np.maximum(side, np.maximum(shape.low - z, z - shape.high))
    flat = np.hypot(x - shape.x, y - shape.y) / shape.radius
    return np.maximum(np.hypot(flat, (z - shape.z) / shape.half_height) - 1, 0)


@pytest.mark.parametrize("index", range(4))
def test_points_lie_on_the_surfaces_of_their_class(index: int) -> None:
    scan = EXACT.scan(index)
    _, things = scene(EXACT, index)
    for label, name in enumerate(POINT_CLASSES):
        points = scan.points[scan.label == label]
        if name in GROUND or not len(points):
            continue
        surfaces = [
            shape
            for thing in things
            for shape, part in zip(thing.shapes, thing.labels, strict=True)
            if part == label
        ]
        assert np.min([distance(s, points) for s in surfaces], axis=0).max() < 1e-4, name


def height_above(ground: Ground, points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    return z + 1.73 - ground.slope[0] * x - ground.slope[1] * y - ground.relief(x, y)


@pytest.mark.parametrize("index", range(4))
def test_ground_points_lie_on_the_ground_or_on_the_face_of_a_curb(index: int) -> None:
    scan = EXACT.scan(index)
    ground, _ = scene(EXACT, index)
    on_ground = np.isin(scan.label, [POINT_CLASSES.index(name) for name in GROUND])
    points = scan.points[on_ground, :3].astype(np.float64)
    step = 0.02 * points / np.linalg.norm(points, axis=1, keepdims=True)
    crossed = (height_above(ground, points - step) > 0) & (height_above(ground, points + step) < 0)
    settled = np.abs(height_above(ground, points)) < 0.006
    assert np.all(settled | crossed)
    before, after = ((points + k * step)[~settled, :2].T for k in (-1, 1))
    assert np.all(ground.regions(*before) != ground.regions(*after))  # a face between two regions
    assert settled.mean() > 0.9
    label = ground.regions(points[:, 0], points[:, 1])
    assert np.mean(label == scan.label[on_ground]) > 0.998  # float32 at an edge


@pytest.mark.parametrize("index", range(3))
def test_nothing_is_seen_through_an_opaque_surface(index: int) -> None:
    """Every solid shape is cast over all rays, without blocks: no hit lies behind one."""
    rng = np.random.default_rng([EXACT.seed, 0, index])
    ground, things = build(rng, EXACT)
    depth = cast(rng, EXACT.sensor, ground, things, EXACT.range)
    (nearest, _), _ = ground.cast(EXACT.sensor.rays, EXACT.range)
    for thing in things:
        for shape in thing.shapes:
            if not isinstance(shape, Foliage) and getattr(shape, "gap", 0.0) == 0.0:
                nearest = np.minimum(nearest, shape.cast(EXACT.sensor.rays, rng)[0])
    nearest[nearest > EXACT.range] = np.inf
    assert np.all(depth.t <= nearest + 1e-9)
    solid = np.isfinite(depth.t) & (depth.t == nearest)
    assert solid.sum() > 0.8 * np.isfinite(depth.t).sum()


def test_objects_keep_their_points_in_their_boxes() -> None:
    counted = 0
    for source, limit in ((EXACT, 1e-3), (SMALL, 0.12)):  # 0.12: six standard deviations
        for index in range(12):
            scan = source.scan(index)
            for number, box in enumerate(scan.boxes, 1):
                own = scan.points[scan.instance == number]
                assert len(own) == scan.points_in_box[number - 1]
                if len(own):
                    assert outside(box.astype(np.float64), own).max() < limit
                    counted += 1
    assert counted > 150


def test_labels_of_points_agree_with_the_class_of_their_box() -> None:
    names = {0: "car", 1: "other-vehicle", 2: "other-vehicle", 3: "person", 4: "bicyclist"}
    for index in range(6):
        scan = SMALL.scan(index)
        inside = scan.instance > 0
        kinds = scan.box_class[scan.instance[inside] - 1]
        assert [names[int(k)] for k in kinds] == [POINT_CLASSES[i] for i in scan.label[inside]]
        assert not np.isin(scan.label[~inside], [0, 1, 2, 3]).any()


def test_boxes_do_not_overlap() -> None:
    for index in range(30):
        _, things = scene(SMALL, index)
        boxes = np.array([thing.box for thing in things if thing.box])
        flat = np.column_stack([boxes[:, [0, 1, 6]], boxes[:, 3:5] / 2])
        meets = np.array([rectangles_meet(one, flat) for one in flat])
        assert np.array_equal(meets, np.eye(len(flat), dtype=bool))


def test_rectangles_meet_as_their_points_do() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 121)] * 2), -1).reshape(-1, 2)
    others = np.column_stack(
        [rng.uniform(-4, 4, (80, 2)), rng.uniform(-4, 4, 80), rng.uniform(0.3, 2, (80, 2))]
    )
    one = np.array([0.3, -0.2, 0.7, 2.0, 0.9])
    expected = []
    for x, y, yaw, a, b in others:
        u, v = (grid * [a, b]).T
        px, py = x + np.cos(yaw) * u - np.sin(yaw) * v, y + np.sin(yaw) * u + np.cos(yaw) * v
        dx, dy = px - one[0], py - one[1]
        c, s = np.cos(one[2]), np.sin(one[2])
        expected.append(np.any((abs(c * dx + s * dy) < 2.0) & (abs(c * dy - s * dx) < 0.9)))
    assert 20 < sum(expected) < 70
    assert np.array_equal(rectangles_meet(one, others), expected)


def test_a_wall_hides_the_car_behind_it() -> None:
    rng = np.random.default_rng(0)
    sensor = Sensor.of(32, 512, 180.0)
    flat = Ground(0.0, 0.0, 4.0, 0, (2.0, 2.0), 0.0, (0.0, 0.0), (0.0, 0.0), np.zeros((3, 4)))
    behind = car(rng, Pose(15.0, 1.0, -1.73, 0.3), (4.0, 1.7, 1.5))
    wall = building(rng, Pose(8.0, 0.0, -1.73, np.pi / 2), 12.0)
    for things, seen in (([behind], True), ([behind, wall], False), ([wall, behind], False)):
        depth = cast(rng, sensor, flat, things, 50.0)
        number = things.index(behind)
        hits = np.count_nonzero((depth.thing == number) & np.isfinite(depth.t))
        assert depth.alone[number] > 30
        assert hits == (depth.alone[number] if seen else 0)


def test_equal_seeds_give_equal_bits_in_any_order() -> None:
    first = [SMALL.scan(i) for i in (2, 0, 1)]
    other = LidarScenes(beams=24, columns=512)
    for scan, index in zip(first, (2, 0, 1), strict=True):
        for a, b in zip(scan, other.scan(index), strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


def test_splits_seeds_and_indices_are_independent() -> None:
    other = LidarScenes(beams=24, columns=512, seed=1)
    scans = [SMALL.scan(0), SMALL.scan(1), SMALL.scan(0, "test"), SMALL.scan(1, "test")]
    scans += [other.scan(0), other.scan(1)]
    assert len({scan.points.tobytes() for scan in scans}) == len(scans)
    assert len({scan.boxes.tobytes() for scan in scans}) == len(scans)


def test_dtypes_limits_and_order_of_points() -> None:
    scan = SMALL.scan(3)
    assert [a.dtype.name for a in scan] == ["float32", "int32", "int32"] + [
        "float32", "int32", "int32", "float32"]  # fmt: skip
    assert np.linalg.norm(scan.points[:, :3], axis=1).max() <= 50.001
    assert scan.points[:, 3].min() >= 0
    assert scan.points[:, 3].max() <= 0.99
    assert len(scan.points) == len(scan.label) == len(scan.instance)
    assert np.all((scan.visible >= 0) & (scan.visible <= 1))
    elevation = np.arctan2(scan.points[:, 2], np.hypot(*scan.points[:, :2].T))
    assert np.diff(elevation).max() < 1e-4  # from the first beam down
    same = np.abs(np.diff(elevation)) < 1e-4
    assert np.diff(np.arctan2(scan.points[:, 1], scan.points[:, 0]))[same].max() < 1e-4


def test_noise_and_dropout_do_what_they_say() -> None:
    clean = LidarScenes(beams=24, columns=512, noise=0.0, dropout=0.0).scan(0)
    lossy = LidarScenes(beams=24, columns=512, noise=0.0, dropout=0.4).scan(0)
    assert 0.5 < len(lossy.points) / len(clean.points) < 0.7
    noisy = LidarScenes(beams=24, columns=512, noise=0.05).scan(0)
    still = LidarScenes(beams=24, columns=512, noise=0.0).scan(0)
    error = np.linalg.norm(noisy.points[:, :3], axis=1) - np.linalg.norm(
        still.points[:, :3], axis=1
    )
    assert error.std() == pytest.approx(0.05, rel=0.05)


def test_a_narrow_field_of_view() -> None:
    scan = LidarScenes(beams=24, columns=512, fov=45.0).scan(0)
    assert len(scan.points) > 500
    assert np.abs(np.arctan2(scan.points[:, 1], scan.points[:, 0])).max() < np.pi / 4


@pytest.fixture(scope="module")
def sixty() -> list[Scan]:
    source = LidarScenes()
    return [source.scan(i) for i in range(60)]


def test_shares_of_the_classes(sixty: list[Scan]) -> None:
    """The prototype's shares: within 20 % for common classes, 40 % for the others."""
    count = np.bincount(np.concatenate([scan.label for scan in sixty]), minlength=14)
    share = dict(zip(POINT_CLASSES, count / count.sum(), strict=True))
    common = {"road": 0.350, "sidewalk": 0.175, "terrain": 0.127, "building": 0.104,
              "parking": 0.061, "vegetation": 0.053, "car": 0.052}  # fmt: skip
    rare = {"fence": 0.028, "other-vehicle": 0.025, "trunk": 0.009, "person": 0.008,
            "pole": 0.005, "bicyclist": 0.002, "traffic-sign": 0.0006}  # fmt: skip
    for table, limit in ((common, 0.2), (rare, 0.4)):
        for name, value in table.items():
            assert share[name] == pytest.approx(value, rel=limit), name
    assert set(common) | set(rare) == set(MATERIALS)


def test_numbers_of_points_and_of_objects(sixty: list[Scan]) -> None:
    points = [len(scan.points) for scan in sixty]
    assert 27_000 < min(points) < max(points) < 32_000
    kind = np.concatenate([scan.box_class for scan in sixty])
    seen = np.concatenate([scan.points_in_box for scan in sixty]) >= 5
    per_scene = np.bincount(kind[seen], minlength=5) / len(sixty)
    np.testing.assert_allclose(per_scene, [7.6, 1.1, 0.6, 4.7, 0.8], rtol=0.3)
    visible = np.concatenate([scan.visible for scan in sixty])[kind == 0]
    assert np.mean(visible < 0.36) == pytest.approx(0.25, abs=0.06)
    assert np.mean(visible < 0.11) == pytest.approx(0.10, abs=0.04)
