"""The update and the evaluation of one batch, inside `shard_map` over the data axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from snnjax.sparse import Capacities
from snnjax.train.forward import DeviceBatch, Forward, SequenceForward
from snnjax.train.loss import cross_entropy
from snnjax.train.mesh import AXIS
from snnjax.train.state import TrainState, Weights, merge_model, split_model, update_average


class StepMetrics(NamedTuple):
    """Scalars of one update, over the whole batch.

    Attributes:
      loss: mean cross-entropy.
      accuracy: share of correct predictions.
      learning_rate: the rate of this update.
      gradient_norm: global norm before clipping.
      overflow: rows and pairs that the capacities could not hold, int32.
    """

    loss: Array
    accuracy: Array
    learning_rate: Array
    gradient_norm: Array
    overflow: Array


class EvalOutput(NamedTuple):
    """One evaluated batch.

    Attributes:
      logits: [B, K].
      loss: per sample, [B].
      overflow: rows and pairs lost, int32 [].
      activity: what each weighted layer received, [B] counts.
    """

    logits: Array
    loss: Array
    overflow: Array
    activity: Any


class StepSpec(NamedTuple):
    """The static part of a step.

    Attributes:
      graphdef: the model's graph.
      optimiser: the update rule.
      schedule: the learning rate, for the metrics.
      forward: how a batch goes through the model.
      label_smoothing: of the training loss.
      ema: decay of the running average, 0 for none.
      mesh: devices with the axis "data".
      epoch_steps: updates in an epoch. epochs: of the run; for models that change over the run.
    """

    graphdef: nnx.GraphDef
    optimiser: optax.GradientTransformation
    schedule: optax.Schedule
    forward: Forward
    label_smoothing: float
    ema: float
    mesh: Mesh
    epoch_steps: int
    epochs: int


def train_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`step(state, batch) -> (state, StepMetrics)`, jitted, with the state donated.

    The batch is cut along axis 0 over the mesh axis "data", which is manual: loss, gradients and
    batch statistics are summed over it, and every device computes the same update.

    A model with `at_epoch(epoch, epochs)` is told before each update how far the run is (epoch is
    a traced int32, so nothing compiles anew) and sets what is scheduled in its own variables. One
    with `constrain()` brings its parameters back into their range after each update.
    """
    sharded = jax.shard_map(
        partial(_update, spec, capacities),
        mesh=spec.mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=P(),
        check_vma=False,  # custom derivatives of the layers know no mesh axis
    )
    return jax.jit(sharded, donate_argnums=0)


def eval_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`step(weights, batch) -> EvalOutput`, jitted; activity is always recorded."""
    sharded = jax.shard_map(
        partial(_evaluate, spec, capacities),
        mesh=spec.mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=EvalOutput._make((P(AXIS), P(AXIS), P(), P(AXIS))),
        check_vma=False,
    )
    return jax.jit(sharded)


def unrounded_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`eval_step` of sequences with learned delays as they are in training."""
    return eval_step(spec._replace(forward=SequenceForward(whole=False)), capacities)


def _update(
    spec: StepSpec, capacities: Capacities | None, state: TrainState, batch: DeviceBatch
) -> tuple[TrainState, StepMetrics]:
    """One update, seen from one device: `batch` is its share."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), jax.lax.axis_index(AXIS))
    total = jnp.maximum(jax.lax.psum(batch.weight.sum(), AXIS), 1.0)
    x = spec.forward.inputs(batch.points, batch.count, capacities)

    def loss_fn(params: Any) -> tuple[Array, tuple[Any, Any]]:
        model = merge_model(spec.graphdef, Weights(params, state.weights.stats))
        if hasattr(model, "at_epoch"):
            model.at_epoch(state.step // spec.epoch_steps, spec.epochs)
        out = spec.forward(model, x, batch.count, capacities, key=key, train=True, axis_name=AXIS)
        losses = cross_entropy(
            out.logits, batch.label, weight=batch.weight, smoothing=spec.label_smoothing
        )
        return jnp.sum(losses) / total, (split_model(model)[1].stats, out)

    (loss, (stats, out)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.weights.params)
    correct = jnp.sum(batch.weight * (out.logits.argmax(-1) == batch.label))
    loss, gradient, correct, overflow = jax.lax.psum(
        (loss, gradient, correct, out.overflow.astype(jnp.int32)), AXIS
    )
    metrics = StepMetrics(
        loss,
        correct / total,
        jnp.asarray(spec.schedule(state.step), jnp.float32),
        optax.tree.norm(gradient),
        overflow,
    )
    return _apply(spec, state, gradient, stats), metrics


def _apply(spec: StepSpec, state: TrainState, gradient: Any, stats: Any) -> TrainState:
    updates, opt_state = spec.optimiser.update(gradient, state.opt_state, state.weights.params)
    weights = Weights(optax.apply_updates(state.weights.params, updates), stats)
    model = merge_model(spec.graphdef, weights)
    if hasattr(model, "constrain"):
        model.constrain()
        weights = split_model(model)[1]
    average = state.ema
    if average is not None:
        average = update_average(average, weights, state.step, spec.ema)
    return TrainState(state.step + 1, weights, opt_state, average, state.key)


def _evaluate(
    spec: StepSpec, capacities: Capacities | None, weights: Weights, batch: DeviceBatch
) -> EvalOutput:
    model = merge_model(spec.graphdef, weights)
    x = spec.forward.inputs(batch.points, batch.count, capacities)
    out = spec.forward(model, x, batch.count, capacities, train=False, axis_name=AXIS, record=True)
    loss = cross_entropy(out.logits, batch.label)
    overflow = jax.lax.psum(out.overflow.astype(jnp.int32), AXIS)
    return EvalOutput(out.logits, loss, overflow, out.activity)
