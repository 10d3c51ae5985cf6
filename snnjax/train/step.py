"""The update and the evaluation of one batch, shared by the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import gather, manual_spec, reduce_whole
from snnjax.sparse import Capacities
from snnjax.train.accumulate import accumulated
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
      shardings: how the state lies on them, a tree of `NamedSharding` as `TrainState`.
      epoch_steps: updates in an epoch. epochs: of the run; for models that change over the run.
      accumulate: micro-batches that make up a batch.
      remat: what the model keeps of its layers; the model knows, the compiler must too.
    """

    graphdef: nnx.GraphDef
    optimiser: optax.GradientTransformation
    schedule: optax.Schedule
    forward: Forward
    label_smoothing: float
    ema: float
    mesh: Mesh
    shardings: TrainState
    epoch_steps: int
    epochs: int
    accumulate: int = 1
    remat: str = "none"


def train_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`step(state, batch) -> (state, StepMetrics)`, jitted, with the state donated.

    The batch is cut along axis 0 over the mesh axis "data", which is manual up to the gradient:
    loss, gradients and batch statistics are summed over it. Parameters that are cut over it are
    gathered inside the differentiated function, so that their gradients come back cut. Other axes
    are automatic, and so is the update itself: it computes each parameter where it lies.

    A model with `at_epoch(epoch, epochs)` is told before each update how far the run is (epoch is
    a traced int32, so nothing compiles anew) and sets what is scheduled in its own variables. One
    with `constrain()` brings its parameters back into their range after each update.

    With `spec.accumulate` the batch goes through the model in so many micro-batches, in a loop.
    The gradients are summed where they are made and over the devices once, after the loop, and
    parameters that are cut are gathered once, before it: a device holds the whole of them, and of
    their gradient, as it does without a loop. Loss and gradient are those of the whole batch, but
    for models with batch statistics: these are of the micro-batch, over all devices, which is all
    that is sent inside the loop, and the running ones move once for each, in order.
    """
    cut = _cut(spec)
    differentiate = _over_data(
        spec,
        partial(_gradient, spec, capacities),
        in_specs=(Weights(cut, P()), P(), P(), P(AXIS)),
        out_specs=(Weights(cut, P()), P()),
    )

    def update(state: TrainState, batch: DeviceBatch) -> tuple[TrainState, StepMetrics]:
        found, (loss, accuracy, overflow) = differentiate(
            state.weights, state.step, state.key, batch
        )
        gradient, stats = jax.lax.with_sharding_constraint(found, spec.shardings.weights)
        metrics = StepMetrics(
            loss,
            accuracy,
            jnp.asarray(spec.schedule(state.step), jnp.float32),
            optax.tree.norm(gradient),
            overflow,
        )
        return _apply(spec, state, gradient, stats), metrics

    everywhere = NamedSharding(spec.mesh, P())
    return jax.jit(
        update,
        donate_argnums=0,
        out_shardings=(spec.shardings, everywhere),
        compiler_options=_compiler_options(spec),
    )


def eval_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`step(weights, batch) -> EvalOutput`, jitted; activity is always recorded."""
    sharded = _over_data(
        spec,
        partial(_evaluate, spec, capacities),
        in_specs=(Weights(_cut(spec), P()), P(AXIS)),
        out_specs=EvalOutput._make((P(AXIS), P(AXIS), P(), P(AXIS))),
    )
    if spec.mesh.is_multi_process:  # every process gets all rows
        return jax.jit(sharded, out_shardings=NamedSharding(spec.mesh, P()))
    return jax.jit(sharded)


def unrounded_step(spec: StepSpec, capacities: Capacities | None) -> Callable[..., Any]:
    """`eval_step` of sequences with learned delays as they are in training."""
    return eval_step(spec._replace(forward=SequenceForward(whole=False)), capacities)


