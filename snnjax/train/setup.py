"""What an experiment and its data fix before the first step: model, optimiser, step."""

from __future__ import annotations

import difflib
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from snnjax.data import PointDataset, load_dataset
from snnjax.sparse import ArithmeticTable
from snnjax.train.experiment import Experiment, ModelConfig
from snnjax.train.folder import DatasetInfo
from snnjax.train.mesh import replicate
from snnjax.train.optimisers import build_optimiser
from snnjax.train.schedules import build_schedule
from snnjax.train.state import TrainState, create_state, split_model
from snnjax.train.step import StepSpec


def load_splits(experiment: Experiment) -> tuple[PointDataset, PointDataset]:
    """The training and the test split."""
    config = experiment.data
    train_set = load_dataset(
        config.source,
        "train",
        points=config.points,
        skip_bad=config.skip_bad,
        size=config.train_size,
        normals=config.normals,
    )
    return train_set, load_test_split(experiment)


def load_test_split(experiment: Experiment, source: str | None = None) -> PointDataset:
    """The test split, of another source if one is given."""
    config = experiment.data
    return load_dataset(
        config.source if source is None else source,
        "test",
        points=config.points,
        skip_bad=config.skip_bad,
        size=config.test_size,
        normals=config.normals,
    )


def read_table(experiment: Experiment) -> ArithmeticTable | None:
    """The table of arithmetics that the experiment names.

    Raises:
      ValueError: the file is not one of `snnjax profile --write-table`.
    """
    if experiment.arithmetic is None:
        return None
    try:
        return ArithmeticTable.read(experiment.arithmetic)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{experiment.arithmetic} is no table of arithmetics ({error}). "
            "Write one with: snnjax profile --write-table FILE"
        ) from error


def build_model(config: ModelConfig, info: DatasetInfo, *, seed: int) -> Any:
    """The named model for this data, with weights drawn from `seed`.

    Raises:
      ValueError: no model is called so; the nearest name is given.
    """
    from snnjax.models import MODELS

    make = MODELS.get(config.name)
    if make is None:
        known = list(MODELS)
        near = difflib.get_close_matches(config.name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        raise ValueError(f"no model is called {config.name!r}; {hint}")
    return make(
        in_channels=info.in_channels,
        num_classes=len(info.class_names),
        levels=config.levels,
        steps=config.steps,
        beta=config.beta,
        detach=config.detach,
        bn_decay=config.bn_decay,
        spike_head=config.spike_head,
        twin=config.twin,
        rngs=nnx.Rngs(seed),
    )


def steps_of(experiment: Experiment, info: DatasetInfo) -> tuple[int, int]:
    """Steps of an epoch and of the run.

    Raises:
      ValueError: the training split does not fill one batch.
    """
    steps = info.train_size // experiment.data.batch_size
    if steps == 0:
        raise ValueError(
            f"data.batch_size must be at most the {info.train_size} training clouds; got "
            f"{experiment.data.batch_size}."
        )
    return steps, steps * experiment.epochs


def build_spec(
    experiment: Experiment, info: DatasetInfo, mesh: Mesh
) -> tuple[StepSpec, TrainState]:
    """The static part of the step, and the state before the first update, on the mesh.

    Raises:
      ValueError: the model cannot halve the grid as often as it would.
    """
    _, total = steps_of(experiment, info)
    schedule = build_schedule(experiment.schedule, experiment.optimiser.learning_rate, total)
    optimiser = build_optimiser(experiment.optimiser, schedule)
    model = build_model(experiment.model, info, seed=experiment.seed)
    _check_grid(experiment.data.extent, model.depth)
    graphdef, weights = split_model(model)
    state = create_state(
        weights, optimiser, ema=experiment.ema > 0, key=jax.random.key(experiment.seed)
    )
    spec = StepSpec(
        graphdef,
        optimiser,
        schedule,
        model.depth,
        experiment.data.extent,
        experiment.label_smoothing,
        experiment.ema,
        mesh,
    )
    return spec, replicate(state, mesh)


def _check_grid(extent: int, depth: int) -> None:
    """Raise where a halving would leave out the last plane of the grid, and what lies in it."""
    step = 2**depth
    if extent % step:
        below = extent // step * step
        near = f"{below} or {below + step}" if below else str(step)
        raise ValueError(
            f"data.extent must be a multiple of {step}, since the model halves the grid {depth} "
            f"times; got {extent}. Use {near}."
        )
