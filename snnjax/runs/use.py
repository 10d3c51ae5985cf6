"""Use of runs: load, evaluate, predict, read."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from snnjax.data import DataInfo
from snnjax.experiment import Experiment
from snnjax.runs.checkpoint import Checkpoints, quiet_orbax
from snnjax.runs.compile_cache import kept_programs
from snnjax.runs.errors import CheckpointError, RunFolderError
from snnjax.runs.folder import read_experiment, read_info, read_shapes
from snnjax.runs.keeper import progress_of
from snnjax.runs.writer import read_json, read_metrics
from snnjax.sharding import parse_mesh
from snnjax.tasks import goal_of
from snnjax.train import (
    Programs,
    Reporter,
    Session,
    Trained,
    Votes,
    Weights,
    check_divisible,
    evaluated,
    evaluations,
    merge_model,
)
from snnjax.viz import save_figure

_log = logging.getLogger("snnjax.train")


@dataclass(frozen=True)
class Restored:
    """A trained run, loaded from its folder.

    Attributes:
      session: its prepared experiment, without data.
      weights: the evaluated weights, on the mesh.
      step: the checkpoint they come from.
    """

    session: Session
    weights: Weights
    step: int

    @property
    def experiment(self) -> Experiment:
        """The run's configuration."""
        return self.session.experiment

    @property
    def info(self) -> DataInfo:
        """Classes and channels of its data."""
        return self.session.info


@dataclass(frozen=True)
class RunRecord:
    """The content of a run folder, without its arrays.

    Attributes:
      folder: the run folder.
      experiment: its configuration.
      summary: summary.json; empty if the run has not ended.
      metrics: the complete rows of metrics.jsonl.
    """

    folder: Path
    experiment: Experiment
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]


def read_run(folder: str | Path) -> RunRecord:
    """Read configuration, summary and metrics of a run folder.

    Raises:
      RunFolderError: it is not a run folder, or a file of it is damaged.
    """
    folder = Path(folder)
    experiment = read_experiment(folder)
    path = folder / "summary.json"
    summary = read_json(path) if path.is_file() else {}
    return RunRecord(folder, experiment, summary, read_metrics(folder / "metrics.jsonl"))


def restore(
    run_folder: str | Path, *, checkpoint: str | int = "last", mesh: Mesh | None = None
) -> Restored:
    """The evaluated weights of a run (the running average, if it kept one).

    Args:
      run_folder: written by `train`.
      checkpoint: "last", or the one before if its files are damaged, which is logged as a warning;
        "best" (by the task's goal), or a step that is still kept.
      mesh: where the weights go; None takes the devices of the run, or one where this process has
        other devices.

    Raises:
      RunFolderError, CheckpointError: no such run, no checkpoint yet, or a damaged one.
    """
    quiet_orbax()
    folder = Path(run_folder)
    experiment, info = read_experiment(folder), read_info(folder)
    mesh = own_mesh(experiment) if mesh is None else mesh
    session = Session.of(dataclasses.replace(experiment, sharding="replicated"), info, mesh)
    if not (folder / "checkpoints").is_dir():
        raise CheckpointError(f"{folder} has no checkpoint yet; train it first.")
    goal = goal_of(experiment.task)
    saved = Checkpoints(folder / "checkpoints", read_only=True, larger=goal.larger)
    with contextlib.closing(saved) as checkpoints:
        last = checkpoint == "last"
        step = checkpoints.newest(_log.warning) if last else checkpoints.pick(checkpoint)
        if step is None:
            raise CheckpointError(f"{folder} has no checkpoint yet; resume its training.")
        state, record = checkpoints.restore(step, session.state)
        try:
            progress_of(record, experiment)
        except ValueError as error:
            raise checkpoints.unusable(step, str(error)) from error
    session = dataclasses.replace(session, experiment=experiment)
    return Restored(session, evaluated(state), step)


