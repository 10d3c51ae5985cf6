"""The cost of a sharding, without its devices: bytes per device and communication per step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from snnjax.experiment import Experiment
from snnjax.sharding import Collective, collectives, parameter_path
from snnjax.train.session import Session
from snnjax.train.state import TrainState
from snnjax.train.step import train_step


@dataclass(frozen=True)
class Placement:
    """The placement of one parameter.

    Attributes:
      path, shape, dtype: those of the parameter.
      spec: the axis of the mesh that shards each dimension, or None; empty if it is replicated.
      bytes: size on one device.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    spec: tuple[str | None, ...]
    bytes: int


@dataclass(frozen=True)
class ShardPlan:
    """The memory and communication of a training step on a mesh.

    Attributes:
      mesh: sizes of its axes.
      sharding: the preset.
      parameters: one `Placement` each.
      device_bytes: parameters, statistics, optimiser and running average on one device.
      replicated_bytes: the same if nothing were sharded.
      scratch_bytes: temporary memory of the step on one device, as the compiler plans it.
      collectives: the communication of the step.
    """

    mesh: dict[str, int]
    sharding: str
    parameters: tuple[Placement, ...]
    device_bytes: dict[str, int]
    replicated_bytes: dict[str, int]
    scratch_bytes: int
    collectives: tuple[Collective, ...]


def shard_plan(experiment: Experiment, *, load: Callable[[str], Any] | None = None) -> ShardPlan:
    """Compile a training step of the experiment on its mesh; nothing is trained or stored.

    The devices must exist, but may be fake ones, as in `snnjax shard-plan`.

    Args:
      experiment: the experiment. load: returns trained models that the task refers to.

    Raises:
      ValueError: mesh, sharding, batch and model do not fit each other.
    """
    session = Session.open(experiment, load=load).planned()
    mesh, shapes = session.mesh, session.state
    with session.train_feed() as feed:
        item = next(feed)
    compiled = train_step(session.spec, item.shape).lower(shapes, item.batch).compile()
    return ShardPlan(
        dict(mesh.shape),
        experiment.sharding,
        _placements(shapes.weights.params),
        _sizes(shapes, sharded=True),
        _sizes(shapes, sharded=False),
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
            _bytes(leaf, sharded=True),
        )
        for keys, leaf in jax.tree.leaves_with_path(params)
    )


def _sizes(shapes: TrainState, *, sharded: bool) -> dict[str, int]:
    parts = {
        "parameters": shapes.weights.params,
        "statistics": shapes.weights.stats,
        "optimiser": shapes.opt_state,
        "average": shapes.ema,
    }
    return {
        name: sum(_bytes(leaf, sharded=sharded) for leaf in jax.tree.leaves(tree))
        for name, tree in parts.items()
    }


def _bytes(leaf: jax.ShapeDtypeStruct, *, sharded: bool) -> int:
    shape = leaf.sharding.shard_shape(leaf.shape) if sharded and leaf.sharding else leaf.shape
    return math.prod(shape) * leaf.dtype.itemsize
