"""Classification of clouds, sequences, images: anything with a class name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data import Batch, DataInfo
from snnjax.losses import cross_entropy
from snnjax.models import ClassifierOutput
from snnjax.nn import inputs_of
from snnjax.tasks.class_weights import check_class_weights, check_weight_count
from snnjax.tasks.task import OVERFLOW, Sums, Task
from snnjax.viz import Picture, Table, confusion_figure, worst_confusions

EVERY = 64
"""Number of classes from which the report omits the confusion matrix as unreadable."""


class Target(NamedTuple):
    """What the output of a batch is compared with.

    Attributes:
      label: int [B], or the shares of the classes, float [B, K].
      teacher: scores of the teacher, [B, K]; None without one and in evaluation.
      train: whether labels are smoothed, and whether only the accuracy is scored.
    """

    label: Array
    teacher: Array | None
    train: bool

    @property
    def hard(self) -> Array:
        """The class of each sample, int [B]."""
        return self.label if self.label.ndim == 1 else self.label.argmax(-1)


@dataclass(frozen=True)
class Classification(Task):
    """Cross-entropy with hard or soft labels, and optionally with the scores of a teacher.

        loss = (1 - a) * CE(logits, labels) + a * t^2 * CE(logits / t, softmax(teacher / t))

    with a = `teacher_weight`, t = `temperature`. In evaluation labels are not smoothed, classes not
    weighted and there is no teacher.

    Source of the teacher's term: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
    network", 2015 (arXiv 1503.02531).
    """

    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes, in training."""
    class_weights: tuple[float, ...] = ()
    """How much a sample of each class counts in the training loss; empty counts all alike."""
    top_k: int = 0
    """Also report how often the label is among the `top_k` best scores; 0 disables this."""
    teacher: str | None = None
    """Run folder of a model on the same data whose scores are learned too."""
    temperature: float = 2.0
    """Temperature of both scores where they are compared; ignored without a teacher."""
    teacher_weight: float = 0.5
    """Weight of the teacher's term; ignored without a teacher."""

    goal = "max accuracy"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"task.label_smoothing must be in [0, 1); got {self.label_smoothing!r}."
            )
        check_class_weights(self.class_weights)
        if not isinstance(self.top_k, int) or self.top_k < 0:
            raise ValueError(f"task.top_k must be an integer of at least 0; got {self.top_k!r}.")
        if not self.temperature > 0:
            raise ValueError(f"task.temperature must be above 0; got {self.temperature}.")
        if not 0 <= self.teacher_weight <= 1:
            raise ValueError(f"task.teacher_weight must be in [0, 1]; got {self.teacher_weight}.")

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Target]:
        inputs, label = super().prepare(batch, key=key, train=train)
        if label is None or ("label" not in batch and label.ndim != 2):  # shares of the classes
            raise ValueError(
                "classification needs a `label`, which the samples of this source do not hold; "
                f"they hold {', '.join(batch)}."
            )
        return inputs, Target(label, self._teacher_scores(inputs) if train else None, train)

    def _teacher_scores(self, inputs: dict[str, Any]) -> Array | None:
        if self.teacher is not None:
            raise ValueError(
                f"the teacher {self.teacher} was not loaded; give the task to `train` or `fit`, or "
                "call task.bind(snnjax.runs.load_model) first."
            )
        return None

    def bind(self, load: Callable[[str], Any]) -> Task:
        if self.teacher is None:
            return self
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(Classification)}
        return _Taught(**given, model=load(self.teacher))

    def loss(self, out: Any, target: Target) -> tuple[Array, Array]:
        logits = logits_of(out)
        smoothing = self.label_smoothing if target.train else 0.0
        sums = cross_entropy(logits, target.label, smoothing=smoothing)
        counts = jnp.ones_like(sums)
        if target.teacher is not None:
            sums = (1 - self.teacher_weight) * sums
            sums += self.teacher_weight * self._distillation(logits, target.teacher)
        if self.class_weights and target.train:
            counts = self._class_weight(target.label).astype(sums.dtype)
            sums = counts * sums
        return sums, counts

    def _distillation(self, logits: Array, teacher: Array) -> Array:
        t = self.temperature
        shares = jax.nn.softmax(teacher.astype(jnp.float32) / t)
        return t**2 * cross_entropy(logits / t, jax.lax.stop_gradient(shares))

    def _class_weight(self, label: Array) -> Array:
        weights = jnp.asarray(self.class_weights)
        return weights[label] if label.ndim == 1 else label @ weights

    def score(self, out: Any, target: Target, weight: Array) -> Sums:
        logits, label = logits_of(out), target.hard
        predicted = logits.argmax(-1)
        overflow = out.overflow if isinstance(out, ClassifierOutput) else 0
        sums = {OVERFLOW: jnp.asarray(overflow, jnp.int32).sum()}
        if self.top_k:
            own = jnp.take_along_axis(logits, label[:, None], axis=-1)
            sums["top"] = jnp.sum(weight * ((logits > own).sum(-1) < self.top_k))
        if target.train:
            sums |= {"correct": jnp.sum(weight * (predicted == label)), "samples": weight.sum()}
            return sums
        classes = jnp.arange(logits.shape[-1])
        true, found = (classes == column[:, None] for column in (label, predicted))
        sums["confusion"] = jnp.einsum(
            "b,bi,bj->ij", (weight > 0).astype(jnp.int32), true.astype(jnp.int32), found
        )
        return sums

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        if "confusion" in sums:
            right, samples = float(np.trace(sums["confusion"])), float(sums["confusion"].sum())
        else:
            right, samples = float(sums["correct"]), float(sums["samples"])
        known = {"accuracy": right / max(samples, 1.0)}
        if self.top_k:
            known[f"top{self.top_k}"] = float(sums["top"]) / max(samples, 1.0)
        return known

    def outputs(self, out: Any) -> Array:
        return logits_of(out)

    def check(self, info: DataInfo, out: Any) -> None:
        classes, scores = len(info.class_names), logits_of(out)
        if not hasattr(scores, "shape"):
            raise ValueError(
                f"classification needs a model whose output is an array of scores [B, {classes}], "
                f"or a snnjax.models.ClassifierOutput; it is a {type(scores).__name__}. Return the "
                "scores alone, or write a task that takes them out, as in docs/extending.md."
            )
        shape = scores.shape
        if len(shape) != 2 or shape[-1] != classes:
            raise ValueError(
                f"classification of {classes} classes needs a model with an output [B, {classes}]; "
                f"it is {tuple(shape)}. Build the model with num_classes={classes}, and average "
                "over time where it has a time axis. Arrays [N, T, ...] need "
                "from_arrays(..., sequences=True)."
            )
        check_weight_count(self.class_weights, classes)
        if self.top_k > classes:
            raise ValueError(f"task.top_k must be at most {classes} classes; got {self.top_k}.")

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        label = batch.get("label")
        if label is None or label.dtype.kind not in "iu":
            return
        classes = len(info.class_names)
        wrong = (label < 0) | (label >= classes)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            known = len(batch["index"]) == len(label)  # of several processes each has its own rows
            sample = f"sample {int(batch['index'][row])}" if known else "a sample"
            raise ValueError(
                f"labels must be in 0..{classes - 1}; {sample} has {int(label[row])}. Correct the "
                "data, or its class names."
            )

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        confusion, names = np.asarray(sums["confusion"]), info.class_names
        worst = tuple((t, p, str(n)) for t, p, n in worst_confusions(confusion, names))
        found: tuple[Picture | Table, ...] = ()
        if len(names) < EVERY:
            caption = "Confusion matrix on the test split"
            found = (Picture("confusion", caption, confusion_figure(confusion, names)),)
        if worst:
            found += (Table("Most frequent mistakes", ("true", "predicted", "samples"), worst),)
        return found

    def notes(self) -> tuple[str, ...]:
        changed = [
            text
            for text, used in (
                ("smoothed labels", self.label_smoothing > 0),
                ("weighted classes", bool(self.class_weights)),
                ("the scores of a teacher", self.teacher is not None),
            )
            if used
        ]
        if not changed:
            return ()
        return (
            f"The training loss is computed with {' and '.join(changed)}, the test loss with plain "
            "labels: the two cannot be compared.",
        )

    def answer(self, outputs: Any, info: DataInfo) -> list[tuple[str, float]]:
        """Probabilities by class, the most probable first."""
        shares = np.asarray(jax.nn.softmax(jnp.asarray(outputs, jnp.float32)))
        order = np.argsort(-shares, kind="stable")
        return [(info.class_names[k], float(shares[k])) for k in order]


@dataclass(frozen=True)
class _Taught(Classification):
    """Classification whose teacher is loaded; only inside a training."""

    model: Any = dataclasses.field(default=None, repr=False, compare=False)

    def _teacher_scores(self, inputs: dict[str, Any]) -> Array:
        named = {name: value for name, value in inputs.items() if name != "x"}
        out = self.model(None, inputs["x"], **inputs_of(self.model, named))[1]
        return logits_of(out)


def logits_of(out: Any) -> Any:
    """The scores of a classifier, whose output may also report an overflow."""
    return out.logits if isinstance(out, ClassifierOutput) else out
