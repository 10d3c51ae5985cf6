"""Evaluation of a trained model on a split: scores, loss, activity."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from snnjax.data import Batch, Dataset, Sample, Source
from snnjax.experiment import Experiment
from snnjax.metrics import ActivityTotals, LayerRate, firing_rates, mean_firing_rate, synops
from snnjax.tasks.task import OVERFLOW
from snnjax.train.feed import pipelined
from snnjax.train.programs import Programs
from snnjax.train.session import Session
from snnjax.train.state import Weights, merge_model, split_model
from snnjax.train.step import call_model


@dataclass(frozen=True)
class Evaluation:
    """The result on a split.

    Attributes:
      scores: the task's numbers.
      sums: what they were computed from.
      loss: mean loss, as the task defines it in evaluation.
      samples: number of samples that count.
      totals: what every weighted layer received.
      overflow: number of entries beyond the model's capacity.
      seconds: wall time, compilation included.
    """

    scores: dict[str, float]
    sums: dict[str, np.ndarray]
    loss: float
    samples: int
    totals: ActivityTotals
    overflow: int
    seconds: float

    def rates(self) -> tuple[LayerRate, ...]:
        """Firing rates by layer; none for an ANN twin."""
        return firing_rates(self.totals)

    def numbers(self) -> dict[str, Any]:
        """Scores, rates, operations and energy under the names of a summary.

        Only the scores if the layers were not counted.
        """
        known = {f"test_{name}": value for name, value in self.scores.items()} | {
            "test_loss": self.loss,
            "test_samples": self.samples,
            "test_overflow": self.overflow,
        }
        if not self.totals.layers:
            return known
        counted = synops(self.totals)
        return known | {
            "firing_rate": mean_firing_rate(self.rates()),
            "synops": counted.total,
            "macs": counted.macs,
            "acs": counted.acs,
            "dense_macs": counted.dense_macs,
            "energy_mj": counted.energy_mj,
            "ann_energy_mj": counted.ann_energy_mj,
        }


@dataclass(frozen=True)
class Trained:
    """A trained model with its data and programs, as passed to evaluators.

    Attributes:
      session: the prepared experiment, with buckets for the split.
      programs: compiled steps.
      weights: arrays on the mesh, sharded as in the spec of the programs.
    """

    session: Session
    programs: Programs
    weights: Weights

    @property
    def experiment(self) -> Experiment:
        """The experiment that was trained."""
        return self.session.experiment

    @property
    def model(self) -> Any:
        """The trained module."""
        return merge_model(self.programs.spec.graphdef, self.weights)

    def replace(
        self, *, model: Any = None, source: Source | None = None, task: Any = None
    ) -> Trained:
        """A copy with another model, source or task, which has its own programs.

        Args:
          model: a module whose arrays are like those of `model`, such as the same module with other
            static attributes. source, task: as in an experiment.

        Raises:
          ValueError: the arrays of the model do not match the trained ones.
        """
        spec, weights = self.programs.spec, self.weights
        if model is not None:
            graphdef, weights = split_model(model)
            if jax.tree.structure(weights) != jax.tree.structure(self.weights):
                raise ValueError(
                    "the model that replaces the trained one must have the same parameters and "
                    "statistics; change its static attributes or the values of its arrays only."
                )
            spec = spec._replace(graphdef=graphdef)
        spec = spec._replace(source=source or spec.source, task=task or spec.task)
        session = replace(self.session, spec=spec)
        return Trained(session, self.programs.for_spec(spec), weights)

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Run a split through the model."""
        began = time.perf_counter()
        sums: dict[str, Any] = {}
        totals, loss, count, samples = ActivityTotals(), 0.0, 0.0, 0
        for batch, out in self._run(dataset):
            keep = batch["weight"] > 0
            found = jax.device_get(out._replace(outputs=()))
            sums = {name: sums.get(name, 0) + _wide(value) for name, value in found.scores.items()}
            if found.activity:
                totals = totals.add(found.activity, batch["weight"])
            loss += float(found.sums[keep].sum(dtype=np.float64))
            count += float(found.counts[keep].sum(dtype=np.float64))
            samples += int(keep.sum())
        spec = self.programs.spec
        scores = spec.task.summarise(sums, spec.info)
        overflow = int(sums.get(OVERFLOW, 0))
        seconds = time.perf_counter() - began
        mean = loss / count if count else 0.0
        return Evaluation(scores, sums, mean, samples, totals, overflow, seconds)

    def score(self, dataset: Dataset) -> dict[str, float]:
        """The task's numbers on a split."""
        return self.evaluate(dataset).scores

    def outputs(
        self, dataset: Dataset, *, copies: int = 0, source: Source | None = None
    ) -> Iterator[tuple[Batch, Any]]:
        """Batches on the host, each with the task's outputs of its samples, [B, ...].

        Args:
          dataset: the split. copies: as in `snnjax.train.feed.evaluation_feed`.
          source: makes the batches in place of the trained one. The programs are those of the
            trained source, whose `encode` is used; `replace` compiles others.
        """
        for batch, out in self._run(dataset, copies, source):
            yield batch, jax.device_get(out.outputs)

    def predict(self, sample: Sample) -> Any:
        """The task's outputs for one sample, without a batch axis."""
        return self.predicted(sample)[1]

    def predicted(self, sample: Sample) -> tuple[Sample, Any]:
        """`described` sample, and the task's outputs for it, without a batch axis."""
        spec = self.programs.spec
        batch = spec.source.collate([sample], None)
        shape = self.session.shapes.fit(batch)

        def run(weights: Weights, arrays: dict[str, Any]) -> Any:
            encoded = spec.source.encode(arrays, shape, key=None, train=False)
            inputs = spec.task.inputs(encoded)
            out = call_model(merge_model(spec.graphdef, weights), inputs, train=False)
            return spec.task.outputs(out)

        here = jax.device_put(self.weights, jax.local_devices()[0])
        outputs = jax.device_get(jax.jit(run)(here, batch))
        return described(sample, batch), jax.tree.map(lambda a: a[0], outputs)

    def _run(
        self, dataset: Dataset, copies: int = 0, source: Source | None = None
    ) -> Iterator[tuple[Batch, Any]]:
        source = self.programs.spec.source if source is None else source
        feed = self.session.evaluation_feed(dataset, source=source, copies=copies)
        with feed:
            outputs = pipelined(
                feed, lambda item: self.programs.evaluate(item.shape, self.weights, item.batch)
            )
            for item, out in outputs:
                yield item.host, out


def described(sample: Sample, batch: Batch) -> Sample:
    """A sample, and its rows of the batch that it is the first of, for `Task.draw` and `files`."""
    return {name: value[0] for name, value in batch.items()} | sample


def _wide(value: np.ndarray) -> np.ndarray:
    """Sums of batches in the widest type of their kind."""
    value = np.asarray(value)
    return value.astype(np.int64 if value.dtype.kind in "iub" else np.float64)
