"""The training loop: dispatches ahead, checks metrics late, saves checkpoints in time."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from snnjax.tasks.task import OVERFLOW, Goal, goal_of
from snnjax.train.errors import Diverged
from snnjax.train.evaluate import Evaluation, Trained
from snnjax.train.feed import Prepared
from snnjax.train.keeper import Keeper
from snnjax.train.programs import Programs
from snnjax.train.reporter import Reporter
from snnjax.train.session import Session
from snnjax.train.state import TrainState, all_finite, evaluated
from snnjax.train.step import StepMetrics

AHEAD = 2
"""Number of steps in flight while the host processes the metrics of an earlier one."""


@dataclass
class Progress:
    """The progress of a run, saved with every checkpoint as JSON.

    Attributes:
      step: updates done.
      position: state of the data iterator after the batch of this step; None before the first.
      evaluated: last step whose evaluation is complete.
      score: the task's goal at that evaluation.
      best_score: the best so far, and its step.
      overflow: number of entries beyond the model's capacity in training so far.
      seconds: wall time in the loop, over all processes that worked on the run.
      compiles: programs compiled, over all processes.
    """

    step: int = 0
    position: dict[str, Any] | None = None
    evaluated: int = 0
    score: float | None = None
    best_score: float | None = None
    best_step: int = 0
    overflow: int = 0
    seconds: float = 0.0
    compiles: int = 0
    compile_seconds: float = 0.0


class _Pending(NamedTuple):
    step: int
    metrics: StepMetrics
    padding: float


@dataclass
class Loop:
    """The training loop of one process. `run` is its only entry point.

    Attributes:
      session: what is trained, with buckets for its batches.
      programs: compiled steps.
      keeper: receives rows and states, and decides when to stop.
      progress: the progress of the run.
      result: the last evaluation of this process.
      rate: samples per second, a running mean; None before the first.
      evaluation_seconds: the longest evaluation so far; None before the first.
    """

    session: Session
    programs: Programs
    keeper: Keeper
    progress: Progress
    result: Evaluation | None = None
    rate: float | None = None
    evaluation_seconds: float | None = None
    _pending: deque[_Pending] = field(default_factory=deque)
    _began: float = field(default_factory=time.perf_counter)
    _last_row: float = field(default_factory=time.perf_counter)
    _warned: bool = False
    _carried: Progress = field(default_factory=Progress)

    @property
    def goal(self) -> Goal:
        """The goal that determines the best state."""
        return goal_of(self.session.experiment.task)

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self.session.total

    @property
    def reporter(self) -> Reporter:
        """The reporter of the keeper."""
        return self.keeper.reporter

    def trained(self, state: TrainState) -> Trained:
        """The model of a state, for evaluation."""
        return Trained(self.session, self.programs, evaluated(state))

    def run(self, state: TrainState) -> TrainState:
        """Train from `state` to the end of the run."""
        self._carried = replace(self.progress)  # time spent by earlier processes
        reason = ""
        with (
            self.keeper.watching(self),
            self.session.train_feed(self.progress.position) as feed,
        ):
            while self.progress.step < self.total:
                reason = self.keeper.stop(self)
                if reason:
                    break
                state = self._step(state, next(feed))
                improved = self.evaluation_due(self.progress.step) and self._evaluate(state)
                if self._save_due() or improved:
                    self._save(state)
        if self.progress.step < self.total:
            self._save(state)
            self.keeper.stopped(self, reason)
        self._account()
        return state

    def evaluation_due(self, step: int) -> bool:
        """Whether the test split is evaluated after this step."""
        epoch, inside = divmod(step, self.session.spec.epoch_steps)
        due = inside == 0 and epoch % self.session.experiment.evaluate_every == 0
        return step > 0 and (due or step == self.total)

    def _step(self, state: TrainState, item: Prepared) -> TrainState:
        began = time.perf_counter()
        state, metrics = self.programs.train(item.shape, state, item.batch)
        self.progress.step += 1
        self.progress.position = item.position
        self._pending.append(_Pending(self.progress.step, metrics, item.padding))
        self._drain(AHEAD)
        self.keeper.stepped(self, time.perf_counter() - began)
        return state

    def _drain(self, keep: int) -> None:
        """Process all but the `keep` newest metrics; this is where the host waits."""
        while len(self._pending) > keep:
            self._record(self._pending.popleft())

    def _record(self, pending: _Pending) -> None:
        values: StepMetrics = jax.device_get(pending.metrics)
        row = self._row(pending, values)
        self.keeper.write(row)
        self.reporter.step(row, self.goal.name)
        self.progress.overflow += row["overflow"]
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

    def _row(self, pending: _Pending, values: StepMetrics) -> dict[str, Any]:
        """The row of a step in the metrics."""
        now = time.perf_counter()
        elapsed, self._last_row = now - self._last_row, now
        rate = self.session.experiment.batch_size / max(elapsed, 1e-9)
        self.rate = rate if self.rate is None else 0.9 * self.rate + 0.1 * rate
        sums = {name: np.asarray(value) for name, value in values.scores.items()}
        spec = self.session.spec
        scores = spec.task.summarise(sums, spec.info)
        goal_of(spec.task, scores)
        return {
            "split": "train",
            "step": pending.step,
            "epoch": (pending.step - 1) // spec.epoch_steps + 1,
            "loss": float(values.loss),
            **scores,
            "learning_rate": float(values.learning_rate),
            "gradient_norm": float(values.gradient_norm),
            "overflow": int(sums.get(OVERFLOW, 0)),
            "padding": round(pending.padding, 4),
            "samples_per_second": round(self.rate, 1),
        }

    def _diverged(self, step: int, what: str) -> None:
        raise Diverged(
            f"training diverged at step {step}: {what}. {self.keeper.kept()} Lower "
            "optimiser.learning_rate, lengthen schedule.warmup or lower optimiser.clip_norm, and "
            "start a new run."
        )

    def _save_due(self) -> bool:
        step = self.progress.step
        return step % self.session.experiment.checkpoint_every == 0 or step == self.total

    def _evaluate(self, state: TrainState) -> bool:
        """Evaluate and write the row; returns whether this is the best so far."""
        self._drain(0)
        result = self.trained(state).evaluate(self.session.test_set)
        self._last_row = time.perf_counter()
        self.evaluation_seconds = max(self.evaluation_seconds or 0.0, result.seconds)
        self.result = result
        progress, goal = self.progress, goal_of(self.session.experiment.task, result.scores)
        score = result.scores[goal.name]
        progress.evaluated, progress.score = progress.step, score
        improved = goal.better(score, progress.best_score)  # the latest of equals, as on disk
        if improved:
            progress.best_score, progress.best_step = score, progress.step
        epoch = -(-progress.step // self.session.spec.epoch_steps)
        self.keeper.write(
            {
                "split": "test",
                "step": progress.step,
                "epoch": epoch,
                "loss": result.loss,
                **result.scores,
                "overflow": result.overflow,
                "seconds": round(result.seconds, 2),
            }
        )
        self.reporter.say(
            f"epoch {epoch}, step {progress.step}: test {goal.name} {score:.4f}, "
            f"loss {result.loss:.4f}, {self.rate or 0:.0f} samples/s in training"
        )
        return improved

    def _save(self, state: TrainState) -> None:
        """Save this step, after checking that its weights and all metrics up to it are finite."""
        self._drain(0)
        if not all_finite(state):  # the loss may be finite before the update that breaks them
            self._diverged(self.progress.step, "weights or norm statistics are not finite")
        self._account()
        fresh = self.progress.evaluated == self.progress.step
        self.keeper.save(self, state, self.progress.score if fresh else None)
        self._last_row = time.perf_counter()

    def _account(self) -> None:
        progress, carried = self.progress, self._carried
        progress.seconds = carried.seconds + time.perf_counter() - self._began
        progress.compiles = carried.compiles + self.programs.compiles
        progress.compile_seconds = carried.compile_seconds + self.programs.seconds
