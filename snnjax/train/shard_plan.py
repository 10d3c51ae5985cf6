"""What a sharding costs before a device is taken: bytes where they lie, and what a step sends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax

from snnjax.sharding import Collective, collectives, parameter_path, parse_mesh
from snnjax.train.experiment import DataConfig, Experiment, of_type
from snnjax.train.feed import train_feed
from snnjax.train.folder import describe_data
from snnjax.train.forward import CloudForward
from snnjax.train.mesh import AXIS, check_divisible
from snnjax.train.plan import scan
from snnjax.train.setup import abstract_spec, load_splits, read_table
from snnjax.train.state import TrainState
from snnjax.train.step import train_step


@dataclass(frozen=True)
class Placement:
    """Where one parameter lies.

    Attributes:
      path, shape, dtype: of the parameter.
      spec: the axis of the mesh that cuts each dimension, or None; empty if it is whole.
      bytes: on one device.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    spec: tuple[str | None, ...]
    bytes: int


@dataclass(frozen=True)
class ShardPlan:
    """A training step on a mesh.

    Attributes:
      mesh: sizes of its axes.
      sharding: the preset.
      parameters: one row each.
      device_bytes: on one device, of parameters, statistics, optimiser and running average.
      whole_bytes: the same if nothing were cut.
      scratch_bytes: temporary memory of the step on one device, as the compiler plans it.
      collectives: what the step sends.
    """

    mesh: dict[str, int]
    sharding: str
    parameters: tuple[Placement, ...]
    device_bytes: dict[str, int]
    whole_bytes: dict[str, int]
    scratch_bytes: int
    collectives: tuple[Collective, ...]


def shard_plan(experiment: Experiment) -> ShardPlan:
    """Compile a training step of the experiment on its mesh; nothing is trained or stored.

    The devices must be there, be it fake ones: `snnjax shard-plan` makes those.

    Raises:
      ValueError: mesh, sharding, batch and model do not fit each other.
    """
    mesh = parse_mesh(experiment.mesh)
    check_divisible(experiment.data.batch_size, mesh, experiment.accumulate)
    train_set, test_set = load_splits(experiment)
    spec, _, shapes = abstract_spec(experiment, describe_data(train_set, test_set), mesh)
    plan = None
    if isinstance(spec.forward, CloudForward):
        plan = scan(
            of_type(experiment.data, DataConfig),
            train_set,
            test_set,
            depth=spec.forward.depth,
            seed=experiment.seed,
            devices=mesh.shape[AXIS],
            accumulate=experiment.accumulate,
            table=read_table(experiment),
        )
    with train_feed(experiment, train_set, plan, mesh, None) as feed:
        item = next(iter(feed))
    compiled = train_step(spec, item.capacities).lower(shapes, item.batch).compile()
    return ShardPlan(
        dict(mesh.shape),
        experiment.sharding,
        _placements(shapes.weights.params),
        _sizes(shapes, cut=True),
        _sizes(shapes, cut=False),
        int(compiled.memory_analysis().temp_size_in_bytes),
        tuple(collectives(compiled.as_text())),
    )


def _placements(params: Any) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            parameter_path(keys),
            leaf.shape,
            str(leaf.dtype),
            tuple(leaf.sharding.spec),
            _bytes(leaf, cut=True),
        )
        for keys, leaf in jax.tree.leaves_with_path(params)
    )


def _sizes(shapes: TrainState, *, cut: bool) -> dict[str, int]:
    parts = {
        "parameters": shapes.weights.params,
        "statistics": shapes.weights.stats,
        "optimiser": shapes.opt_state,
        "average": shapes.ema,
    }
    return {
        name: sum(_bytes(leaf, cut=cut) for leaf in jax.tree.leaves(tree))
        for name, tree in parts.items()
    }


def _bytes(leaf: jax.ShapeDtypeStruct, *, cut: bool) -> int:
    shape = leaf.sharding.shard_shape(leaf.shape) if cut and leaf.sharding else leaf.shape
    return math.prod(shape) * leaf.dtype.itemsize
