"""`train`: from an experiment to a finished run folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from snnjax.data import ArraySource, DataInfo
from snnjax.experiment import Experiment, differences, experiment_from_dict, experiment_to_dict
from snnjax.runs import hosts
from snnjax.runs.checkpoint import Checkpoints, quiet_orbax
from snnjax.runs.compile_cache import kept_programs
from snnjax.runs.deadline import Deadline
from snnjax.runs.errors import RunFolderError
from snnjax.runs.finish import finish
from snnjax.runs.folder import (
    check_info,
    create_folder,
    keep_place,
    read_experiment,
    read_shapes,
    reopen_folder,
    resume_command,
    write_info,
)
from snnjax.runs.keeper import FolderKeeper, progress_of
from snnjax.runs.use import load_model
from snnjax.runs.writer import MetricsWriter, SilentWriter, truncate_metrics, write_json
from snnjax.tasks import goal_of
from snnjax.train import Loop, Programs, Progress, Reporter, Session, TrainState


@hosts.guarded()
def train(
    experiment: Experiment | None,
    *,
    run_folder: str | Path | None = None,
    resume: bool = False,
    max_hours: float | None = None,
    compile_cache: str | Path | bool = True,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Train and evaluate an experiment, and store the results in its run folder.

    The folder holds config.json, dataset.json, buckets.json (where batches have several shapes),
    metrics.jsonl, checkpoints/, summary.json, code/ (copies of the files that define classes from
    outside the library), and with matplotlib pictures/ and report.html. A run that was
    killed at any moment continues from its last checkpoint with `resume=True`, and on the same
    devices it ends with the same weights, bit for bit, as if it had not been killed. If files of
    that checkpoint are damaged, the one before is taken, and a warning names the file.

    Where `jax.distributed` runs (see `snnjax.runs.start`), all processes make the same call and
    share each batch; process 0 writes, into a folder that all can access.

    Args:
      experiment: the experiment; None with `resume` uses the run's own.
      run_folder: where to write; by default <run_root>/<name>-<seed>, numbered if taken.
      resume: continue the run in `run_folder`, by default the newest of this name and seed.
      max_hours: save and stop so that the process ends within this many hours of its start.
      compile_cache: keep compiled programs in this folder; True is a folder of the user, False
        keeps none. See `kept_programs`.
      progress: report progress on stderr.
      mesh: devices with an axis "data"; by default `experiment.mesh`.

    Returns:
      The summary, as in summary.json.

    Raises:
      ValueError, TypeError: the configuration, the data or their combination is invalid.
      RunFolderError, CheckpointError: the folder cannot be used, or the disk is full.
      Diverged: loss, gradients or weights are not finite; the last good checkpoint is kept.
      Interrupted: Ctrl-C, SIGTERM or `max_hours`; the last step is saved.
      HostError: another process failed, or is gone.
    """
    deadline = Deadline(max_hours)
    quiet_orbax()
    with hosts.together():
        known, experiment, resume = _agreed(experiment, run_folder, resume)
        session = Session.open(experiment, mesh, load=load_model)
        hosts.check_mesh(session.mesh)
        stored = None if known is None else read_shapes(Path(known))
        buckets = hosts.from_first(lambda: _buckets(session, stored, known))
        session = session.planned(buckets)
    with contextlib.ExitStack() as held:
        with hosts.together():
            kept = held.enter_context(kept_programs(compile_cache))
            if known is None:
                known = hosts.from_first(lambda: str(create_folder(experiment, run_folder)))
            folder = Path(known)
            hosts.note(resume=resume_command(folder))
            held.enter_context(_locked(folder))
            reporter = Reporter(shown=progress and hosts.is_first(), total=session.total)
            held.enter_context(reporter)
            hosts.from_first(lambda: _keep_info(folder, session.info))
            if resume:
                hosts.from_first(lambda: keep_place(folder, experiment))
            if buckets and buckets != stored:
                hosts.from_first(lambda: write_json(folder / "buckets.json", buckets))
            hosts.check_shared(folder / "dataset.json")
        for sentence in experiment.data.notices(session.train_set, session.test_set):
            reporter.warn(sentence)
        size = session.mesh.size
        share = f" of {jax.process_count()} processes" if hosts.several() else ""
        reporter.say(f"run folder {folder}, {size} device(s){share}, {session.total} steps{kept}")
        goal = goal_of(experiment.task)
        saved = Checkpoints(folder / "checkpoints", larger=goal.larger)
        with contextlib.closing(saved) as checkpoints:
            restored = _restore(checkpoints, session, reporter)
            state, done = restored or (session.first_state(), Progress())
            with hosts.together():
                hosts.from_first(lambda: truncate_metrics(folder / "metrics.jsonl", done.step))
            if resume:
                reporter.say(f"resuming after step {done.step}")
            programs = Programs(session.spec, reporter.say, reporter.warn)
            with contextlib.closing(_writer(folder)) as writer:
                keeper = FolderKeeper(folder, experiment, checkpoints, writer, reporter, deadline)
                loop = Loop(session, programs, keeper, done)
                state = loop.run(state)
            checkpoints.wait()
        with hosts.together():
            return finish(loop, folder, state)


