"""`train`: from an experiment to a finished run folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from snnjax.data import PointDataset
from snnjax.data.speech import SequenceSet
from snnjax.sharding import parse_mesh
from snnjax.sparse import ArithmeticTable
from snnjax.train import hosts
from snnjax.train.checkpoint import Checkpoints, quiet_orbax
from snnjax.train.compile_cache import kept_programs
from snnjax.train.deadline import Deadline
from snnjax.train.errors import RunFolderError
from snnjax.train.experiment import (
    DataConfig,
    Experiment,
    differences,
    experiment_from_dict,
    experiment_to_dict,
    of_type,
)
from snnjax.train.finish import finish
from snnjax.train.folder import (
    DatasetInfo,
    check_info,
    create_folder,
    describe_data,
    keep_place,
    read_experiment,
    reopen_folder,
    resume_command,
    write_info,
)
from snnjax.train.forward import CloudForward
from snnjax.train.loop import Book, Loop, book_of
from snnjax.train.mesh import AXIS, check_divisible
from snnjax.train.plan import CapacityPlan, read_plan, scan, write_plan
from snnjax.train.programs import Programs
from snnjax.train.progress import Reporter
from snnjax.train.setup import abstract_spec, first_state, load_splits, read_table, steps_of
from snnjax.train.state import TrainState
from snnjax.train.step import StepSpec
from snnjax.train.writer import MetricsWriter, SilentWriter, cut_metrics


@hosts.guarded()
def train(
    experiment: Experiment | None,
    *,
    run_folder: str | Path | None = None,
    resume: bool = False,
    max_hours: float | None = None,
    compile_cache: str | Path | None = None,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Train an experiment, evaluate it, and leave all that matters in its run folder.

    The folder holds config.json, dataset.json, buckets.json (of clouds), metrics.jsonl,
    checkpoints/, summary.json, and with matplotlib pictures/ and report.html. A run that was
    killed at any moment continues from its last checkpoint with `resume=True`, and on the same
    devices it ends with the same weights, bit for bit, as if it had not been killed. If files of
    that checkpoint are damaged, the one before is taken, and a warning names the file.

    Where `jax.distributed` runs (see `snnjax.train.start`), all processes call this alike and
    share each batch; process 0 writes, into a folder that all of them see.

    Args:
      experiment: what to do; None with `resume` takes the run's own.
      run_folder: where to write; by default <run_root>/<name>-<seed>, or that with a number.
      resume: continue the run in `run_folder`, by default the newest of this name and seed.
      max_hours: save and stop in time for the process to end so many hours after its start.
      compile_cache: keep compiled programs in this folder; see `kept_programs`.
      progress: say on stderr what happens.
      mesh: devices with an axis "data"; by default what `experiment.mesh` says.

    Returns:
      The summary, as in summary.json.

    Raises:
      ValueError, TypeError: the configuration, the data or their combination is impossible.
      RunFolderError, CheckpointError: the folder cannot be used, or the disk is full.
      Diverged: loss, gradients or weights are not finite; the last good checkpoint is kept.
      Interrupted: Ctrl-C, SIGTERM or `max_hours`; the last step is saved.
      HostError: another process failed, or is gone.
    """
    deadline = Deadline(max_hours)
    quiet_orbax()
    with hosts.together():
        known, experiment, resume = _asked(experiment, run_folder, resume)
        mesh = parse_mesh(experiment.mesh) if mesh is None else mesh
        check_divisible(experiment.data.batch_size, mesh, experiment.accumulate)
        hosts.check_mesh(mesh)
        train_set, test_set = load_splits(experiment)
        info = describe_data(train_set, test_set)
        epoch_steps, total = steps_of(experiment, info)
        table = read_table(experiment)
        spec, create, shapes = abstract_spec(experiment, info, mesh)
    with contextlib.ExitStack() as held:
        with hosts.together():
            kept = held.enter_context(kept_programs(compile_cache))
            if known is None:
                known = hosts.from_first(lambda: str(create_folder(experiment, run_folder)))
            folder = Path(known)
            hosts.note(resume=resume_command(folder))
            held.enter_context(_locked(folder))
            reporter = Reporter(shown=progress and hosts.is_first(), total=total)
            held.enter_context(reporter)
            hosts.from_first(lambda: _keep_info(folder, info))
            if resume:
                hosts.from_first(lambda: keep_place(folder, experiment))
            hosts.check_shared(folder / "dataset.json")
            plan = _plan(folder, experiment, train_set, test_set, spec, table)
        _warn_of_cuts(reporter, experiment, train_set, test_set)
        share = f" of {jax.process_count()} processes" if hosts.several() else ""
        reporter.say(f"run folder {folder}, {mesh.size} device(s){share}, {total} steps{kept}")
        with contextlib.closing(Checkpoints(folder / "checkpoints")) as checkpoints:
            restored = _restore(checkpoints, shapes, experiment, reporter)
            state, book = restored or (first_state(spec, create), Book())
            with hosts.together():
                hosts.from_first(lambda: cut_metrics(folder / "metrics.jsonl", book.step))
            if resume:
                reporter.say(f"resuming after step {book.step}")
            with contextlib.closing(_writer(folder)) as writer:
                loop = Loop(
                    experiment,
                    folder,
                    mesh,
                    train_set,
                    test_set,
                    plan,
                    Programs(spec, reporter.say),
                    checkpoints,
                    writer,
                    reporter,
                    epoch_steps,
                    book,
                    deadline,
                )
                state = loop.fit(state)
            checkpoints.wait()
        with hosts.together():
            return finish(loop, state, info)


