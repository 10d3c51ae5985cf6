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
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from snnjax.data import PointBatch, PointDataset, read_cloud
from snnjax.data.speech import read_recording
from snnjax.sharding import parse_mesh
from snnjax.sparse import Buckets, Capacities
from snnjax.train.checkpoint import Checkpoints, quiet_orbax
from snnjax.train.errors import CheckpointError
from snnjax.train.evaluate import evaluate_delays, evaluate_weights, vote
from snnjax.train.experiment import DataConfig, Experiment, Source, SpeechConfig, of_type
from snnjax.train.folder import DatasetInfo, read_experiment, read_info
from snnjax.train.forward import CloudForward
from snnjax.train.loop import book_of
from snnjax.train.plan import fit_evaluation, fitting_capacities, read_plan
from snnjax.train.programs import Programs
from snnjax.train.progress import Reporter
from snnjax.train.setup import abstract_spec, load_test_split, read_table
from snnjax.train.state import Weights, evaluated, merge_model
from snnjax.train.step import StepSpec
from snnjax.train.writer import read_json, read_metrics

_log = logging.getLogger("snnjax.train")


@dataclass(frozen=True)
class Restored:
    """A run read back.

    Attributes:
      experiment: its configuration.
      info: classes and channels of its data.
      spec: the static part of its steps.
      weights: the evaluated weights, on the mesh.
      step: the checkpoint they come from.
    """

    experiment: Experiment
    info: DatasetInfo
    spec: StepSpec
    weights: Weights
    step: int


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says, without its arrays.

    Attributes:
      folder: the run folder.
      experiment: its configuration.
      summary: summary.json; empty if the run has not ended.
      metrics: the whole rows of metrics.jsonl.
    """

    folder: Path
    experiment: Experiment
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]


def read_run(folder: str | Path) -> RunRecord:
    """Read configuration, summary and metrics of a run folder.

    Raises:
      RunFolderError: it is no run folder, or a file of it is damaged.
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
        "best" (by test accuracy), or a step that is still kept.
      mesh: where the weights go; one device by default.

    Raises:
      RunFolderError, CheckpointError: no such run, no checkpoint yet, or a damaged one.
    """
    quiet_orbax()
    folder = Path(run_folder)
    experiment, info = read_experiment(folder), read_info(folder)
    mesh = parse_mesh("data=1", jax.local_devices()) if mesh is None else mesh
    whole = dataclasses.replace(experiment, sharding="replicated")
    spec, _, shapes = abstract_spec(whole, info, mesh)
    if not (folder / "checkpoints").is_dir():
        raise CheckpointError(f"{folder} has no checkpoint yet; train it first.")
    with contextlib.closing(Checkpoints(folder / "checkpoints", read_only=True)) as checkpoints:
        last = checkpoint == "last"
        step = checkpoints.newest(_log.warning) if last else checkpoints.pick(checkpoint)
        if step is None:
            raise CheckpointError(f"{folder} has no checkpoint yet; resume its training.")
        state, progress = checkpoints.restore(step, shapes)
        try:
            book_of(progress, experiment)
        except ValueError as error:
            raise checkpoints.unusable(step, str(error)) from error
    return Restored(experiment, info, spec, evaluated(state), step)


def load(run_folder: str | Path, *, checkpoint: str | int = "last") -> tuple[Experiment, Any]:
    """The experiment of a run, and its trained model as an `nnx.Module`."""
    run = restore(run_folder, checkpoint=checkpoint)
    return run.experiment, merge_model(run.spec.graphdef, run.weights)


def evaluate(
    run_folder: str | Path,
    *,
    data: str | None = None,
    checkpoint: str | int = "last",
    skip_bad: bool = False,
    votes: int = 0,
    test_part: bool = False,
) -> dict[str, Any]:
    """Test a run on its test split, or on the test split of another source.

    Args:
      run_folder: written by `train`.
      data: another source with the same classes and channels; None takes the run's own.
      checkpoint: as in `restore`.
      skip_bad: skip malformed samples and count them, even if the run did not.
      votes: also average over so many augmented copies of each cloud, as `vote` does; 0 does not.
      test_part: of a run with `data.validate`, test on the test part of the data after all.

    Returns:
      Accuracy, rates, operations and energy under the names of summary.json, and with votes
      `voted_accuracy`; everything else is of the clouds as they are. Of a model with learned
      delays also what `evaluate_delays` gives; everything else is with rounded ones.

    Raises:
      ValueError: the other source has other classes or channels, or `test_part` was asked of a run
        that tests on that part anyway.
    """
    run = restore(run_folder, checkpoint=checkpoint)
    folder, experiment = Path(run_folder), run.experiment
    if skip_bad:
        config = dataclasses.replace(experiment.data, skip_bad=True)
        experiment = dataclasses.replace(experiment, data=config)
    if test_part:
        experiment = _without_validation(experiment)
    dataset = load_test_split(experiment, data)
    _check_source(run.info, dataset)
    buckets = _buckets(run, folder, data, experiment, dataset)
    programs = Programs(run.spec, Reporter(shown=False).say)
    began = time.perf_counter()
    subject = (programs, run.weights, experiment, dataset, buckets, run.spec.mesh)
    voted = {"voted_accuracy": vote(*subject, votes)} if votes else {}
    result = evaluate_weights(*subject)
    delays = evaluate_delays(programs, run.weights, experiment, dataset, run.spec.mesh)
    numbers = {**result.numbers(experiment.model.largest_count), **voted, **delays}
    return {
        "test_accuracy": numbers.pop("test_accuracy"),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.weights.params)),
        **numbers,
        "seconds": round(time.perf_counter() - began, 2),
        "compiles": programs.compiles,
        "run_folder": str(folder),
        "checkpoint": run.step,
        "skipped": dataset.skipped,
    }


def _without_validation(experiment: Experiment) -> Experiment:
    config = experiment.data
    if not (isinstance(config, SpeechConfig) and config.validate):
        raise ValueError(
            "the test part is asked for with data.validate, and this run has no such; evaluate it "
            "without: it tests on its test split."
        )
    return dataclasses.replace(experiment, data=dataclasses.replace(config, validate=False))


def _buckets(
    run: Restored, folder: Path, data: str | None, experiment: Experiment, dataset: PointDataset
) -> Buckets | None:
    """Capacities of a test split: the run's own, or fitted to another source's."""
    if not isinstance(run.spec.forward, CloudForward):
        return None
    depth = run.spec.forward.depth
    if data is None:
        return read_plan(folder / "buckets.json", depth=depth).evaluation
    config, table = of_type(experiment.data, DataConfig), read_table(experiment)
    return fit_evaluation(config, dataset, depth=depth, table=table)


def predict(
    run_folder: str | Path, path: str | Path, *, checkpoint: str | int = "last"
) -> list[tuple[str, float]]:
    """Class probabilities of one file, the most probable class first.

    A cloud or mesh is normalised and thinned as a test sample would be; its voxels get exactly the
    rows they need. A wave file goes through the front end of the run.

    Raises:
      DataError, ValueError: the file is malformed, or has other channels than the run's data.
    """
    run = restore(run_folder, checkpoint=checkpoint)
    config = run.experiment.data
    points, count = _read_one(config, path)
    if points.shape[1] != run.info.in_channels:
        raise ValueError(
            f"{path} has {points.shape[1]} channels a point; the model was trained with "
            f"{run.info.in_channels}. Give a file like those of {config.source}."
        )
    one = np.ones(1)
    batch = PointBatch(
        points[None].astype(np.float32),
        np.array([count], np.int32),
        np.zeros(1, np.int32),
        one.astype(np.float32),
        np.zeros(1, np.int32),
    )
    forward, capacities = run.spec.forward, None
    if isinstance(forward, CloudForward):
        capacities = fitting_capacities(batch, forward.extent, forward.depth)
    logits = _logits(run, batch, capacities)
    probabilities = np.asarray(jax.nn.softmax(logits.astype(jnp.float32)))[0]
    order = np.argsort(-probabilities, kind="stable")
    return [(run.info.class_names[k], float(probabilities[k])) for k in order]


def _read_one(config: Source, path: str | Path) -> tuple[np.ndarray, int]:
    """The points of a cloud, or the frames of a recording filled up to T; and their number."""
    if isinstance(config, SpeechConfig):
        frames = read_recording(path, config.front_end)[: config.steps]
        return np.pad(frames, ((0, config.steps - len(frames)), (0, 0))), len(frames)
    clouds = of_type(config, DataConfig)
    points = read_cloud(
        path,
        points=clouds.points,
        normals=clouds.normals,
        outlier_limit=clouds.outlier_limit,
    )
    return points, len(points)


def _logits(run: Restored, batch: PointBatch, capacities: Capacities | None) -> jax.Array:
    forward = run.spec.forward

    def scores(weights: Weights, points: jax.Array, count: jax.Array) -> jax.Array:
        model = merge_model(run.spec.graphdef, weights)
        x = forward.inputs(points, count, capacities)
        return forward(model, x, count, capacities, train=False).logits

    return jax.jit(scores)(run.weights, batch.points, batch.count)


def _check_source(info: DatasetInfo, dataset: Any) -> None:
    if tuple(dataset.class_names) != info.class_names:
        raise ValueError(
            f"the data has the classes {', '.join(dataset.class_names)}; the run was trained on "
            f"{', '.join(info.class_names)}. Evaluate on data with the same classes in order."
        )
    if dataset.in_channels != info.in_channels:
        raise ValueError(
            f"the data has {dataset.in_channels} channels a point; the run was trained with "
            f"{info.in_channels}."
        )
