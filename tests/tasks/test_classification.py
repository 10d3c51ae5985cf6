from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.data import DataInfo
from snnjax.losses import cross_entropy
from snnjax.models import ClassifierOutput
from snnjax.nn import Module
from snnjax.runs import fit
from snnjax.tasks import Classification, Task, goal_of

INFO = DataInfo(("a", "b", "c"), 2, 8, 8, 0)
RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
LABEL = jnp.array([0, 1, 2, 1, 1, 0])
WEIGHT = jnp.array([1.0, 1, 1, 1, 0, 1])


def target(task: Classification, label: Any = LABEL, *, train: bool) -> Any:
    return task.prepare({"x": LOGITS, "label": label}, key=None, train=train)[1]


def mean(task: Task, found: Any) -> float:
    sums, counts = task.loss(LOGITS, found)
    return float((WEIGHT * sums).sum() / (WEIGHT * counts).sum())


@pytest.mark.parametrize("train", [True, False])
def test_labels_are_smoothed_in_training_alone(train: bool) -> None:
    task = Classification(label_smoothing=0.1)
    smoothing = 0.1 if train else 0.0
    want = cross_entropy(LOGITS, LABEL, weight=WEIGHT, smoothing=smoothing).sum() / 5
    assert mean(task, target(task, train=train)) == pytest.approx(float(want), rel=1e-6)


def test_soft_labels_are_their_own_target() -> None:
    """As mixup gives them; the accuracy is of their largest share."""
    shares = jax.nn.softmax(jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32))
    task = Classification()
    found = target(task, shares, train=True)
    want = optax.softmax_cross_entropy(LOGITS, shares)
    np.testing.assert_allclose(task.loss(LOGITS, found)[0], want, rtol=1e-6)
    scores = jax.device_get(task.score(LOGITS, found, WEIGHT))
    right = WEIGHT * (LOGITS.argmax(-1) == shares.argmax(-1))
    assert task.summarise(scores, INFO)["accuracy"] == pytest.approx(float(right.sum()) / 5)


def test_class_weights_are_those_of_a_weighted_mean() -> None:
    """As PyTorch's: the sum of weighted losses over the sum of weights, in training alone."""
    task, weights = Classification(class_weights=(1.0, 3.0, 0.5)), np.array([1.0, 3.0, 0.5])
    own = np.asarray(cross_entropy(LOGITS, LABEL))
    w = weights[np.asarray(LABEL)] * np.asarray(WEIGHT)
    assert mean(task, target(task, train=True)) == pytest.approx((w * own).sum() / w.sum(), 1e-6)
    plain = float((WEIGHT * own).sum() / 5)
    assert mean(task, target(task, train=False)) == pytest.approx(plain, rel=1e-6)


def test_scores_of_parts_add_up() -> None:
    """Confusion, accuracy and top-k of two halves are those of the batch; weight 0 counts not."""
    task = Classification(top_k=2)
    halves = [slice(0, 3), slice(3, 6)]
    for train in (False, True):
        sums: dict[str, Any] = {}
        for half in halves:
            part = target(task, LABEL[half], train=train)
            scores = jax.device_get(task.score(LOGITS[half], part, WEIGHT[half]))
            sums = {name: sums.get(name, 0) + value for name, value in scores.items()}
        numbers = task.summarise(sums, INFO)
        order = np.argsort(-np.asarray(LOGITS), axis=1)
        hit = (order == np.asarray(LABEL)[:, None]) * np.asarray(WEIGHT)[:, None]
        assert numbers["accuracy"] == pytest.approx(hit[:, 0].sum() / 5)
        assert numbers["top2"] == pytest.approx(hit[:, :2].sum() / 5)
        assert ("confusion" in sums) == (not train)


