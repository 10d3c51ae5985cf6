"""What an experiment and its data fix before the first step: model, optimiser, step."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from snnjax.data import PointDataset, load_dataset
from snnjax.data.speech import load_speech
from snnjax.losses import membrane_mean, softmax_sum
from snnjax.nn import compute_in, set_remat
from snnjax.sparse import ArithmeticTable
from snnjax.train.experiment import (
    DataConfig,
    Experiment,
    Network,
    SequenceConfig,
    Source,
    SpeechConfig,
    of_type,
)
from snnjax.train.folder import DatasetInfo
from snnjax.train.forward import CloudForward, Forward, SequenceForward
from snnjax.train.mesh import put
from snnjax.train.optimisers import build_optimiser
from snnjax.train.schedules import build_schedule, momentum_schedule
from snnjax.train.state import TrainState, Weights, create_state, split_model, state_shardings
from snnjax.train.step import StepSpec

READOUTS = {"softmax_sum": softmax_sum, "mean": membrane_mean}


def load_splits(experiment: Experiment) -> tuple[PointDataset, PointDataset]:
    """The training and the test split."""
    return _load(experiment.data, "train", experiment.data.train_size), load_test_split(experiment)


def load_test_split(experiment: Experiment, source: str | None = None) -> PointDataset:
    """The test split, of another source if one is given."""
    config = experiment.data
    if source is not None:
        config = replace(config, source=source)
    return _load(config, "test", config.test_size)


def _load(config: Source, split: str, size: int | None) -> PointDataset:
    if isinstance(config, SpeechConfig):
        return load_speech(
            config.source,
            split,
            front_end=config.front_end,
            held_out=config.held_out,
            validate=config.validate,
            size=size,
            skip_bad=config.skip_bad,
        )
    clouds = of_type(config, DataConfig)
    return load_dataset(
        clouds.source,
        split,
        points=clouds.points,
        skip_bad=clouds.skip_bad,
        size=size,
        normals=clouds.normals,
        outlier_limit=clouds.outlier_limit,
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


def build_model(config: Network, info: DatasetInfo, *, seed: int) -> Any:
    """The named model for this data, with weights drawn from `seed`.

    The fields of `config` are the options of its constructor, but for the name.

    Raises:
      ValueError: no model of this kind is called so; the nearest name is given.
    """
    from snnjax.models import MODELS, SEQUENCE_MODELS

    models = SEQUENCE_MODELS if isinstance(config, SequenceConfig) else MODELS
    make = models.get(config.name)
    if make is None:
        known = list(models)
        near = difflib.get_close_matches(config.name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        raise ValueError(f"no model is called {config.name!r}; {hint}")
    options = {field.name: getattr(config, field.name) for field in fields(config)}
    options.pop("name")
    if isinstance(config, SequenceConfig):
        options["readout"] = READOUTS[config.readout]
    return make(
        in_channels=info.in_channels,
        num_classes=len(info.class_names),
        **options,
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
            f"data.batch_size must be at most the {info.train_size} training samples; got "
            f"{experiment.data.batch_size}."
        )
    return steps, steps * experiment.epochs


def build_spec(
    experiment: Experiment, info: DatasetInfo, mesh: Mesh
) -> tuple[StepSpec, TrainState]:
    """The static part of the step, and the state before the first update, on the mesh.

    What is cut is made in place: no device ever holds it whole.

    Raises:
      ValueError: the model cannot halve the grid as often as it would, has no products for the
        precision or no layers for the remat of the experiment, or its sharding does not fit the
        parameters or the mesh.
    """
    spec, create, _ = abstract_spec(experiment, info, mesh)
    return spec, first_state(spec, create)


def first_state(spec: StepSpec, create: Callable[[], tuple[Any, TrainState]]) -> TrainState:
    """The state before the first update, of what `abstract_spec` gave; here weights are drawn."""
    if all(leaf.is_fully_replicated for leaf in jax.tree.leaves(spec.shardings)):
        # equal bit for bit, without a program to compile
        return put(create()[1], spec.shardings)
    return jax.jit(lambda: create()[1], out_shardings=spec.shardings)()


def abstract_spec(
    experiment: Experiment, info: DatasetInfo, mesh: Mesh
) -> tuple[StepSpec, Callable[[], tuple[Any, TrainState]], TrainState]:
    """As `build_spec`, but nothing is computed.

    Returns:
      The static part, a function that makes the model and the state, and the state's shapes with
      their shardings.
    """
    epoch_steps, total = steps_of(experiment, info)
    rule = experiment.optimiser
    schedule = build_schedule(experiment.schedule, rule.learning_rate, total, epoch_steps)
    group_schedules = [
        build_schedule(group.schedule, group.rate * rule.learning_rate, total, epoch_steps)
        for group in rule.groups
    ]
    momentum = None
    if rule.momentum_swing:
        momentum = momentum_schedule(
            experiment.schedule, rule.momentum, rule.momentum_swing, total, epoch_steps
        )
    optimiser = build_optimiser(rule, schedule, group_schedules, momentum)

    def draw() -> Any:
        model = build_model(experiment.model, info, seed=experiment.seed)
        if experiment.precision != "float32":
            compute_in(model, experiment.precision)
        if experiment.remat != "none":
            set_remat(model, experiment.remat)
        return model

    def start(weights: Weights) -> TrainState:
        key = jax.random.key(experiment.seed)
        return create_state(weights, optimiser, ema=experiment.ema > 0, key=key)

    def create() -> tuple[Any, TrainState]:
        model = draw()
        return model, start(split_model(model)[1])

    model = nnx.eval_shape(draw)  # knows modules that are used twice, as jax.eval_shape does not
    shapes = jax.eval_shape(start, split_model(model)[1])
    rules = getattr(model, "tensor_rules", None)
    shardings = state_shardings(shapes, experiment.sharding, mesh, rules)
    spec = StepSpec(
        split_model(model)[0],
        optimiser,
        schedule,
        build_forward(experiment, model),
        experiment.label_smoothing,
        experiment.ema,
        mesh,
        shardings,
        epoch_steps,
        experiment.epochs,
        experiment.accumulate,
        experiment.remat,
    )
    return spec, create, jax.tree.map(_with_sharding, shapes, shardings)


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def build_forward(experiment: Experiment, model: Any) -> Forward:
    """How a batch goes through the model."""
    if isinstance(experiment.model, SequenceConfig):
        return SequenceForward()
    extent = of_type(experiment.data, DataConfig).extent
    _check_grid(extent, model.depth)
    return CloudForward(extent, model.depth)


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
