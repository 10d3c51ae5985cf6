"""Evaluation: accuracy, confusion, activity, delays; of a state, or of a run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.sharding import Mesh

from snnjax.data import Augment, PointDataset
from snnjax.delays import clamp_occupancy
from snnjax.metrics import (
    ActivityTotals,
    LayerRate,
    confusion_matrix,
    firing_rates,
    mean_firing_rate,
    synops,
)
from snnjax.nn import learned_delays
from snnjax.sparse import Buckets
from snnjax.train import hosts
from snnjax.train.experiment import DataConfig, Experiment
from snnjax.train.feed import evaluation_feed, pipelined
from snnjax.train.forward import accepted
from snnjax.train.programs import Programs
from snnjax.train.state import Weights, merge_model


@dataclass(frozen=True)
class Evaluation:
    """The result on a test split.

    Attributes:
      accuracy: share of correct predictions.
      loss: mean cross-entropy, without smoothing.
      confusion: int [K, K], row = true class.
      totals: what every weighted layer received.
      overflow: rows and pairs that the capacities could not hold.
      seconds: wall time, compilation included.
    """

    accuracy: float
    loss: float
    confusion: np.ndarray
    totals: ActivityTotals
    overflow: int
    seconds: float

    def rates(self, levels: int) -> tuple[LayerRate, ...]:
        """Firing rates by layer; none for an ANN twin."""
        return firing_rates(self.totals, levels=levels)

    def numbers(self, levels: int) -> dict[str, Any]:
        """Accuracy, rates, operations and energy under the names of a summary.

        Of a model that records no activity, the accuracy alone.
        """
        known = {
            "test_accuracy": self.accuracy,
            "test_loss": self.loss,
            "test_samples": int(self.confusion.sum()),
            "test_overflow": self.overflow,
        }
        if not self.totals.layers:
            return known
        counted = synops(self.totals)
        return known | {
            "firing_rate": mean_firing_rate(self.rates(levels)),
            "synops": counted.total,
            "macs": counted.macs,
            "acs": counted.acs,
            "dense_macs": counted.dense_macs,
            "energy_mj": counted.energy_mj,
            "ann_energy_mj": counted.ann_energy_mj,
        }


def evaluate_weights(
    programs: Programs,
    weights: Weights,
    experiment: Experiment,
    dataset: PointDataset,
    buckets: Buckets | None,
    mesh: Mesh,
    *,
    whole: bool = True,
) -> Evaluation:
    """Run the test split through the model.

    Args:
      programs: compiled steps.
      weights: on the mesh, as the spec of the programs says.
      experiment: sizes of the batch and the grid.
      dataset: the split.
      buckets: capacities of this split; None for sequences.
      mesh: devices.
      whole: round learned delays of sequences.
    """
    began = time.perf_counter()
    classes = len(dataset.class_names)
    confusion = np.zeros((classes, classes), np.int64)
    totals, loss, overflow = ActivityTotals(), 0.0, 0
    with evaluation_feed(experiment, dataset, buckets, mesh) as feed:
        outputs = pipelined(
            feed, lambda item: programs.evaluate(item.capacities, weights, item.batch, whole=whole)
        )
        for item, out in outputs:
            keep = item.host.weight > 0
            confusion += confusion_matrix(out.logits, item.host.label, classes, item.host.weight)
            if out.activity:
                totals = totals.add(out.activity, item.host.weight)
            loss += float(out.loss[keep].sum(dtype=np.float64))
            overflow += int(out.overflow)
    samples = max(int(confusion.sum()), 1)
    return Evaluation(
        float(np.trace(confusion)) / samples,
        loss / samples,
        confusion,
        totals,
        overflow,
        time.perf_counter() - began,
    )


def evaluate_delays(
    programs: Programs,
    weights: Weights,
    experiment: Experiment,
    dataset: PointDataset,
    mesh: Mesh,
) -> dict[str, float]:
    """What rounding costs learned delays, and where they are; empty for a model without any.

    Costs one more program and one more pass over the split.

    Args:
      programs, weights, experiment, dataset, mesh: as in `evaluate_weights`.

    Returns:
      `test_accuracy_unrounded` and `test_loss_unrounded`, with delays and the width of their taps
      as in training; `mean_delay`, in steps, and `clamp_occupancy`, the share of delays at the
      ends of their buffer.
    """
    model = merge_model(programs.spec.graphdef, weights)
    learned = [(hosts.fetch(d.delay[...]), d.size) for d in learned_delays(model).values()]
    if not (learned and accepted(model, discrete=False)):
        return {}
    result = evaluate_weights(programs, weights, experiment, dataset, None, mesh, whole=False)
    counts = [delay.size for delay, _ in learned]
    at_ends = [float(clamp_occupancy(delay, size)) for delay, size in learned]
    return {
        "test_accuracy_unrounded": result.accuracy,
        "test_loss_unrounded": result.loss,
        "mean_delay": float(np.concatenate([delay.ravel() for delay, _ in learned]).mean()),
        "clamp_occupancy": float(np.average(at_ends, weights=counts)),
    }


def vote(
    programs: Programs,
    weights: Weights,
    experiment: Experiment,
    dataset: PointDataset,
    buckets: Buckets | None,
    mesh: Mesh,
    votes: int,
) -> float:
    """Accuracy of the class probabilities averaged over augmented copies of each test cloud.

    The copies are turned, mirrored, scaled, shifted and jittered as in training, but no point of
    them is left out. The same copies whenever it is called. Costs `votes` times the energy and
    the time of one evaluation.

    Args:
      programs, weights, experiment, dataset, buckets, mesh: as in `evaluate_weights`.
      votes: copies.

    Raises:
      ValueError: `votes` is below 1, or the experiment's augmentation leaves clouds as they are.

    Source: Maturana and Scherer, "VoxNet: A 3D Convolutional Neural Network for Real-Time Object
    Recognition", IROS 2015, which pools over rotated copies.
    """
    if votes < 1:
        raise ValueError(f"`votes` must be at least 1; got {votes}.")
    if not isinstance(experiment.data, DataConfig):
        raise ValueError("votes are over augmented clouds; evaluate sequences without them.")
    if experiment.data.augment.whole == Augment():
        raise ValueError(
            "votes are over augmented copies, and this experiment's data.augment changes nothing "
            "but the choice of points: the copies would be equal. Evaluate it without votes."
        )
    total = np.zeros((len(dataset), len(dataset.class_names)))
    with evaluation_feed(experiment, dataset, buckets, mesh, votes=votes) as feed:
        outputs = pipelined(
            feed, lambda item: programs.evaluate(item.capacities, weights, item.batch)
        )
        for item, out in outputs:
            keep = item.host.weight > 0
            total[item.host.index[keep]] += _softmax(out.logits[keep])
    labels = np.array([dataset.label(i) for i in range(len(dataset))])
    return float(np.mean(total.argmax(axis=1) == labels))


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [B, K] in float64."""
    shares = np.exp(np.float64(logits) - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
