"""An experiment that is ready to run: open data, model and step built, batch feeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from snnjax.data import DataInfo, Dataset, Layout, Shapes, Source, Static
from snnjax.experiment import Experiment
from snnjax.nn import Module, compute_in
from snnjax.sharding import parse_mesh
from snnjax.tasks import goal_of
from snnjax.train.feed import Prepared, evaluation_feed, train_feed
from snnjax.train.mesh import AXIS, check_divisible, put
from snnjax.train.optimisers import build_optimiser
from snnjax.train.prefetch import Prefetch
from snnjax.train.schedules import build_schedule, momentum_schedule
from snnjax.train.state import TrainState, Weights, create_state, split_model, state_shardings
from snnjax.train.step import StepSpec


@dataclass(frozen=True)
class Session:
    """What an experiment determines before the first step; only shapes are computed.

    Attributes:
      experiment: the experiment.
      mesh: the devices.
      info: facts about the data.
      spec: the static part of the steps.
      model: the abstract model, without arrays.
      state: shapes of the training state, with their shardings.
      create: draws the weights and makes the state before the first update.
      shapes: the buckets of the batches.
      splits: the training and the test split, where they were opened.
    """

    experiment: Experiment
    mesh: Mesh
    info: DataInfo
    spec: StepSpec
    model: Any
    state: TrainState
    create: Callable[[], TrainState]
    shapes: Shapes = field(default_factory=Static)
    splits: tuple[Dataset, Dataset] | None = None

    @classmethod
    def open(
        cls,
        experiment: Experiment,
        mesh: Mesh | None = None,
        *,
        build: Callable[..., Any] | None = None,
        load: Callable[[str], Any] | None = None,
    ) -> Session:
        """Open and describe both splits, and build model and step; batches are not planned yet.

        Args:
          experiment: the experiment. mesh: devices; None uses the experiment's mesh.
          build: makes the model from (info, rngs); None uses that of the model's configuration.
          load: returns trained models that the task refers to, such as a teacher.

        Raises:
          ValueError, TypeError: the parts do not fit each other.
        """
        mesh = parse_mesh(experiment.mesh) if mesh is None else mesh
        check_divisible(experiment.batch_size, mesh, experiment.accumulate)
        splits = experiment.data.open("train"), experiment.data.open("test")
        info = DataInfo.of(*splits)
        session = cls.of(experiment, info, mesh, build=build)
        if load is not None:
            session = session.with_spec(task=session.spec.task.bind(load))
        return replace(session, splits=splits)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        info: DataInfo,
        mesh: Mesh,
        *,
        build: Callable[..., Any] | None = None,
    ) -> Session:
        """A session for data that are described, but not opened."""
        make: Callable[..., Any] = build or experiment.model.build

        def draw() -> Any:
            model = make(info, rngs=nnx.Rngs(experiment.seed))
            if experiment.precision != "float32":
                compute_in(model, experiment.precision)
            return model

        goal_of(experiment.task)  # refuses a goal without a direction
        model = nnx.eval_shape(draw)  # unlike jax.eval_shape it supports shared modules
        if not isinstance(model, Module):
            raise TypeError(
                f"a model that is trained must be a snnjax.nn.Module with forward(run, x); got "
                f"{type(model).__name__}. See docs/extending.md."
            )
        epoch_steps, total = steps_of(experiment, info)
        optimiser, schedule = _update_rule(experiment, epoch_steps, total)
        start = _starter(experiment, optimiser)
        graphdef, weights = split_model(model)
        shapes = jax.eval_shape(start, weights)
        tensor = experiment.sharding in ("tensor", "mixed")
        rules = (model.tensor_rules() or None) if tensor else None
        shardings = state_shardings(shapes, experiment.sharding, mesh, rules)
        spec = StepSpec(
            graphdef,
            optimiser,
            schedule,
            experiment.data,
            experiment.task,
            info,
            experiment.ema,
            mesh,
            shardings,
            epoch_steps,
            -(-total // epoch_steps),
            experiment.accumulate,
            experiment.remat,
        )
        state = jax.tree.map(_with_sharding, shapes, shardings)
        return cls(
            experiment, mesh, info, spec, model, state, lambda: start(split_model(draw())[1])
        )

    @property
    def source(self) -> Source:
        """The source of the batches."""
        return self.experiment.data

    @property
    def train_set(self) -> Dataset:
        """The training split."""
        return self._opened()[0]

    @property
    def test_set(self) -> Dataset:
        """The test split."""
        return self._opened()[1]

    @property
    def layout(self) -> Layout:
        """How batches are divided."""
        own = self.experiment
        return Layout(own.batch_size, self.mesh.shape[AXIS], own.accumulate, own.seed)

    @property
    def total(self) -> int:
        """Updates of the run."""
        return steps_of(self.experiment, self.info)[1]

    def planned(self, stored: dict[str, Any] | None = None) -> Session:
        """A session with buckets for its batches: the stored ones, or else fitted to the data.

        Raises:
          ValueError: the stored values are not buckets of this model.
        """
        if stored is not None:
            known = self.source.shapes_from_json(stored, self.model, self.layout)
            if known.serves(self.layout):
                return replace(self, shapes=known)
        found = self.source.shapes(self.train_set, self.test_set, self.model, self.layout)
        return replace(self, shapes=found)

    def with_spec(self, **changes: Any) -> Session:
        """A session with another graph, source or task."""
        return replace(self, spec=self.spec._replace(**changes))

    def first_state(self) -> TrainState:
        """Draw the state before the first update, sharded on the mesh."""
        shardings = self.spec.shardings
        if all(leaf.is_fully_replicated for leaf in jax.tree.leaves(shardings)):
            return put(self.create(), shardings)  # equal bit for bit, without a program to compile
        return jax.jit(self.create, out_shardings=shardings)()

    def train_feed(self, position: dict[str, Any] | None = None) -> Prefetch[Prepared]:
        """Endless training batches, see `snnjax.train.feed`."""
        return train_feed(self, position)

    def evaluation_feed(
        self, dataset: Dataset, *, source: Source | None = None, copies: int = 0
    ) -> Prefetch[Prepared]:
        """The batches of a split, see `snnjax.train.feed`."""
        return evaluation_feed(self, dataset, source=source, copies=copies)

    def _opened(self) -> tuple[Dataset, Dataset]:
        if self.splits is None:
            raise ValueError("the data of this session were not opened; use Session.open.")
        return self.splits


def steps_of(experiment: Experiment, info: DataInfo) -> tuple[int, int]:
    """Steps of an epoch and of the run.

    Raises:
      ValueError: the training split does not fill one batch.
    """
    steps = info.train_size // experiment.batch_size
    if steps == 0:
        raise ValueError(
            f"batch_size must be at most the {info.train_size} training samples; got "
            f"{experiment.batch_size}."
        )
    return steps, experiment.steps or steps * (experiment.epochs or 1)


def _update_rule(experiment: Experiment, epoch_steps: int, total: int) -> tuple[Any, Any]:
    """The optimiser and the schedule of its learning rate."""
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
    return build_optimiser(rule, schedule, group_schedules, momentum), schedule


def _starter(experiment: Experiment, optimiser: Any) -> Callable[[Weights], TrainState]:
    def start(weights: Weights) -> TrainState:
        key = jax.random.key(experiment.seed)
        return create_state(weights, optimiser, ema=experiment.ema > 0, key=key)

    return start


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
