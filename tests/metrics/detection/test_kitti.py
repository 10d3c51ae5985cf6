"""Flags of the KITTI benchmark, metrics, and labels against themselves."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.metrics.detection import (
    DIFFICULTIES,
    KittiObjects,
    camera_boxes,
    kitti_precision,
)

EASY, MODERATE, HARD = DIFFICULTIES


def scene(n, seed, kinds=("Car",), scores=False):
    """`n` objects far apart; their order is that of the file."""
    rng = np.random.default_rng(seed)
    boxes = np.stack([np.arange(n) * 12.0, rng.uniform(-3, 3, n), np.zeros(n)], -1)
    size = rng.uniform((3.5, 1.5, 1.4), (4.5, 1.9, 1.7), (n, 3))
    boxes = np.concatenate([boxes, size, rng.uniform(-3, 3, (n, 1))], -1)
    corner = np.stack([np.arange(n) * 100.0, np.full(n, 50.0)], -1)
    return KittiObjects(
        kinds=[kinds[i % len(kinds)] for i in range(n)],
        image=np.concatenate([corner, corner + [80, 60]], -1),
        boxes=boxes,
        alpha=rng.uniform(-3, 3, n),
        occluded=None if scores else np.zeros(n, int),
        truncated=None if scores else np.zeros(n),
        scores=rng.uniform(0.1, 0.9, n) if scores else None,
    )


def as_found(truth, seed=0):
    rng = np.random.default_rng(seed)
    keep = np.array([k != "DontCare" for k in truth.kinds])
    return KittiObjects(
        kinds=[k for k in truth.kinds if k != "DontCare"],
        image=truth.image[keep],
        boxes=truth.boxes[keep],
        alpha=truth.alpha[keep],
        scores=rng.uniform(0.1, 0.9, keep.sum()),
    )


@pytest.mark.parametrize("metric", ["2d", "bev", "3d"])
@pytest.mark.parametrize("level", DIFFICULTIES)
def test_labels_against_themselves_reach_100(metric, level):
    truth = [scene(12, seed, ("Car", "Van", "Car", "Cyclist")) for seed in range(8)]
    found = [as_found(frame, i) for i, frame in enumerate(truth)]
    precision = kitti_precision(truth, found, "Car", metric=metric, difficulty=level)
    assert precision.count == 48
    assert precision.r40 == precision.r11 == 100
    if metric == "2d":
        np.testing.assert_allclose(precision.aos, 1)


def flags(truth, found, level=MODERATE, kind="Car"):
    """Counted objects, and whether all detections together have an error."""
    many = scene(60, 9)
    sure = as_found(many)._replace(scores=np.linspace(5, 9, 60))
    precision = kitti_precision([truth, many], [found, sure], kind, metric="2d", difficulty=level)
    return precision.count - 60, precision


def test_difficulty_follows_height_occlusion_and_truncation():
    def counted(level, **changes):
        truth = scene(1, 0)
        height = changes.pop("height", 60.0)
        truth.image[:, 3] = truth.image[:, 1] + height
        truth = truth._replace(**{k: np.array([v]) for k, v in changes.items()})
        return flags(truth, as_found(truth), level)[0] == 1

    rows = {"height": (40, 25, 25), "occluded": (0, 1, 2), "truncated": (0.15, 0.3, 0.5)}
    for name, limits in rows.items():
        over = {"height": -0.5, "occluded": 1, "truncated": 0.01}[name]
        for level, limit in zip(DIFFICULTIES, limits, strict=True):
            assert counted(level, **{name: limit})
            assert not counted(level, **{name: limit + over})


def with_extra(truth, found, kind, shift, score=0.95, height=60.0):
    """The detections and one more, of `kind`, elsewhere in the image."""
    box = truth.image[:1] + [0, shift, 0, shift]
    box[:, 3] = box[:, 1] + height
    return found._replace(
        kinds=[*found.kinds, kind],
        image=np.concatenate([found.image, box]),
        boxes=np.concatenate([found.boxes, truth.boxes[:1] + 500]),
        alpha=np.append(found.alpha, 0.0),
        scores=np.append(found.scores, score),
    )


def test_errors_are_counted_unless_the_rules_excuse_them():
    truth = scene(5, 1)
    found = as_found(truth)._replace(scores=np.full(5, 0.05))
    perfect = 65
    cases = [
        (with_extra(truth, found, "Car", 300), perfect / (perfect + 1)),
        (with_extra(truth, found, "Cyclist", 300), 1.0),
        (with_extra(truth, found, "Car", 300, height=20), 1.0),
        (with_extra(truth, found, "Car", 0), perfect / (perfect + 1)),
    ]
    for dets, expected in cases:
        assert flags(truth, dets)[1].values[-1] == pytest.approx(expected)
    region = truth.image[:1] + [-5, 295, 5, 305]
    excused = truth._replace(
        kinds=[*truth.kinds, "DontCare"],
        image=np.concatenate([truth.image, region]),
        boxes=np.concatenate([truth.boxes, np.full((1, 7), -1000.0)]),
        alpha=np.append(truth.alpha, -10),
        occluded=np.append(truth.occluded, -1),
        truncated=np.append(truth.truncated, -1),
    )
    assert flags(excused, cases[0][0])[1].values[-1] == 1
    # Only the 2-D metric knows such regions.
    many = scene(60, 9)
    sure = as_found(many)._replace(scores=np.linspace(5, 9, 60))
    solid = kitti_precision([excused, many], [cases[0][0], sure], "Car", metric="3d")
    assert solid.values[-1] == pytest.approx(perfect / (perfect + 1))


def test_a_detection_on_a_neighbour_or_a_hard_object_is_no_error():
    for change in ({"kinds": ["Van"]}, {"occluded": np.array([3])}):
        truth = scene(1, 2)
        found = as_found(truth)
        count, precision = flags(truth._replace(**change), found)
        assert count == 0
        assert precision.values[-1] == 1
    truth = scene(1, 2)
    count, precision = flags(
        truth._replace(kinds=["Truck"]), as_found(truth)._replace(scores=[9.5])
    )
    assert count == 0
    assert precision.values[-1] == pytest.approx(60 / 61)


def test_orientation_counts_by_its_cosine():
    truth = [scene(60, 3)]
    found = [as_found(truth[0])]
    found = [found[0]._replace(alpha=found[0].alpha + np.pi / 2)]
    precision = kitti_precision(truth, found, "Car", metric="2d")
    assert precision.r40 == 100
    np.testing.assert_allclose(precision.aos, 0.5)


def test_camera_boxes_have_height_along_their_third_axis():
    location = np.array([[-3.29, 1.46, 12.65], [1.0, 1.5, 20.0]])
    size, turn = np.array([[1.5, 1.78, 3.69], [1.6, 1.7, 4.0]]), np.array([-1.57, 0.4])
    boxes = camera_boxes(location, size, turn)
    assert boxes.shape == (2, 7)
    np.testing.assert_allclose(boxes[0], [-3.29, 12.65, -0.71, 3.69, 1.78, 1.5, 1.57])


def test_wrong_questions_are_refused():
    truth = [scene(2, 0)]
    found = [as_found(truth[0])]
    with pytest.raises(ValueError, match="metric must be one of 2d, bev, 3d; got '4d'"):
        kitti_precision(truth, found, "Car", metric="4d")
    with pytest.raises(ValueError, match="'Tram' is not defined by the benchmark"):
        kitti_precision(truth, found, "Tram")
    with pytest.raises(ValueError, match="same frames; got 1 and 2"):
        kitti_precision(truth, found * 2, "Car")
    with pytest.raises(ValueError, match="detections need scores"):
        kitti_precision(truth, truth, "Car")