def own_mesh(experiment: Experiment) -> Mesh:
    """A mesh with the data axis of a run if this process has its devices, else one device.

    On the devices of the run an evaluation repeats its numbers exactly. Sums of float32 depend on
    how a batch is divided: elsewhere the last digits differ, and with them a few spikes.
    """
    try:
        data = parse_mesh(experiment.mesh).shape["data"]
        mesh = parse_mesh(f"data={data}", jax.devices()[:data])
        check_divisible(experiment.batch_size, mesh)
    except ValueError:  # devices that differ from those of the run
        return parse_mesh("data=1", jax.local_devices())
    return mesh


def load(run_folder: str | Path, *, checkpoint: str | int = "last") -> tuple[Experiment, Any]:
    """The experiment of a run, and its trained model as an `nnx.Module`."""
    run = restore(run_folder, checkpoint=checkpoint)
    return run.experiment, merge_model(run.session.spec.graphdef, run.weights)


def load_model(run_folder: str | Path) -> Any:
    """The trained model of a run, for a task that names it as its teacher."""
    return load(run_folder)[1]


def evaluate(
    run_folder: str | Path,
    *,
    data: str | None = None,
    checkpoint: str | int = "last",
    skip_bad: bool = False,
    votes: int = 0,
    test_part: bool = False,
    evaluators: tuple[Any, ...] = (),
    compile_cache: str | Path | bool = True,
) -> dict[str, Any]:
    """Test a run on its test split, or on the test split of another source.

    Args:
      run_folder: written by `train`.
      data: another path of data with the same classes and channels; None takes the run's own.
      checkpoint: as in `restore`.
      skip_bad: skip malformed samples and count them, even if the run did not.
      votes: also average over this many changed copies of each sample, see `Votes`; 0 disables it.
      test_part: for a run with `data.validate`, test on the test part of the data instead.
      evaluators: further measurements, beyond those of the run.
      compile_cache: as in `train`.

    Returns:
      The task's scores, rates, operations and energy under the names of summary.json, and the
      numbers of the evaluators.

    Raises:
      ValueError: the other source has other classes or channels, or `test_part` was set for a run
        that tests on that part anyway.
    """
    if votes < 0:
        raise ValueError(f"`votes` must be at least 0; got {votes}.")
    run = restore(run_folder, checkpoint=checkpoint)
    folder = Path(run_folder)
    extra = (*run.experiment.evaluators, *evaluators, *((Votes(votes),) if votes else ()))
    source = _source(run.experiment, data, skip_bad, test_part)
    dataset = source.open("test")
    _check_source(run.info, dataset)
    began = time.perf_counter()
    with kept_programs(compile_cache):
        session = _planned(run, folder, source, dataset, fitted=data is not None)
        programs = Programs(session.spec, Reporter(shown=False).say, _log.warning)
        trained = Trained(session, programs, run.weights)
        result = trained.evaluate(dataset)
        more = evaluations(extra, trained, dataset)
    goal = f"test_{goal_of(run.experiment.task, result.scores).name}"
    numbers = result.numbers() | more
    return {
        goal: numbers.pop(goal),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.weights.params)),
        **numbers,
        "seconds": round(time.perf_counter() - began, 2),
        "compiles": programs.compiles,
        "run_folder": str(folder),
        "checkpoint": run.step,
        "skipped": dataset.skipped,
        "devices": session.mesh.size,
    }


def _source(experiment: Experiment, data: str | None, skip_bad: bool, test_part: bool) -> Any:
    """The source of an evaluation."""
    source: Any = experiment.data
    if data is not None:
        source = dataclasses.replace(source, path=data)
    if skip_bad:
        source = dataclasses.replace(source, skip_bad=True)
    return source.for_testing() if test_part else source


