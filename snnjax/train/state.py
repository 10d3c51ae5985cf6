"""The train state: pure arrays, split once from the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from snnjax.sharding import Rules, placed, preset_specs, specs_like, stats_specs


class Weights(NamedTuple):
    """The arrays of a model: parameters, and statistics of its norms.

    Attributes:
      params: the `nnx.Param` leaves, as plain arrays.
      stats: all other leaves (batch statistics).
    """

    params: Any
    stats: Any


class TrainState(NamedTuple):
    """The arrays that an update reads and writes.

    Attributes:
      step: updates done, int32 [].
      weights: parameters and batch statistics.
      opt_state: moments and counters of the optimiser.
      ema: running average of `weights`, or None.
      key: typed key of the run; update t uses `fold_in(key, t)`.
    """

    step: Array
    weights: Weights
    opt_state: Any
    ema: Weights | None
    key: Array


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, Weights]:
    """The static graph of `model`, and its arrays."""
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    return graphdef, Weights(nnx.as_pure(params), nnx.as_pure(stats))


def merge_model(graphdef: nnx.GraphDef, weights: Weights) -> Any:
    """Rebuild the module; inside a trace this has no run-time cost."""
    return nnx.merge(graphdef, weights.params, weights.stats)


def create_state(
    weights: Weights, optimiser: optax.GradientTransformation, *, ema: bool, key: Array
) -> TrainState:
    """The state before the first update."""
    average = jax.tree.map(jnp.copy, weights) if ema else None
    return TrainState(
        jnp.zeros((), jnp.int32), weights, optimiser.init(weights.params), average, key
    )


def state_shardings(
    state: TrainState, name: str, mesh: Mesh, rules: Rules | None = None
) -> TrainState:
    """The sharding of each leaf of a state; moments and averages follow the parameters.

    Args:
      state: a state, or its shapes.
      name: a sharding of `snnjax.sharding.PRESETS`.
      mesh: devices.
      rules: sharding rules of the model over the axis "model", if it has any.

    Returns:
      A tree like `state`, of `NamedSharding`.

    Raises:
      ValueError: the sharding does not fit the parameters or the mesh.
    """
    params, stats = state.weights
    specs = preset_specs(name, params, mesh, rules, stats)
    weights = Weights(specs, stats_specs(name, stats, mesh, rules))
    moments = specs_like(params, specs, state.opt_state)
    average = None if state.ema is None else weights
    replicated: Any = P()
    return placed(TrainState(replicated, weights, moments, average, replicated), mesh)


def evaluated(state: TrainState) -> Weights:
    """The weights that are evaluated: the running average if there is one."""
    return state.weights if state.ema is None else state.ema


@jax.jit
def all_finite(state: TrainState) -> Array:
    """Whether weights, norm statistics and their running average are finite, bool []."""
    leaves = jax.tree.leaves((state.weights, state.ema))
    kept = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in kept]))


def update_average(average: Weights, weights: Weights, step: Array, decay: float) -> Weights:
    """One step of the running average, with the usual warm-up of the decay.

        d = min(decay, (1 + t) / (10 + t)),    average <- d * average + (1 - d) * weights

    Integer leaves are copied.

    Args:
      average: the average so far.
      weights: the weights after update t.
      step: t, int32 [].
      decay: the final decay.
    """
    t = step.astype(jnp.float32)
    rate = 1.0 - jnp.minimum(decay, (1.0 + t) / (10.0 + t))

    def leaf(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return new
        return (old + rate * (new - old)).astype(old.dtype)

    return jax.tree.map(leaf, average, weights)
