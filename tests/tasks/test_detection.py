"""The detection task: losses by hand, perfect maps, bad labels, a run from start to evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.boxes import (
    AnchorClass,
    aligned_iou,
    anchor_grid,
    anchor_labels,
    direction_bin,
    encode_boxes,
)
from snnjax.data import DataInfo, SourceBase
from snnjax.data.lidar import Calibration
from snnjax.data.memory import ArrayDataset
from snnjax.experiment import Experiment
from snnjax.models import AnchorMaps
from snnjax.nn import Module
from snnjax.runs import evaluate, train
from snnjax.tasks import BoxPrecision, Detection

CAR = AnchorClass((3.9, 1.6, 1.56), -1.78, 0.6, 0.45)
SMALL = AnchorClass((0.8, 0.6, 1.73), -0.6, 0.5, 0.35, 0.5)
H, W, M = 5, 6, 3
TASK = Detection(anchors=(CAR, SMALL), x_range=(0.0, 20.0), y_range=(-8.0, 8.0), top=40, keep=12)
INFO = DataInfo(("Car", "Pedestrian"), 4, 16, 16, 0)
ANCHORS = anchor_grid(TASK.anchors, (H, W), TASK.x_range, TASK.y_range)
LABEL = np.tile(anchor_labels(TASK.anchors), H * W)


def scenes(n, seed=0):
    """Boxes [n, M, 7] near anchors, far from each other; class -1 in padded rows."""
    rng = np.random.default_rng(seed)
    boxes, kind = np.zeros((n, M, 7), np.float32), np.full((n, M), -1, np.int32)
    for b in range(n):
        cells = rng.permutation(H * W)[: rng.integers(1, M + 1)]
        for m, cell in enumerate(cells):
            anchor = ANCHORS.reshape(H * W, 4, 7)[cell, rng.integers(4)]
            kind[b, m] = int(anchor[3] < 2)
            boxes[b, m] = anchor + rng.uniform(-0.05, 0.05, 7)
            boxes[b, m, 6] += rng.choice([0, np.pi])
    return boxes, kind


def perfect(boxes, kind, sure=8.0):
    """Maps in which every positive anchor has the code and the direction of its box."""
    n = len(boxes)
    scores = np.full((n, H * W * 4, 2), -sure, np.float32)
    codes, turns = np.zeros((n, H * W * 4, 7), np.float32), np.zeros((n, H * W * 4, 2), np.float32)
    flat = ANCHORS.reshape(-1, 7)
    for b in range(n):
        for m in np.flatnonzero(kind[b] >= 0):
            own = kind[b, m] == LABEL
            iou = np.where(own, aligned_iou(flat, boxes[b, m]), 0)
            for a in np.flatnonzero(iou >= min(0.45, iou.max())):
                scores[b, a, kind[b, m]] = sure + 0.01 * m
                codes[b, a] = encode_boxes(boxes[b, m], flat[a])
                turns[b, a, direction_bin(boxes[b, m, 6])] = sure
    return AnchorMaps(*(jnp.asarray(part.reshape(n, H, W, -1)) for part in (scores, codes, turns)))


def batch_of(boxes, kind, **more):
    return {
        "x": jnp.zeros(len(boxes)),
        "boxes": jnp.asarray(boxes),
        "box_class": jnp.asarray(kind),
        **more,
    }


@pytest.fixture(scope="module")
def run_task():
    def run(out, batch, weight, train):
        _, target = TASK.prepare(batch, key=None, train=train)
        return TASK.loss(out, target), TASK.score(out, target, weight), TASK.outputs(out)

    return jax.jit(run, static_argnames="train")


def test_perfect_maps_find_everything(run_task):
    boxes, kind = scenes(20, 1)
    out = perfect(boxes, kind)
    (loss, count), sums, found = run_task(out, batch_of(boxes, kind), jnp.ones(20), train=False)
    assert count.tolist() == [1] * 20
    assert 0 <= float(loss.max()) < 1e-2
    numbers = TASK.summarise(jax.device_get(sums), INFO)
    assert numbers["ap"] == numbers["ap_bev"] == 100
    assert numbers["recall"] == 1
    assert sums["objects"].tolist() == [(kind == 0).sum(), (kind == 1).sum()]
    for b in range(20):
        n = int((kind[b] >= 0).sum())
        order = np.argsort(-np.arange(n))  # the last box is the surest
        np.testing.assert_allclose(found.boxes[b, :n, :6], boxes[b, order, :6], atol=1e-4)
        turn = np.asarray(found.boxes[b, :n, 6] - boxes[b, order, 6])
        np.testing.assert_allclose(np.cos(turn), 1, atol=1e-4)
        assert found.label[b].tolist() == kind[b, order].tolist() + [-1] * (12 - n)
    alone = replace(TASK, by_class=True)
    apart = jax.jit(alone.outputs)(jax.tree.map(lambda a: a[:2], out._replace(overflow=None)))
    np.testing.assert_array_equal(apart.label, found.label[:2])
    np.testing.assert_allclose(apart.boxes, found.boxes[:2], atol=1e-5)
    table = TASK.pictures(jax.device_get(sums), INFO)[0]
    assert [row[2:] for row in table.rows] == [("100.0", "100.0")] * 2
    line, score = TASK.answer(jax.tree.map(lambda a: np.asarray(a[0]), found), INFO)[0]
    assert line.startswith(INFO.class_names[int(found.label[0, 0])] + " at (")
    assert score == pytest.approx(1, abs=1e-3)


def slow_loss(out, boxes, kind):
    """The loss of one sample as loops over anchors in float64."""
    scores, codes, turns = (
        np.asarray(part, float).reshape(-1, width)
        for part, width in zip(out, (2, 7, 2), strict=True)
    )
    flat = ANCHORS.reshape(-1, 7).astype(float)
    iou = np.stack(
        [np.where(kind[m] == LABEL, aligned_iou(flat, boxes[m]), -1) for m in range(M)], 1
    )
    iou[:, kind < 0] = -1
    focal = code = turn = positives = 0
    for a in range(len(flat)):
        limits = TASK.anchors[LABEL[a]]
        forced = any(iou[a, m] == iou[:, m].max() > 0 for m in range(M))
        positive = iou[a].max() >= limits.positive or forced
        if not positive and iou[a].max() >= limits.negative:
            continue
        for k in range(2):
            p = 1 / (1 + np.exp(-scores[a, k]))
            if positive and LABEL[a] == k:
                focal -= 0.25 * (1 - p) ** 2 * np.log(p)
            else:
                focal -= 0.75 * p**2 * np.log(1 - p)
        if positive:
            positives += 1
            box = boxes[iou[a].argmax()].astype(float)
            d = codes[a] - encode_boxes(box, flat[a])
            d[6] = np.sin(d[6])
            code += sum(4.5 * e * e if abs(e) < 1 / 9 else abs(e) - 1 / 18 for e in d)
            logits = turns[a]
            turn += np.log(np.exp(logits).sum()) - logits[direction_bin(np.array(box[6]))]
    return (focal + 2 * code + 0.2 * turn) / max(positives, 1)


def random_maps(n, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    return AnchorMaps(
        *(jax.random.normal(k, (n, H, W, c)) for k, c in zip(keys, (8, 28, 8), strict=True))
    )


def test_loss_by_hand_and_without_boxes(run_task):
    boxes, kind = scenes(20, 2)
    kind[3] = -1
    boxes[kind < 0] = np.nan  # padded rows are not read
    out = random_maps(20)
    batch = batch_of(boxes, kind)
    (loss, _), _, _ = run_task(out, batch, jnp.ones(20), train=False)
    rows = [jax.tree.map(lambda a, b=b: a[b], tuple(out[:3])) for b in range(20)]
    expected = [slow_loss(row, boxes[b], kind[b]) for b, row in enumerate(rows)]
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    gradient = jax.jit(
        jax.grad(lambda out: TASK.loss(out, TASK.prepare(batch, key=None, train=True)[1])[0].sum())
    )(out._replace(overflow=0.0))
    for part in gradient[:3]:
        assert bool(jnp.isfinite(part).all())
        assert bool((part != 0).any())


def test_levels_and_neighbours_are_excused(run_task):
    """A missed hard object and a detection on a van change nothing."""
    boxes, kind = scenes(20, 3)
    out = perfect(boxes, kind)
    level = np.where(np.arange(M) == 1, 3, 0) * np.ones((20, 1), int)
    given = batch_of(boxes, kind, box_level=jnp.asarray(level), box_ignore=jnp.full((20, M), -1))
    _, sums, _ = run_task(out, given, jnp.ones(20), train=False)
    assert sums["objects"].sum() == ((kind >= 0) & (level < 2)).sum()
    assert float(sums["wrong_3d"].sum()) == 0
    vans = np.where(kind == 0, -1, kind)
    given = batch_of(
        boxes, vans, box_level=jnp.zeros((20, M), int), box_ignore=jnp.where(kind == 0, 0, -1)
    )
    _, sums, _ = run_task(out, given, jnp.ones(20), train=False)
    assert sums["objects"].tolist() == [0, (kind == 1).sum()]
    assert float(sums["wrong_3d"].sum()) == 0
    unlabelled = given | {"box_ignore": jnp.full((20, M), -1)}
    _, sums, _ = run_task(out, unlabelled, jnp.ones(20), train=False)
    assert float(sums["wrong_3d"][0].sum()) == (kind == 0).sum()
    _, sums, _ = run_task(out, unlabelled, jnp.zeros(20), train=False)
    assert not any(np.asarray(value).any() for value in sums.values())


def test_broken_scores_are_no_detections(run_task):
    boxes, kind = scenes(20, 4)
    out = random_maps(20)._replace(scores=jnp.full((20, H, W, 8), jnp.nan, jnp.float32))
    _, _, found = run_task(out, batch_of(boxes, kind), jnp.ones(20), train=False)
    assert (np.asarray(found.label) == -1).all()


def test_labels_are_checked():
    boxes, kind = scenes(4)
    TASK.check_batch({"boxes": boxes, "box_class": kind}, INFO)
    for change, told in (((0, 0, 3), 0.0), ((0, 0, 0), np.nan)):
        bad = boxes.copy()
        bad[change] = told
        with pytest.raises(ValueError, match="row 0 of sample 0 of the batch"):
            TASK.check_batch({"boxes": bad, "box_class": kind}, INFO)
    with pytest.raises(ValueError, match=r"class in 0\.\.1 or -1.*has class 2"):
        TASK.check_batch({"boxes": boxes, "box_class": np.where(kind == 0, 2, kind)}, INFO)
    with pytest.raises(ValueError, match="detection needs box_class, which"):
        TASK.prepare({"x": 0, "boxes": 0}, key=None, train=True)


def test_models_are_checked():
    TASK.check(INFO, random_maps(1))
    with pytest.raises(ValueError, match=r"must be \[8, 28, 8\]; got \[8, 28, 4\]"):
        TASK.check(INFO, random_maps(1)._replace(directions=jnp.zeros((1, H, W, 4))))
    with pytest.raises(ValueError, match=r"one entry for each of the 2 classes.*got 1"):
        replace(TASK, anchors=(CAR,)).check(INFO, random_maps(1))
    with pytest.raises(ValueError, match=r"returns snnjax.models.AnchorMaps; got tuple"):
        TASK.check(INFO, (1, 2))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"anchors": ()}, "at least one class"),
        ({"x_range": (1.0, 0.0)}, "x_range must rise"),
        ({"least": 1.5}, r"task.least must be in \[0, 1\)"),
        ({"keep": 50}, "at most task.top"),
    ],
)
def test_impossible_options_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        replace(TASK, **change)


@dataclass(frozen=True)
class Maps(SourceBase):
    """Scenes whose input is their boxes, drawn as perfect maps with noise."""

    def open(self, split: str) -> ArrayDataset:
        boxes, kind = scenes(16, len(split))
        maps = np.concatenate([np.asarray(p) for p in perfect(boxes, kind)[:3]], -1)
        return ArrayDataset({"x": maps, "boxes": boxes, "box_class": kind}, INFO.class_names)


class Scaled(Module):
    """The maps of the input times a number that is learned."""

    def __init__(self, rngs: nnx.Rngs):
        self.scale = nnx.Param(jnp.ones(44))

    def forward(self, run: Any, x: Any) -> AnchorMaps:
        return AnchorMaps(*jnp.split(x * self.scale[...], [8, 36], axis=-1))


@dataclass(frozen=True)
class ScaledConfig:
    def build(self, info: Any, *, rngs: nnx.Rngs) -> Scaled:
        return Scaled(rngs)


def test_a_run_reports_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnjax.viz.write_report", lambda folder, *_, **__: folder)
    experiment = Experiment(
        name="boxes", data=Maps(), model=ScaledConfig(), task=TASK, batch_size=8, steps=2,
        mesh="data=2", run_root=str(tmp_path), evaluators=(BoxPrecision(),),
    )  # fmt: skip
    summary = train(experiment, progress=False)
    assert summary["test_ap"] == 100
    _, kind = scenes(16, len("test"))
    for k, name in enumerate(("car_3d70", "pedestrian_bev50")):
        count = int((kind == k).sum())
        assert summary[f"{name.split('_')[0]}_easy_objects"] == count
        assert 5 < count < 41
        for level in ("easy", "moderate", "hard"):
            assert summary[f"{name}_{level}_r40"] == pytest.approx(100 * (count - 1) / 40)
    again = evaluate(summary["run_folder"])
    assert again["test_ap"] == 100
    assert again["car_3d70_hard_r11"] == summary["car_3d70_hard_r11"]


def test_files_and_picture_of_a_prediction(run_task):
    """A result file needs a calibration; the JSON file does not."""
    boxes, kind = scenes(1)
    found = jax.tree.map(lambda a: np.asarray(a)[0], TASK.outputs(perfect(boxes, kind)))
    sample = {"points": np.zeros((3, 4), np.float32), "boxes": boxes[0], "box_class": kind[0]}
    files = TASK.files(found, sample, INFO)
    rows = json.loads(files[".json"])
    assert len(rows) == (kind[0] >= 0).sum() == (found.label >= 0).sum()
    assert {row["class"] for row in rows} == {INFO.class_names[k] for k in kind[0] if k >= 0}
    np.testing.assert_allclose([row["box"] for row in rows], found.boxes[found.label >= 0])
    calibration = Calibration(np.eye(3, 4), np.eye(4))
    camera = {"calibration": calibration, "image_size": np.array([1242, 375])}
    text = TASK.files(found, sample | camera, INFO)[".txt"].decode()
    assert len(text.splitlines()) == len(rows)
    assert all(len(line.split()) == 16 for line in text.splitlines())
    picture = TASK.draw(found, sample, INFO)
    assert picture is not None
    assert len(picture.figure.axes) == 2
    assert TASK.draw(found, {}, INFO) is None


def test_samples_that_fill_a_batch_are_not_bad_labels():
    boxes, kind = scenes(3)
    boxes[2], kind[2] = 0, 0  # as the pipeline fills
    TASK.check_batch({"boxes": boxes, "box_class": kind}, INFO)
    boxes[1, 0, 3], kind[1, 0] = 0, 0
    with pytest.raises(ValueError, match="row 0 of sample 1"):
        TASK.check_batch({"boxes": boxes, "box_class": kind}, INFO)