def _compiler_options(spec: StepSpec) -> dict[str, str] | None:
    """What the compiler must be told so that it computes again what was not kept.

    Barriers part the second computation from the first. On a CPU XLA drops them early, finds both
    equal, and keeps the results of the first after all.
    """
    on_cpu = spec.mesh.devices.flat[0].platform == "cpu"
    return (
        {"xla_disable_hlo_passes": "cse_barrier_expander"}
        if on_cpu and spec.remat != "none"
        else None
    )


def _axis(spec: StepSpec) -> str | None:
    """The axis to sum over; None where "data" has one device beside other axes.

    The partitioner cannot tell a manual axis of size 1 from none, and refuses sums over it.
    """
    alone = spec.mesh.shape[AXIS] == 1 and len(spec.mesh.shape) > 1
    return None if alone else AXIS


def _over_data(
    spec: StepSpec, function: Callable[..., Any], *, in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function` on each device's share of the batch; other axes of the mesh stay automatic."""
    return jax.shard_map(
        function,
        mesh=spec.mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names={AXIS},
        check_vma=False,  # custom derivatives of the layers know no mesh axis
    )


def _sum(tree: Any, axis: str | None) -> Any:
    return tree if axis is None else jax.lax.psum(tree, axis)


def _cut(spec: StepSpec) -> Any:
    """Where the parameters are cut over the data axis."""
    return jax.tree.map(manual_spec, spec.shardings.weights.params)


def _gradient(
    spec: StepSpec,
    capacities: Capacities | None,
    weights: Weights,
    step: Array,
    key: Array,
    batch: DeviceBatch,
) -> tuple[Weights, tuple[Array, Array, Array]]:
    """Gradient with the new statistics, and loss, accuracy and overflow; seen from one device."""
    axis, placement = _axis(spec), spec.shardings.weights.params
    share = 0 if axis is None else jax.lax.axis_index(axis)
    key = jax.random.fold_in(jax.random.fold_in(key, step), share)
    total = jnp.maximum(_sum(batch.weight.sum(), axis), 1.0)
    whole, scatter = jax.vjp(lambda params: gather(params, placement), weights.params)

    def micro(stats: Any, rows: DeviceBatch, key: Array) -> tuple[Any, Any, Any]:
        x = spec.forward.inputs(rows.points, rows.count, capacities)

        def loss_fn(params: Any) -> tuple[Array, tuple[Any, Any]]:
            model = merge_model(spec.graphdef, Weights(params, stats))
            if hasattr(model, "at_epoch"):
                model.at_epoch(step // spec.epoch_steps, spec.epochs)
            out = spec.forward(
                model, x, rows.count, capacities, key=key, train=True, axis_name=axis
            )
            losses = cross_entropy(
                out.logits, rows.label, weight=rows.weight, smoothing=spec.label_smoothing
            )
            return jnp.sum(losses) / total, (split_model(model)[1].stats, out)

        (loss, (after, out)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(whole)
        correct = jnp.sum(rows.weight * (out.logits.argmax(-1) == rows.label))
        return gradient, after, (loss, correct, out.overflow.astype(jnp.int32))

    zeros = jax.tree.map(jnp.zeros_like, whole)
    gradient, stats, sums = accumulated(micro, zeros, weights.stats, batch, key, spec.accumulate)
    (gradient,) = scatter(gradient)
    if axis is not None:
        gradient = reduce_whole(gradient, placement)
    loss, correct, overflow = _sum(sums, axis)
    return Weights(gradient, stats), (loss, correct / total, overflow)


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
    whole = gather(weights.params, spec.shardings.weights.params)
    model = merge_model(spec.graphdef, Weights(whole, weights.stats))
    x = spec.forward.inputs(batch.points, batch.count, capacities)
    axis = _axis(spec)
    out = spec.forward(model, x, batch.count, capacities, train=False, axis_name=axis, record=True)
    loss = cross_entropy(out.logits, batch.label)
    overflow = _sum(out.overflow.astype(jnp.int32), axis)
    return EvalOutput(out.logits, loss, overflow, out.activity)
