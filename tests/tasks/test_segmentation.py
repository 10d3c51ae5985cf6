"""The segmentation task: scores by hand, bad labels, a run with turned copies from start to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import DataInfo
from snnjax.data.lidar import LidarAugment, LidarGrid, LidarSource, raw_numbers
from snnjax.experiment import Experiment, OptimiserConfig
from snnjax.losses import lovasz_softmax, masked_cross_entropy
from snnjax.metrics import mean_iou
from snnjax.models import E3DSNNSegmentationConfig, SegmentationOutput
from snnjax.runs import evaluate, predict, train
from snnjax.tasks import Rotations, Segmentation

INFO = DataInfo(("road", "car", "person"), 4, 4, 2, 0)
LABEL = np.array([[0, 1, -1, 2], [0, 0, 1, -1]])
LOGITS = np.random.default_rng(0).normal(0, 1, (2, 4, 3)).astype(np.float32)
VOXEL = np.array([[0, 0, 1, 3, -1], [2, 1, 0, 0, -1]])
POINTS = np.array([[0, 0, 1, -1, 2], [1, 0, 0, 2, -1]])
ONES = jnp.ones(2)


def prepared(task, train=False):
    batch = {"x": 0, "label": LABEL, "point_voxel": VOXEL, "point_label": POINTS}
    return task.prepare({k: jnp.asarray(v) for k, v in batch.items()}, key=None, train=train)


def output(logits=LOGITS, overflow=0):
    return SegmentationOutput(jnp.asarray(logits), jnp.asarray(overflow))


def test_the_model_gets_no_labels():
    inputs, target = prepared(Segmentation())
    assert list(inputs) == ["x"]
    assert not target.train
    with pytest.raises(ValueError, match="needs a `label`"):
        Segmentation().prepare({"x": 0}, key=None, train=True)


def test_training_weighs_classes_and_adds_lovasz():
    weights = (1.0, 2.0, 4.0)
    task = Segmentation(class_weights=weights, lovasz=0.5)
    sums, counts = task.loss(output(), prepared(task, train=True)[1])
    ce, count = masked_cross_entropy(LOGITS, LABEL, jnp.array(weights))
    share = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(counts, [7, 4])
    np.testing.assert_allclose(sums, ce + 0.5 * count * lovasz_softmax(share, LABEL), rtol=1e-5)
    plain = task.loss(output(), prepared(task)[1])
    np.testing.assert_allclose(plain, masked_cross_entropy(LOGITS, LABEL), rtol=1e-6)


def test_points_take_the_class_of_their_row_and_are_missed_without_one():
    task = Segmentation()
    sums = task.score(output(), prepared(task)[1], ONES)
    found = LOGITS.argmax(-1)
    want = np.zeros((3, 4), int)
    for b, p in np.ndindex(VOXEL.shape):
        if POINTS[b, p] >= 0:
            want[POINTS[b, p], found[b, VOXEL[b, p]] if VOXEL[b, p] >= 0 else 3] += 1
    np.testing.assert_array_equal(sums["points"], want)
    numbers = task.summarise(sums, INFO)
    assert numbers["miou"] == mean_iou(want)
    assert numbers["accuracy"] == np.trace(want) / want.sum()
    assert numbers["voxel_miou"] == mean_iou(np.asarray(sums["voxels"]))
    assert set(Segmentation(absent="zero").summarise(sums, INFO)) == set(numbers)


def test_rows_that_fill_a_batch_do_not_count():
    task = Segmentation()
    target = prepared(task)[1]
    only = task.score(output(), target, jnp.array([1.0, 0.0]))
    rest = task.score(output(), target, jnp.array([0.0, 1.0]))
    both = task.score(output(), target, ONES)
    for name in ("points", "voxels"):
        np.testing.assert_array_equal(only[name] + rest[name], both[name])
        assert np.asarray(only[name]).sum() < np.asarray(both[name]).sum()


def test_perfect_scores():
    task = Segmentation()
    target = prepared(task)[1]
    sure = 9 * np.eye(3, dtype=np.float32)[np.maximum(LABEL, 0)]
    rows = np.take_along_axis(LABEL, np.maximum(VOXEL, 0), 1)
    target = target._replace(point_label=jnp.asarray(np.where(VOXEL < 0, -1, rows)))
    numbers = task.summarise(task.score(output(sure), target, ONES), INFO)
    assert numbers["miou"] == numbers["accuracy"] == numbers["voxel_miou"] == 1


def test_the_answer_lists_shares_of_voxels():
    logits = np.concatenate([LOGITS[0], np.zeros((3, 3), np.float32)])  # rows without a voxel
    answer = Segmentation().answer(logits, INFO)
    found = LOGITS[0].argmax(-1)
    assert dict(answer) == {
        INFO.class_names[k]: (found == k).mean() for k in range(3) if (found == k).any()
    }


def test_models_and_labels_are_checked():
    task = Segmentation(class_weights=(1.0, 1.0, 1.0))
    task.check(INFO, output())
    with pytest.raises(ValueError, match=r"scores \[B, N, 3\]; they are \(2, 4, 2\)"):
        task.check(INFO, output(LOGITS[..., :2]))
    with pytest.raises(ValueError, match="SegmentationOutput"):
        task.check(INFO, LOGITS)
    with pytest.raises(ValueError, match="one entry for each of the 3 classes"):
        replace(task, class_weights=(1.0,)).check(INFO, output())
    with pytest.raises(ValueError, match=r"holds 3; classes are 0\.\.2"):
        task.check_batch({"label": LABEL, "point_label": POINTS + 1}, INFO)
    task.check_batch({"label": LABEL, "point_label": POINTS}, INFO)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"class_weights": (-1.0, 2.0)}, "at least 0"),
        ({"class_weights": (0.0, 0.0)}, "at least 0"),
        ({"lovasz": -1.0}, "lovasz must be"),
        ({"absent": "one"}, "absent must be"),
    ],
)
def test_impossible_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        Segmentation(**options)


def packed(folder: Path, name: str, scans: int, seed: int) -> None:
    """Scans whose class follows from the height: below 0 road, above 1 m building, else car."""
    rng = np.random.default_rng(seed)
    place = rng.integers(-40, 40, (scans * 120, 3)).astype(np.int16)
    place[:, 2] //= 2
    label = np.where(place[:, 2] < 0, 9, np.where(place[:, 2] > 10, 13, 1)).astype(np.uint8)
    np.savez(
        folder / name,
        **dict(zip("xyz", place.T, strict=True)),
        reflectance=rng.integers(0, 256, len(place)).astype(np.uint8),
        label=label,
        offset=np.arange(scans + 1) * 120,
    )


def test_a_run_learns_and_is_evaluated_again(tmp_path: Path):
    packed(tmp_path, "train.npz", 8, 0)
    packed(tmp_path, "val.npz", 3, 1)  # the last batch is filled up
    grid = LidarGrid((-4.0, -4.0, -2.4), (4.0, 4.0, 2.4), (0.8, 0.8, 0.4))
    experiment = Experiment(
        name="segmentation",
        data=LidarSource.packed(
            str(tmp_path),
            grid=grid,
            points=128,
            voxels=128,
            augment=LidarAugment(180.0),
            feature_units=(4.0, 4.0, 1.0, 1.0),
        ),
        model=E3DSNNSegmentationConfig(4, (6,), decoder=(6,), bn_decay=0.8),
        task=Segmentation(lovasz=1.0),
        evaluators=(Rotations((0.0, 90.0)),),
        optimiser=OptimiserConfig(name="adamw", learning_rate=2e-2),
        batch_size=2,
        epochs=24,
        evaluate_every=24,
        run_root=str(tmp_path / "runs"),
        mesh="data=1",
    )
    summary = train(experiment, progress=False)
    assert summary["test_miou"] > 0.6  # chance is below 0.2
    assert summary["test_classes"] == 3
    assert summary["test_overflow"] == 0
    assert 0.6 < summary["rotated_miou"] <= 1
    assert summary["macs"] > 0
    assert summary["acs"] > 0
    again = evaluate(summary["run_folder"])
    assert again["test_miou"] == summary["test_miou"]
    assert again["rotated_miou"] == summary["rotated_miou"]
    report = (Path(summary["run_folder"]) / "report.html").read_text()
    assert "Intersection over union" in report
    check_prediction(tmp_path, summary["run_folder"])


def check_prediction(folder: Path, run: str):
    """A raw scan gets a file of labels, one for each point, and a picture."""
    rng = np.random.default_rng(2)
    points = rng.uniform((-5, -5, -2, 0), (5, 5, 2, 1), (50, 4)).astype("<f4")  # some outside
    points.tofile(folder / "000007.bin")
    answer = predict(run, folder / "000007.bin", out=folder / "out")
    assert sum(share for _, share in answer) == pytest.approx(1)
    raw = np.fromfile(folder / "out" / "000007.label", "<u4")
    names = [name for name, _ in answer]
    assert len(raw) == len(points)
    assert set(raw) == set(raw_numbers(names))  # every point has a class, also outside the grid
    assert (folder / "out" / "000007.png").stat().st_size > 10_000


def test_rotations_of_a_symmetric_scan_agree():
    """Quarter turns move the voxels of a square grid onto each other, at the same features."""
    source = LidarSource.packed(
        grid=LidarGrid((-4.0, -4.0, -2.4), (4.0, 4.0, 2.4), (0.4, 0.4, 0.4)), points=64, voxels=64
    )
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-2, 2, (40, 3)), np.full((40, 1), 0.5)], 1)
    sample = {"points": points.astype(np.float32), "point_label": rng.integers(0, 3, 40)}
    plain = source.collate([sample], None)
    turned = source.turned(90.0).collate([sample], None)
    z, y, x = plain["coords"][0, : plain["n"][0]].T
    moved = {tuple(c) for c in np.stack([z, x, 19 - y], 1)}  # 20 voxels a side
    assert moved == {tuple(c) for c in turned["coords"][0, : turned["n"][0]]}
    np.testing.assert_array_equal(plain["point_label"], turned["point_label"])


def test_sources_without_turns_are_refused():
    class Session:
        source = object()

    class Trained:
        session = Session()

    with pytest.raises(ValueError, match=r"turned\(degrees\)"):
        Rotations().run(Trained(), None)
    with pytest.raises(ValueError, match="angles must be finite"):
        Rotations((np.inf,))