def test_an_overflow_of_the_model_is_reported() -> None:
    task = Classification()
    out = ClassifierOutput(LOGITS, jnp.int32(7))
    assert int(task.score(out, target(task, train=True), WEIGHT)["overflow"]) == 7
    assert task.outputs(out) is LOGITS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification(label_smoothing=1.0), r"label_smoothing must be in \[0, 1\)"),
        (lambda: Classification(class_weights=(1.0, -1.0)), "class_weights must be at least 0"),
        (lambda: Classification(class_weights=(0.0,)), "class_weights must be at least 0, and"),
        (lambda: Classification(top_k=-1), "top_k must be an integer of at least 0"),
        (lambda: Classification(top_k=1.5), "top_k must be an integer"),  # pyright: ignore
        (lambda: Classification(temperature=0.0), "temperature must be above 0"),
        (lambda: Classification(teacher_weight=2.0), "teacher_weight must be in"),
        (lambda: Classification(class_weights=(1.0,)).check(INFO, LOGITS), "each of the 3 classes"),
        (lambda: Classification(top_k=4).check(INFO, LOGITS), "top_k must be at most 3"),
        (lambda: Classification().check(INFO, LOGITS[:, :2]), r"output \[B, 3\]; it is \(6, 2\)"),
        (lambda: Classification().check(INFO, LOGITS[None]), "average over time"),
        (lambda: Classification().check(INFO, (LOGITS, LOGITS)), "an array of scores .* a tuple"),
        (lambda: Classification().prepare({"x": 1}, key=None, train=True), "needs a `label`"),
        (
            lambda: target(Classification(teacher="runs/t"), train=True),
            "teacher runs/t was not loaded",
        ),
    ],
)
def test_the_impossible_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class Line(Module):
    def __init__(self, rngs: nnx.Rngs, bias: float = 0.0):
        self.layer = nnx.Linear(2, 2, rngs=rngs)
        self.layer.bias[...] = jnp.array([bias, -bias])

    def forward(self, run: Any, x: Any) -> Any:
        return run(self.layer, x[None])[0]


def test_the_scores_of_a_teacher_are_learned(tmp_path: Any, monkeypatch: Any) -> None:
    """Against the equation; and in a training whose labels are noise the teacher is followed."""
    teacher = Line(nnx.Rngs(1))
    teacher.layer.kernel[...] = jnp.array([[3.0, -3.0], [0.0, 0.0]])
    task = Classification(teacher="its/run", temperature=2.0, teacher_weight=0.75)
    asked: list[str] = []
    taught = task.bind(lambda folder: asked.append(folder) or teacher)
    x = jnp.asarray(RNG.normal(size=(6, 2)), jnp.float32)
    _, found = taught.prepare({"x": x, "label": LABEL % 2}, key=None, train=True)
    logits = LOGITS[:, :2]
    soft = jax.nn.softmax(teacher(None, x)[1] / 2)
    want = 0.25 * optax.softmax_cross_entropy_with_integer_labels(logits, LABEL % 2)
    want += 0.75 * 4 * optax.softmax_cross_entropy(logits / 2, soft)
    np.testing.assert_allclose(taught.loss(logits, found)[0], want, rtol=1e-5)
    assert asked == ["its/run"]
    assert taught.prepare({"x": x, "label": LABEL}, key=None, train=False)[1].teacher is None
    monkeypatch.setattr("snnjax.runs.fitting.load_model", lambda folder: teacher)
    points = RNG.normal(size=(64, 2)).astype(np.float32)
    noise = RNG.integers(0, 2, 64)
    options: dict[str, Any] = {"epochs": 20, "batch_size": 16, "learning_rate": 0.05}
    learned = fit(
        Line(nnx.Rngs(0)), (points, noise), task, mesh="data=1", progress=False, **options
    )
    side = np.asarray(learned.model(None, jnp.asarray(points))[1]).argmax(-1)
    assert np.mean(side == (points[:, 0] < 0)) > 0.9


def test_a_goal_must_name_a_score() -> None:
    class Wrong(Classification):
        goal = "max miou"

    with pytest.raises(ValueError, match=r"'max miou' of Wrong names no score .* gives accuracy"):
        fit(Line(nnx.Rngs(0)), (np.ones((8, 2)), [0, 1] * 4), Wrong(), epochs=1, batch_size=8,
            mesh="data=1", progress=False)  # fmt: skip
    for goal in ("accuracy", "most accuracy", ""):
        Wrong.goal = goal
        with pytest.raises(ValueError, match="must be 'max NAME' or 'min NAME'"):
            goal_of(Wrong())