def _agreed(
    experiment: Experiment | None, run_folder: str | Path | None, resume: bool
) -> tuple[str | None, Experiment, bool]:
    """The folder of a run to resume, the experiment, and whether to resume, as in process 0.

    Raises:
      ValueError: this process was started with another experiment.
    """

    def decide() -> tuple[str | None, dict[str, Any], bool]:
        folder = reopen_folder(experiment, run_folder) if resume else None
        if experiment is None and folder is None:
            raise TypeError("experiment may be None only with resume=True.")
        found = read_experiment(folder) if experiment is None and folder else experiment
        return folder and str(folder), experiment_to_dict(_checked(found)), resume

    folder, values, resume = hosts.from_first(decide)
    if experiment is not None and not hosts.several():
        return folder, experiment, resume
    found = experiment_from_dict(values)
    if experiment is not None and (lines := differences(found, experiment)):
        raise ValueError(
            "all processes of a run need the same options; this one differs from process 0: "
            + "; ".join(lines)
        )
    return folder, found, resume


def _checked(experiment: Any) -> Experiment:
    if not isinstance(experiment, Experiment):
        raise TypeError(
            f"`train` needs a snnjax.experiment.Experiment; got {type(experiment).__name__}."
        )
    if isinstance(experiment.data, ArraySource):
        raise TypeError(
            "`train` cannot store arrays in memory in its run folder, from which a run is "
            "evaluated and resumed. Train on them with `snnjax.runs.fit`, or read them from a file "
            "with a source of your own, see docs/extending.md."
        )
    return experiment


def _keep_info(folder: Path, info: DataInfo) -> None:
    """Record the facts about the data, or check that they are unchanged."""
    if (folder / "dataset.json").exists():
        check_info(folder, info)
    else:
        write_info(folder, info)


def _writer(folder: Path) -> MetricsWriter:
    return MetricsWriter(folder / "metrics.jsonl") if hosts.is_first() else SilentWriter()


def _buckets(session: Session, stored: dict[str, Any] | None, folder: str | None) -> dict[str, Any]:
    """The buckets of a run: the recorded ones, fitted now in a new run or on other devices."""
    try:
        return session.planned(stored).shapes.to_json()
    except ValueError as error:
        if stored is None:
            raise
        raise RunFolderError(
            f"{folder}/buckets.json does not fit the run: {error} Restore it, or start a new run."
        ) from error


def _restore(
    checkpoints: Checkpoints, session: Session, reporter: Reporter
) -> tuple[TrainState, Progress] | None:
    """The newest intact state and its progress; None before the first checkpoint."""
    with hosts.together():
        step = hosts.from_first(lambda: checkpoints.newest(reporter.warn))
        if step is None:
            return None
        checkpoints.trust(step)
        state, record = checkpoints.restore(step, session.state)
        try:
            return state, progress_of(record, session.experiment)
        except ValueError as error:
            raise checkpoints.unusable(step, str(error)) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the run folder; the lock is released when process 0 ends, in whatever way."""
    if not hosts.is_first():
        yield
        return
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        yield
        return
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise RunFolderError(f"cannot write in {folder}: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(
                f"{folder} is in use by another process; wait for it, or end it."
            ) from error
        file.write(str(os.getpid()))
        file.flush()
        yield
