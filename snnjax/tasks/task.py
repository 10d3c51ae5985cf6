"""What a task must say, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from snnjax.data import Batch, DataInfo
from snnjax.viz import Picture, Table

Sums = dict[str, Array]
OVERFLOW = "overflow"
"""The sum of a task's score under this name counts what a model could not hold; the loop warns."""


class Task:
    """What a model is trained for. Subclass it as a frozen dataclass; its fields are options.

    A task sees arrays on the device: the batch as the source encoded it, and what the model made of
    it. It knows neither files nor meshes. The loop calls, for every batch,

        inputs, target = task.prepare(batch, key=key, train=train)
        out = model(inputs)
        sums, counts = task.loss(out, target)        loss = sum(w * sums) / sum(w * counts)
        scores = task.score(out, target, weight)     added over batches and devices

    and `summarise` turns the added scores into numbers. `goal` names the one that decides which
    checkpoint is best, with its direction: "max accuracy", "min mse".

    Required are `goal`, `loss`, `score` and `summarise`; the others have defaults.
    """

    goal: str = ""

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Any]:
        """The named inputs of the model, and the target.

        Args:
          batch: as `Source.encode` made it. key: for random choices; None in evaluation.
          train: False in evaluation, whose targets are the plain ones.
        """
        inputs = {name: value for name, value in batch.items() if name != "label"}
        return inputs, batch.get("label")

    def loss(self, out: Any, target: Any) -> tuple[Array, Array]:
        """A sum and a count for each sample, [B] each; the loss is the ratio of their sums."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(out, target)")

    def score(self, out: Any, target: Any, weight: Array) -> Sums:
        """Sums over the samples of a batch, weighted; they are added over batches and devices.

        Args:
          out: of the model. target: of `prepare`. weight: [B], 0 for rows that do not count.
        """
        raise NotImplementedError(f"{type(self).__name__} must define score(out, target, weight)")

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        """Numbers from the added scores, `goal` among them."""
        raise NotImplementedError(f"{type(self).__name__} must define summarise(sums, info)")

    def outputs(self, out: Any) -> Any:
        """What evaluators and predictions read of a model's output: arrays [B, ...]."""
        return out

    def check(self, info: DataInfo, out: Any) -> None:
        """Raise a ValueError unless a model with such an output can do this task with such data.

        Args:
          info: of the data. out: the model's output, of which only shapes and dtypes are known.
        """

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        """Raise a ValueError if a batch on the host holds an impossible target."""

    def bind(self, load: Callable[[str], Any]) -> Task:
        """The task with the trained models that it names, before training.

        Args:
          load: from a run folder to its model.
        """
        return self

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        """What the report shows of the scores on the test split."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """What a reader of training and test curves must know, one sentence each."""
        return ()

    def answer(self, outputs: Any, info: DataInfo) -> list[tuple[str, float]]:
        """What `snnjax predict` prints for one sample, whose `outputs` have no batch axis."""
        raise ValueError(f"{type(self).__name__} does not say how to print a prediction.")


class Goal(NamedTuple):
    """A task's goal, taken apart.

    Attributes:
      name: of a number of `summarise`.
      larger: whether larger is better.
    """

    name: str
    larger: bool

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is at least as good as `old`; of equals the latest counts."""
        return old is None or (new >= old if self.larger else new <= old)


def goal_of(task: Any, known: Mapping[str, float] | None = None) -> Goal:
    """The goal of a task.

    Args:
      task: any task. known: the numbers that it gives, if they are known yet.

    Raises:
      ValueError: it is not "max NAME" or "min NAME", or names none of the numbers.

    >>> class Mine(Task): goal = "min distance"
    >>> goal_of(Mine())
    Goal(name='distance', larger=False)
    >>> goal_of(Mine(), {"mse": 0.5})
    Traceback (most recent call last):
    ValueError: the goal 'min distance' of Mine names no score of its `summarise`, which gives mse.
    """
    words = str(task.goal).split()
    if len(words) != 2 or words[0] not in ("max", "min"):
        raise ValueError(
            f"the goal of {type(task).__name__} must be 'max NAME' or 'min NAME', with a name of "
            f"its `summarise`; got {task.goal!r}."
        )
    if known is not None and words[1] not in known:
        raise ValueError(
            f"the goal {task.goal!r} of {type(task).__name__} names no score of its `summarise`, "
            f"which gives {', '.join(known) or 'nothing'}."
        )
    return Goal(words[1], words[0] == "max")
