"""The interface of tasks, and their goals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from snnjax.data import Batch, DataInfo
from snnjax.viz import Picture, Table

Sums = dict[str, Array]
OVERFLOW = "overflow"
"""Name of the score that counts entries beyond a model's capacity; the loop warns of it."""


class Task:
    """What a model is trained for. Subclass it as a frozen dataclass; its fields are options.

    A task works on arrays on the device: the batch as the source encoded it, and the output of the
    model. It does not depend on files or meshes. The loop calls, for every batch,

        inputs, target = task.prepare(batch, key=key, train=train)
        out = model(inputs)
        sums, counts = task.loss(out, target)        loss = sum(w * sums) / sum(w * counts)
        scores = task.score(out, target, weight)     added over batches and devices

    and `summarise` turns the added scores into numbers. `goal` names the one that decides which
    checkpoint is best, with its direction: "max accuracy", "min mse".

    Required are `goal`, `loss`, `score` and `summarise`; the others have defaults.
    """

    goal: str = ""

    def inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The named inputs of the model, also for a prediction, which has no target."""
        return {name: value for name, value in batch.items() if name not in ("label", "target")}

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Any]:
        """The named inputs of the model, and the target: by default the `label` or `target`.

        Args:
          batch: result of `Source.encode`. key: random key; None in evaluation.
          train: False in evaluation, whose targets are the plain ones.
        """
        return self.inputs(batch), batch.get("label", batch.get("target"))

    @abstractmethod
    def loss(self, out: Any, target: Any) -> tuple[Array, Array]:
        """A sum and a count for each sample, [B] each; the loss is the ratio of their sums."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(out, target)")

    @abstractmethod
    def score(self, out: Any, target: Any, weight: Array) -> Sums:
        """Sums over the samples of a batch, weighted; they are added over batches and devices.

        Args:
          out: output of the model. target: result of `prepare`. weight: [B], 0 for padding rows.
        """
        raise NotImplementedError(f"{type(self).__name__} must define score(out, target, weight)")

    @abstractmethod
    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        """Numbers from the added scores, `goal` among them."""
        raise NotImplementedError(f"{type(self).__name__} must define summarise(sums, info)")

    def outputs(self, out: Any) -> Any:
        """The parts of a model's output that evaluators and predictions use: arrays [B, ...]."""
        return out

    def check(self, info: DataInfo, out: Any) -> None:
        """Raise a ValueError unless a model with such an output can do this task with such data.

        Args:
          info: facts about the data. out: shapes and dtypes of the model's output.
        """

    def check_batch(self, batch: Batch, info: DataInfo) -> None:
        """Raise a ValueError if a batch on the host holds an impossible target."""

    def bind(self, load: Callable[[str], Any]) -> Task:
        """The task with the trained models that it names, before training.

        Args:
          load: function from a run folder to its model.
        """
        return self

    def pictures(
        self, sums: Mapping[str, np.ndarray], info: DataInfo
    ) -> tuple[Picture | Table, ...]:
        """Figures and tables for the report about the scores on the test split."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Notes for readers of training and test curves, one sentence each."""
        return ()

    def draw(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> Picture | None:
        """A picture of one prediction, for the report and `snnjax predict`; none by default.

        Args:
          outputs: result of `outputs` for the sample, without a batch axis.
          sample: the sample, and its rows of the batch under names that it does not have.
          info: facts about the data.
        """
        return None

    def files(self, outputs: Any, sample: Mapping[str, Any], info: DataInfo) -> dict[str, bytes]:
        """The contents of the files of one prediction by their ending; none by default.

        Args: as in `draw`.
        """
        return {}

    def answer(self, outputs: Any, info: DataInfo) -> list[tuple[str, float]]:
        """The lines that `snnjax predict` prints for one sample; `outputs` have no batch axis."""
        raise ValueError(f"{type(self).__name__} cannot print predictions; define `answer`.")


class Goal(NamedTuple):
    """A task's goal: a score and its direction.

    Attributes:
      name: name of a number of `summarise`.
      larger: whether larger is better.
    """

    name: str
    larger: bool

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is at least as good as `old`, so that the latest of equals wins."""
        return old is None or (new >= old if self.larger else new <= old)


def goal_of(task: Any, known: Mapping[str, float] | None = None) -> Goal:
    """The goal of a task.

    Args:
      task: any task. known: names of the numbers that it returns, if available.

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
