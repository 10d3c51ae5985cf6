"""Further measurements of a trained model: test-time augmentation, continuous delays.

An evaluator is a frozen dataclass with `run(trained, dataset) -> dict[str, float]`, where `trained`
is a `snnjax.train.Trained`. Its numbers join the summary of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from flax import nnx

from snnjax.data import Dataset
from snnjax.delays import clamp_occupancy
from snnjax.nn import RoundedDelays, learned_delays
from snnjax.train.evaluate import Trained
from snnjax.train.mesh import fetch


class Evaluator(Protocol):
    """A measurement of a trained model."""

    def run(self, trained: Trained, dataset: Dataset) -> dict[str, float]:
        """Run the measurement; returns numbers by their name in the summary.

        Args:
          trained: the model, its experiment and its programs. dataset: the test split.
        """
        ...


@dataclass(frozen=True)
class Votes:
    """Accuracy of the class probabilities averaged over randomly changed copies of each sample.

    The copies are made by the source's `for_voting`: clouds are rotated, mirrored, scaled, shifted
    and jittered as in training, without leaving out points. Repeated calls use the same copies.
    Costs `copies` times the energy and the time of one evaluation.

    Source: Maturana and Scherer, "VoxNet: A 3D Convolutional Neural Network for Real-Time Object
    Recognition", IROS 2015, which pools over rotated copies.
    """

    copies: int = 16
    """Number of copies of each sample."""

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"votes.copies must be at least 1; got {self.copies}.")

    def run(self, trained: Trained, dataset: Dataset) -> dict[str, float]:
        """Compute `voted_accuracy`.

        Raises:
          ValueError: the source has no random changes, or the task's outputs are not scores of
            classes [B, K] with labels [B].
        """
        voter = trained.replace(source=trained.session.source.for_voting())
        classes = len(trained.session.info.class_names)
        total = np.zeros((len(dataset), classes))
        labels = np.full(len(dataset), -1)
        for batch, scores in voter.outputs(dataset, copies=self.copies):
            keep = batch["weight"] > 0
            label = batch.get("label", np.zeros((0, 0)))
            if np.shape(scores) != (len(keep), classes) or label.shape != keep.shape:
                raise ValueError(
                    "votes average the scores of classes, [B, K], against labels [B]; the task "
                    f"{type(trained.experiment.task).__name__} gives {np.shape(scores)} with "
                    f"labels {label.shape}. Evaluate it without votes."
                )
            index = batch["index"][keep]
            total[index] += _softmax(scores[keep])
            labels[index] = label[keep]
        return {"voted_accuracy": float(np.mean(total.argmax(axis=1) == labels))}


@dataclass(frozen=True)
class ContinuousDelays:
    """The effect of rounding on learned delays, and statistics of the delays.

    Costs one more program and one more pass over the split. A model without learned delays has
    nothing to measure and gives no numbers.
    """

    def run(self, trained: Trained, dataset: Dataset) -> dict[str, float]:
        """The scores with delays and the width of their taps as in training, `mean_delay` in steps,
        and `clamp_occupancy`, the share of delays at 0 or at max_delay.
        """
        model = trained.model
        learned = [(fetch(d.delay[...]), d.max_delay) for d in learned_delays(model).values()]
        if not learned:
            return {}
        rounding = [m for _, m in nnx.iter_modules(model) if isinstance(m, RoundedDelays)]
        if not rounding:
            raise ValueError(
                "continuous delays need a model with a snnjax.nn.RoundedDelays; "
                f"{type(model).__name__} has none. Derive the module that rounds its delays from "
                "it, or leave ContinuousDelays out of the evaluators."
            )
        for module in rounding:
            module.round_delays = False
        result = trained.replace(model=model).evaluate(dataset)
        scores = {f"test_{name}_continuous": value for name, value in result.scores.items()}
        counts = [delay.size for delay, _ in learned]
        at_ends = [float(clamp_occupancy(delay, max_delay)) for delay, max_delay in learned]
        return scores | {
            "test_loss_continuous": result.loss,
            "mean_delay": float(np.concatenate([delay.ravel() for delay, _ in learned]).mean()),
            "clamp_occupancy": float(np.average(at_ends, weights=counts)),
        }


def evaluations(evaluators: tuple[Any, ...], trained: Trained, dataset: Dataset) -> dict[str, Any]:
    """The numbers of several evaluators together.

    Raises:
      ValueError: two of them return a number of the same name.
      TypeError: an evaluator does not return numbers by name.
    """
    found: dict[str, Any] = {}
    for evaluator in evaluators:
        numbers = evaluator.run(trained, dataset)
        _check_numbers(evaluator, numbers)
        if twice := sorted(found.keys() & numbers.keys()):
            raise ValueError(
                f"{type(evaluator).__name__} returns {', '.join(twice)}, which another evaluator "
                "returns too. Use each once."
            )
        found |= numbers
    return found


def _check_numbers(evaluator: Any, numbers: Any) -> None:
    """Raise unless the results can be stored in a summary."""
    name = type(evaluator).__name__
    if not isinstance(numbers, dict):
        raise TypeError(f"{name}.run must return numbers by name; got {type(numbers).__name__}.")
    for key, value in numbers.items():
        if not isinstance(value, (int, float)):
            raise TypeError(
                f"{name}.run must return Python numbers; {key!r} is {type(value).__name__}. "
                "Convert it with float(...)."
            )


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [B, K] in float64."""
    shares = np.exp(np.float64(logits) - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