def _asked(
    experiment: Experiment | None, run_folder: str | Path | None, resume: bool
) -> tuple[str | None, Experiment, bool]:
    """The folder of a run to resume, the experiment, and whether to resume: as process 0 has it.

    Raises:
      ValueError: this process was started with another experiment.
    """

    def ask() -> tuple[str | None, dict[str, Any], bool]:
        folder = reopen_folder(experiment, run_folder) if resume else None
        if experiment is None and folder is None:
            raise TypeError("experiment may be None only with resume=True.")
        found = read_experiment(folder) if experiment is None and folder else experiment
        return folder and str(folder), experiment_to_dict(of_type(found, Experiment)), resume

    folder, values, resume = hosts.from_first(ask)
    if experiment is not None and not hosts.several():
        return folder, experiment, resume
    found = experiment_from_dict(values)
    if experiment is not None and (lines := differences(found, experiment)):
        raise ValueError(
            "all processes of a run need the same options; in this one against process 0: "
            + "; ".join(lines)
        )
    return folder, found, resume


def _keep_info(folder: Path, info: DatasetInfo) -> None:
    """Write down what the data are, or check that they are still the same."""
    if (folder / "dataset.json").exists():
        check_info(folder, info)
    else:
        write_info(folder, info)


def _writer(folder: Path) -> MetricsWriter:
    return MetricsWriter(folder / "metrics.jsonl") if hosts.is_first() else SilentWriter()


def _warn_of_cuts(reporter: Reporter, experiment: Experiment, *splits: PointDataset) -> None:
    """Say how many sequences are too long for the experiment."""
    steps, sets = experiment.data.rows, [s for s in splits if isinstance(s, SequenceSet)]
    if cut := sum(split.longer(steps) for split in sets):
        reporter.warn(
            f"{cut} of {sum(map(len, sets))} sequences have more than data.steps = {steps} frames "
            f"and lose their end; the longest has {max(split.longest for split in sets)}."
        )


def _plan(
    folder: Path,
    experiment: Experiment,
    train_set: PointDataset,
    test_set: PointDataset,
    spec: StepSpec,
    table: ArithmeticTable | None,
) -> CapacityPlan | None:
    """The recorded capacities; fitted now in a new run, or where the devices are others.

    Sequences have a fixed length and need none.
    """
    if not isinstance(spec.forward, CloudForward):
        return None
    path, depth = folder / "buckets.json", spec.forward.depth
    devices = spec.mesh.shape[AXIS]
    config = of_type(experiment.data, DataConfig)
    local, parts = config.batch_size // devices, experiment.accumulate

    def fit() -> None:
        if path.exists() and read_plan(path, depth=depth).serves(local, parts):
            return
        plan = scan(
            config,
            train_set,
            test_set,
            depth=depth,
            seed=experiment.seed,
            devices=devices,
            accumulate=parts,
            table=table,
        )
        write_plan(path, plan)

    hosts.from_first(fit)
    hosts.check_shared(path)
    return read_plan(path, depth=depth)  # what a resumed run will read


def _restore(
    checkpoints: Checkpoints, shapes: TrainState, experiment: Experiment, reporter: Reporter
) -> tuple[TrainState, Book] | None:
    """The newest state that is sound, and its book; None before the first checkpoint."""
    with hosts.together():
        step = hosts.from_first(lambda: checkpoints.newest(reporter.warn))
        if step is None:
            return None
        checkpoints.trust(step)
        state, progress = checkpoints.restore(step, shapes)
        try:
            return state, book_of(progress, experiment)
        except ValueError as error:
            raise checkpoints.unusable(step, str(error)) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this run; the lock dies with its process 0, however it ends."""
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