def _planned(run: Restored, folder: Path, source: Any, dataset: Any, *, fitted: bool) -> Session:
    """The session with buckets for a test split: the run's own, or fitted to another one."""
    experiment = dataclasses.replace(run.experiment, data=source)
    session = dataclasses.replace(run.session, experiment=experiment).with_spec(source=source)
    stored = None if fitted else _stored(folder, session)
    if stored is None:
        stored = source.shapes(None, dataset, session.model, session.layout)
    return dataclasses.replace(session, shapes=stored)


def _stored(folder: Path, session: Session) -> Any:
    """The buckets of a run folder; None if they do not suit this mesh."""
    try:
        shapes = session.source.shapes_from_json(
            read_shapes(folder) or {}, session.model, session.layout
        )
    except ValueError as error:
        raise RunFolderError(
            f"{folder / 'buckets.json'} does not fit the run: {error} Restore it, or start a new "
            "run."
        ) from error
    return shapes if shapes.serves(session.layout) else None


def predict(
    run_folder: str | Path,
    path: str | Path,
    *,
    checkpoint: str | int = "last",
    compile_cache: str | Path | bool = True,
    out: str | Path | None = None,
) -> list[tuple[str, float]]:
    """The prediction of a run for one file; for a classifier, the probabilities in falling order.

    The file is read like a test sample and uses exactly the rows it needs.

    Args:
      run_folder: of the run. path: the file. checkpoint: "last", "best" or a step.
      compile_cache: see `train`.
      out: folder for the files of the prediction (see `Task.files`) and its picture, which are
        named like `path`; None writes nothing.

    Raises:
      DataError, ValueError: the file is malformed, or has other channels than the run's data.
    """
    folder = Path(run_folder)
    one = parse_mesh("data=1", jax.local_devices())
    run = restore(folder, checkpoint=checkpoint, mesh=one)
    sample = run.session.source.read(path)
    shapes = run.session.source.shapes_from_json(
        read_shapes(folder) or {}, run.session.model, run.session.layout
    )
    session = dataclasses.replace(run.session, shapes=shapes)
    _check_channels(run.info, sample, path)
    with kept_programs(compile_cache):
        programs = Programs(session.spec, _log.info)
        known, outputs = Trained(session, programs, run.weights).predicted(sample)
    task = run.experiment.task
    if out is not None:
        _write_prediction(Path(out), Path(path).stem, task, outputs, known, run.info)
    return task.answer(outputs, run.info)


def _write_prediction(
    folder: Path, name: str, task: Any, outputs: Any, sample: dict[str, Any], info: DataInfo
) -> None:
    """The files and the picture of one prediction.

    Raises:
      ValueError: the task has neither.
    """
    files = task.files(outputs, sample, info)
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in files.items():
        (folder / f"{name}{ending}").write_bytes(content)
    picture = task.draw(outputs, sample, info)
    if picture is not None:
        save_figure(picture.figure, folder / f"{name}.png")
    elif not files:
        raise ValueError(
            f"{type(task).__name__} writes no files of a prediction; leave out the output folder, "
            "or define `files` or `draw`."
        )


def _check_channels(info: DataInfo, sample: dict[str, Any], path: str | Path) -> None:
    """Raise if the channels of a file differ from those of the training data."""
    arrays = [value for value in sample.values() if getattr(value, "ndim", 0) > 1]
    if arrays and all(array.shape[-1] != info.in_channels for array in arrays):
        raise ValueError(
            f"{path} has {arrays[0].shape[-1]} channels; the model was trained with "
            f"{info.in_channels}. Give a file like those it was trained on."
        )


def _check_source(info: DataInfo, dataset: Any) -> None:
    if tuple(dataset.class_names) != info.class_names:
        raise ValueError(
            f"the data has the classes {', '.join(dataset.class_names)}; the run was trained on "
            f"{', '.join(info.class_names)}. Evaluate on data with the same classes in order."
        )
    if dataset.in_channels != info.in_channels:
        raise ValueError(
            f"the data has {dataset.in_channels} channels; the run was trained with "
            f"{info.in_channels}."
        )
