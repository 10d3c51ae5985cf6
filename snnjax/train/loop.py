"""The training loop: dispatch ahead, look at metrics late, save before anything can be lost."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from snnjax.data import PointDataset
from snnjax.sparse import Buckets
from snnjax.train import hosts
from snnjax.train.checkpoint import Checkpoints
from snnjax.train.deadline import Deadline
from snnjax.train.errors import Diverged, Interrupted
from snnjax.train.evaluate import Evaluation, evaluate_weights
from snnjax.train.experiment import (
    Experiment,
    differences,
    experiment_from_dict,
    experiment_to_dict,
)
from snnjax.train.feed import Prepared, train_feed
from snnjax.train.folder import resume_command
from snnjax.train.interrupt import REASONS, StopRequest
from snnjax.train.plan import CapacityPlan
from snnjax.train.programs import Programs
from snnjax.train.progress import Reporter
from snnjax.train.state import TrainState, all_finite, evaluated
from snnjax.train.step import StepMetrics
from snnjax.train.writer import MetricsWriter

AHEAD = 2
"""Steps that may be under way while the host looks at the metrics of an earlier one."""

_WRITTEN = 5e7
"""Bytes that a slow disk writes in a second."""


@dataclass
class Book:
    """The bookkeeping of a run, saved with every checkpoint as JSON.

    Attributes:
      step: updates done.
      position: state of the data iterator behind the batch of this step; None before the first.
      evaluated: last step whose evaluation is complete.
      test_accuracy: of that evaluation.
      best_test_accuracy: best evaluation so far, and its step.
      overflow: rows and pairs lost in training so far.
      seconds: wall time in the loop, over all processes that worked on the run.
      compiles: programs compiled, over all processes; and the time it took.
    """

    step: int = 0
    position: dict[str, Any] | None = None
    evaluated: int = 0
    test_accuracy: float | None = None
    best_test_accuracy: float | None = None
    best_step: int = 0
    overflow: int = 0
    seconds: float = 0.0
    compiles: int = 0
    compile_seconds: float = 0.0


def progress_of(book: Book, experiment: Experiment) -> dict[str, Any]:
    """What a checkpoint records beside the state: the book, and whose it is."""
    return {**dataclasses.asdict(book), "experiment": experiment_to_dict(experiment)}


def book_of(progress: dict[str, Any], experiment: Experiment) -> Book:
    """The book in a checkpoint's record.

    Raises:
      ValueError: the checkpoint was saved by another run than `experiment`, or is damaged; the
        message completes "the checkpoint ...".
    """
    values = dict(progress)
    owner = values.pop("experiment", None)
    try:
        book = Book(**values)
        saved_by = experiment if owner is None else experiment_from_dict(owner)
    except (TypeError, ValueError) as error:
        raise ValueError(f"has a damaged progress record: {error}") from error
    if lines := differences(saved_by, experiment):
        raise ValueError(f"belongs to another run: {'; '.join(lines)}")
    return book


class _Pending(NamedTuple):
    step: int
    metrics: StepMetrics
    waste: float


@dataclass
class Loop:
    """One process' work on a run. `fit` is its only entry."""

    experiment: Experiment
    folder: Path
    mesh: Mesh
    train_set: PointDataset
    test_set: PointDataset
    plan: CapacityPlan | None
    programs: Programs
    checkpoints: Checkpoints
    writer: MetricsWriter
    reporter: Reporter
    epoch_steps: int
    book: Book
    deadline: Deadline
    result: Evaluation | None = None
    _pending: deque[_Pending] = field(default_factory=deque)
    _began: float = field(default_factory=time.perf_counter)
    _rate: float | None = None
    _last_row: float = field(default_factory=time.perf_counter)
    _warned: bool = False
    _evaluation_seconds: float | None = None

    @property
    def evaluation(self) -> Buckets | None:
        """Capacities of the test split; None for sequences."""
        return self.plan and self.plan.evaluation

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epoch_steps * self.experiment.epochs

    def fit(self, state: TrainState) -> TrainState:
        """Train from `state` to the end of the run.

        Raises:
          Diverged: loss, gradient norm or weights are not finite; nothing of that step or a later
            one is saved.
          Interrupted: a signal or the deadline asked to stop; the step is saved.
          ValueError: the deadline allows no step.
          CheckpointError, RunFolderError: the disk refuses; the last checkpoint is intact.
        """
        carried = dataclasses.replace(self.book)  # what earlier processes spent
        agree, stopped = hosts.Agreement(AHEAD), 0
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        self.deadline.save = size / _WRITTEN  # until one was timed
        with StopRequest(self.reporter.warn) as stop:
            self._watch(stop)
            feed = train_feed(
                self.experiment, self.train_set, self.plan, self.mesh, self.book.position
            )
            with feed:
                while self.book.step < self.total and not (stopped := agree(stop.asked)):
                    state = self._step(state, next(feed))
                    improved = self._evaluation_due(self.book.step) and self._evaluate(state)
                    self._watch(stop)
                    if self._save_due() or improved:
                        self._save(state, carried)
            if self.book.step < self.total:
                self._save(state, carried)
                self.checkpoints.wait()
                self._check_progress(carried.step, REASONS[stopped])
                raise Interrupted(
                    str(self.folder),
                    self.book.step,
                    resume_command(self.folder),
                    REASONS[stopped],
                )
        self._account(carried)
        return state

    def _check_progress(self, began: int, reason: str) -> None:
        """Raise where the limit of time allows no step: started again and again, none is done."""
        if reason == "--max-hours" and self.book.step == began:
            raise ValueError(
                f"max_hours={self.deadline.hours} ends before the first step of this process is "
                f"done, and its save; step {began} is saved. Allow more."
            )

    def _watch(self, stop: StopRequest) -> None:
        """Ask to stop if one more step would leave too little time to save.

        Several processes take `AHEAD` steps more until they all know of it.
        """
        self.deadline.save = self.checkpoints.seconds or self.deadline.save
        steps = 1 + AHEAD if hosts.several() else 1
        if self.book.step < self.total and self.deadline.reached(
            evaluation=self._next_evaluation(steps), steps=steps
        ):
            stop.ask("--max-hours", f"{self.deadline.hours} h are nearly over; saving.")

    def _next_evaluation(self, steps: int) -> float:
        """Seconds of the evaluation that comes with the next steps; 0 if none does."""
        if not any(self._evaluation_due(self.book.step + 1 + ahead) for ahead in range(steps)):
            return 0.0
        if self._evaluation_seconds is not None:
            return self._evaluation_seconds
        batches = -(-len(self.test_set) // self.experiment.data.batch_size)
        step = self.experiment.data.batch_size / self._rate if self._rate else 0.0
        return self.deadline.step + batches * step  # compiling, and no more than training steps

    def _step(self, state: TrainState, item: Prepared) -> TrainState:
        began = time.perf_counter()
        state, metrics = self.programs.train(item.capacities, state, item.batch)
        self.book.step += 1
        self.book.position = item.position
        self._pending.append(_Pending(self.book.step, metrics, item.waste))
        self._drain(AHEAD)
        self.checkpoints.check()
        self.deadline.step = max(self.deadline.step, time.perf_counter() - began)
        return state

    def _drain(self, keep: int) -> None:
        """Look at all but the `keep` newest metrics; this is where the host waits."""
        while len(self._pending) > keep:
            self._record(self._pending.popleft())

    def _record(self, pending: _Pending) -> None:
        values: StepMetrics = jax.device_get(pending.metrics)
        now = time.perf_counter()
        elapsed, self._last_row = now - self._last_row, now
        rate = self.experiment.data.batch_size / max(elapsed, 1e-9)
        self._rate = rate if self._rate is None else 0.9 * self._rate + 0.1 * rate
        row = {
            "split": "train",
            "step": pending.step,
            "epoch": (pending.step - 1) // self.epoch_steps + 1,
            "loss": float(values.loss),
            "accuracy": float(values.accuracy),
            "learning_rate": float(values.learning_rate),
            "gradient_norm": float(values.gradient_norm),
            "overflow": int(values.overflow),
            "padding_waste": round(pending.waste, 4),
            "samples_per_second": round(self._rate, 1),
        }
        self.writer.write(row)
        self.reporter.step(row)
        self.book.overflow += row["overflow"]
        if row["overflow"] and not self._warned:
            self._warned = True
            self.reporter.warn(
                f"step {pending.step}: {row['overflow']} rows or pairs did not fit their capacity "
                "and were left out (see `overflow` in metrics.jsonl)."
            )
        if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])):
            self._diverged(
                row["step"],
                f"loss {row['loss']}, gradient norm {row['gradient_norm']}, learning rate "
                f"{row['learning_rate']:.3g}",
            )

    def _diverged(self, step: int, what: str) -> None:
        self.writer.flush()
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        kept = (
            f"The checkpoint of step {steps[-1]} is kept" if steps else "No checkpoint was due yet"
        )
        raise Diverged(
            f"training diverged at step {step}: {what}. {kept} in {self.folder}. Lower "
            "optimiser.learning_rate, lengthen schedule.warmup or lower optimiser.clip_norm, and "
            "start a new run."
        )

    def _evaluation_due(self, step: int) -> bool:
        epoch, inside = divmod(step, self.epoch_steps)
        due = inside == 0 and epoch % self.experiment.evaluate_every == 0
        return step > 0 and (due or step == self.total)

    def _save_due(self) -> bool:
        step = self.book.step
        return step % self.experiment.checkpoint_every == 0 or step == self.total

    def _evaluate(self, state: TrainState) -> bool:
        """Evaluate, write the row; True if this is the best so far."""
        self._drain(0)
        result = evaluate_weights(
            self.programs,
            evaluated(state),
            self.experiment,
            self.test_set,
            self.evaluation,
            self.mesh,
        )
        self._last_row = time.perf_counter()
        self._evaluation_seconds = max(self._evaluation_seconds or 0.0, result.seconds)
        self.result = result
        book = self.book
        book.evaluated, book.test_accuracy = book.step, result.accuracy
        best = book.best_test_accuracy
        improved = best is None or result.accuracy >= best  # of equals the latest, as orbax
        if improved:
            book.best_test_accuracy, book.best_step = result.accuracy, book.step
        epoch = -(-book.step // self.epoch_steps)
        self.writer.write(
            {
                "split": "test",
                "step": book.step,
                "epoch": epoch,
                "loss": result.loss,
                "accuracy": result.accuracy,
                "overflow": result.overflow,
                "seconds": round(result.seconds, 2),
            }
        )
        self.reporter.say(
            f"epoch {epoch}, step {book.step}: test accuracy {result.accuracy:.4f}, "
            f"loss {result.loss:.4f}, {self._rate or 0:.0f} samples/s in training"
        )
        return improved

    def _save(self, state: TrainState, carried: Book) -> None:
        """Save this step; its weights, and all metrics up to it on disk, are finite before."""
        self._drain(0)
        if not all_finite(state):  # a finite loss may come before the update that breaks them
            self._diverged(self.book.step, "weights or norm statistics are not finite")
        self.writer.flush()
        self._account(carried)
        fresh = self.book.evaluated == self.book.step
        self.checkpoints.save(
            self.book.step,
            state,
            progress_of(self.book, self.experiment),
            accuracy=self.book.test_accuracy if fresh else None,
        )
        self._last_row = time.perf_counter()

    def _account(self, carried: Book) -> None:
        book = self.book
        book.seconds = carried.seconds + time.perf_counter() - self._began
        book.compiles = carried.compiles + self.programs.compiles
        book.compile_seconds = carried.compile_seconds + self.programs.seconds
