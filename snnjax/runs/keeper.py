"""Training that is stored in a run folder and stops on request or at its time limit."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from snnjax.experiment import Experiment, differences, experiment_from_dict, experiment_to_dict
from snnjax.runs import hosts
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.deadline import Deadline
from snnjax.runs.errors import Interrupted
from snnjax.runs.folder import resume_command
from snnjax.runs.interrupt import REASONS, StopRequest
from snnjax.runs.writer import MetricsWriter
from snnjax.train import Keeper, Loop, Progress, Reporter, TrainState
from snnjax.train.loop import AHEAD

_WRITTEN = 5e7
"""Bytes per second that a slow disk writes."""


class FolderKeeper(Keeper):
    """Writes metrics and checkpoints, and stops on signals and at the deadline.

    Args:
      folder: the run folder. experiment: its experiment.
      checkpoints, writer: where states and rows go.
      reporter: reports to the user. deadline: the time limit of the run.
    """

    def __init__(
        self,
        folder: Path,
        experiment: Experiment,
        checkpoints: Checkpoints,
        writer: MetricsWriter,
        reporter: Reporter,
        deadline: Deadline,
    ):
        super().__init__(reporter)
        self.folder, self.experiment = folder, experiment
        self.checkpoints, self.writer, self.deadline = checkpoints, writer, deadline
        self._request: StopRequest | None = None
        self._agree = hosts.Agreement(AHEAD)
        self._began = 0

    @contextlib.contextmanager
    def watching(self, loop: Loop) -> Iterator[None]:
        """Signals are requests while the loop runs."""
        self._began = loop.progress.step
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(loop.session.state))
        self.deadline.save = size / _WRITTEN  # until one was timed
        with StopRequest(self.reporter.warn) as self._request:
            yield

    def write(self, row: dict[str, Any]) -> None:
        """Append the row to metrics.jsonl."""
        self.writer.write(row)

    def stop(self, loop: Loop) -> str:
        """The reason to stop: a signal, or too little time for another step and a save.

        Several processes take `AHEAD` more steps until all have received it.
        """
        if self._request is None:
            return ""
        self.deadline.save = self.checkpoints.seconds or self.deadline.save
        steps = 1 + AHEAD if hosts.several() else 1
        if self.deadline.reached(evaluation=self._next_evaluation(loop, steps), steps=steps):
            self._request.request_stop(
                "--max-hours", f"{self.deadline.hours} h are nearly over; saving."
            )
        return REASONS[self._agree(self._request.reason)]

    def stepped(self, loop: Loop, seconds: float) -> None:
        """Raise errors of background saves; record the duration of a step."""
        self.checkpoints.check()
        self.deadline.step = max(self.deadline.step, seconds)

    def save(self, loop: Loop, state: TrainState, score: float | None) -> None:
        """Start writing a checkpoint, after flushing the metrics up to it."""
        self.writer.flush()
        record = record_of(loop.progress, self.experiment)
        self.checkpoints.save(loop.progress.step, state, record, score=score)

    def stopped(self, loop: Loop, reason: str) -> None:
        """Wait for the save, then raise with the command that resumes.

        Raises:
          Interrupted: always, except for:
          ValueError: the time limit does not allow a single step, so restarts would never progress.
        """
        self.checkpoints.wait()
        step = loop.progress.step
        if reason == "--max-hours" and step == self._began:
            raise ValueError(
                f"max_hours={self.deadline.hours} ends before the first step of this process "
                f"and its save are done; step {step} is saved. Allow more."
            )
        raise Interrupted(str(self.folder), step, resume_command(self.folder), reason)

    def kept(self) -> str:
        """A sentence about the checkpoint that remains."""
        self.writer.flush()
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        kept = (
            f"The checkpoint of step {steps[-1]} is kept" if steps else "No checkpoint was due yet"
        )
        return f"{kept} in {self.folder}."

    def _next_evaluation(self, loop: Loop, steps: int) -> float:
        """Seconds of the evaluation that comes with the next steps; 0 if none does."""
        ahead = (loop.progress.step + 1 + n for n in range(steps))
        if not any(loop.evaluation_due(step) for step in ahead):
            return 0.0
        if loop.evaluation_seconds is not None:
            return loop.evaluation_seconds
        size = self.experiment.batch_size
        batches = -(-len(loop.session.test_set) // size)
        step = size / loop.rate if loop.rate else 0.0
        return self.deadline.step + batches * step  # compiling, and no more than training steps


def record_of(progress: Progress, experiment: Experiment) -> dict[str, Any]:
    """The record of a checkpoint: the progress and the experiment."""
    return {**dataclasses.asdict(progress), "experiment": experiment_to_dict(experiment)}


def progress_of(record: dict[str, Any], experiment: Experiment) -> Progress:
    """The progress in a checkpoint's record.

    Raises:
      ValueError: the checkpoint was saved by another run than `experiment`, or is damaged; the
        message completes "the checkpoint ...".
    """
    values = dict(record)
    owner = values.pop("experiment", None)
    try:
        progress = Progress(**values)
        saved_by = experiment if owner is None else experiment_from_dict(owner)
    except (TypeError, ValueError) as error:
        raise ValueError(f"has a damaged progress record: {error}") from error
    if lines := differences(saved_by, experiment):
        raise ValueError(f"belongs to another run: {'; '.join(lines)}")
    return progress
