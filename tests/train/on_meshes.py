"""Steps of a subject on any mesh, by programs that compile quickly, and what tests compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.sharding import Collective, collectives, parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import DeviceBatch, Experiment, train_step
from snnjax.train.folder import DatasetInfo
from snnjax.train.mesh import shard
from snnjax.train.setup import abstract_spec, build_spec

QUICK = {"xla_backend_optimization_level": 0}
STEPS = 3
SCALARS = 200
"""Bytes that a step may send beside what is counted: losses, counts, sums of squares."""


class Subject(NamedTuple):
    """What is trained, and on what."""

    experiment: Experiment
    info: DatasetInfo
    batch: DeviceBatch
    capacities: Capacities | None


class Outcome(NamedTuple):
    """Loss and gradient norm of each step, the last state on the host, what a step sends."""

    curve: np.ndarray
    state: Any
    sent: list[Collective]
    spec: Any
    cut: Any


def widened(model: nnx.Module) -> Any:
    """The model in float64."""
    graphdef, state = nnx.split(model)
    return nnx.merge(
        graphdef,
        jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, state),
    )


def placed_on(on: Subject, mesh_text: str, sharding: str) -> tuple[Any, Any, Any]:
    """The spec of the step, shapes of the state, and the batch on a mesh."""
    mesh = parse_mesh(mesh_text)
    experiment = Experiment(**{**vars(on.experiment), "mesh": mesh_text, "sharding": sharding})
    spec, _, shapes = abstract_spec(experiment, on.info, mesh)
    return spec, shapes, shard(on.batch, mesh)


def outcome(on: Subject, start: Any, mesh_text: str, sharding: str) -> Outcome:
    """Some steps from `start`, by a program that compiles as fast as it can."""
    spec, shapes, batch = placed_on(on, mesh_text, sharding)
    state = jax.device_put(start._replace(key=jax.random.key(0)), spec.shardings)
    program = train_step(spec, on.capacities).lower(shapes, batch).compile(compiler_options=QUICK)
    curve = []
    for _ in range(STEPS):
        state, metrics = program(state, batch)
        curve.append((float(metrics.loss), float(metrics.gradient_norm)))
    host = jax.device_get(state._replace(key=jax.random.key_data(state.key)))
    return Outcome(np.array(curve), host, collectives(program.as_text()), spec, state)


def drawn(on: Subject) -> Any:
    """The state before the first step, on the host, without its key."""
    start = build_spec(on.experiment, on.info, parse_mesh("data=1"))[1]
    return jax.tree.map(np.asarray, start._replace(key=0))


def filled(on: Subject) -> Any:
    """A state of the same shapes without a program that draws it: kernels from NumPy, scales 1."""
    shapes = abstract_spec(on.experiment, on.info, parse_mesh("data=1"))[2]
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes._replace(key=shapes.step))
    params = jax.tree.map(
        lambda a: (rng.normal(0, 0.2, a.shape) if a.ndim > 1 else np.ones(a.shape)).astype(a.dtype),
        state.weights.params,
    )
    return state._replace(weights=state.weights._replace(params=params))


def runner(on: Subject, start: Any) -> Callable[[str, str], Outcome]:
    """Outcomes of one subject, each computed once."""
    known = {}

    def get(mesh: str, sharding: str) -> Outcome:
        if (mesh, sharding) not in known:
            known[mesh, sharding] = outcome(on, start, mesh, sharding)
        return known[mesh, sharding]

    return get


def equal(got: Outcome, want: Outcome) -> None:
    np.testing.assert_allclose(got.curve, want.curve, rtol=1e-9, atol=0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), got.state, want.state
    )
