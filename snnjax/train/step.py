"""The update and the evaluation of one batch, shared by the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.data import DataInfo, Source
from snnjax.nn import inputs_of
from snnjax.sharding import gather, manual_spec, reduce_replicated
from snnjax.tasks import Task
from snnjax.train.accumulate import accumulated
from snnjax.train.mesh import AXIS
from snnjax.train.state import TrainState, Weights, merge_model, split_model, update_average

WEIGHT = "weight"
"""Key of a batch with the weight of each row: 0 for padding rows."""

_ENCODE, _PREPARE = 1, 2  # streams of random keys in addition to the model's


class StepMetrics(NamedTuple):
    """Metrics of one update, over the full batch.

    Attributes:
      loss: sums over counts of the task's loss.
      scores: the task's score.
      learning_rate: the rate of this update.
      gradient_norm: global norm before clipping.
    """

    loss: Array
    scores: dict[str, Array]
    learning_rate: Array
    gradient_norm: Array


class EvalOutput(NamedTuple):
    """One evaluated batch.

    Attributes:
      outputs: the task's outputs for evaluators, [B, ...].
      sums, counts: sums and counts of the loss, per sample, [B].
      scores: the task's score, over the full batch.
      activity: what each weighted layer received, [B] counts; empty if nothing was recorded.
    """

    outputs: Any
    sums: Array
    counts: Array
    scores: dict[str, Array]
    activity: Any


class StepSpec(NamedTuple):
    """The static part of a step.

    Attributes:
      graphdef: the model's graph.
      optimiser: the update rule.
      schedule: the learning rate, for the metrics.
      source: converts a batch to inputs of the model.
      task: the task.
      info: facts about the data.
      ema: decay of the running average, 0 for none.
      mesh: devices with the axis "data".
      shardings: shardings of the state, a `TrainState` of `NamedSharding`.
      epoch_steps: updates per epoch. epochs: epochs of the run; for models with schedules.
      accumulate: micro-batches that make up a batch.
      remat: what layers keep for the backward pass, see `snnjax.nn.Remat`.
    """

    graphdef: nnx.GraphDef
    optimiser: optax.GradientTransformation
    schedule: optax.Schedule
    source: Source
    task: Task
    info: DataInfo
    ema: float
    mesh: Mesh
    shardings: TrainState
    epoch_steps: int
    epochs: int
    accumulate: int = 1
    remat: Any = "none"


Shape = Hashable | None
"""The bucket of a batch, see `snnjax.data.Shapes`; None if all batches have one shape."""


def call_model(model: Any, inputs: dict[str, Any], **options: Any) -> Any:
    """Call a model from its resting state with the named inputs that it accepts.

    Args:
      model: a `snnjax.nn.Module`. inputs: `x`, and others by name.
      options: train, key, axis_name, record, remat. Without a key, layers that draw outside
        training, such as encoders, receive the same one in every call.
    """
    if "x" not in inputs:
        raise ValueError(
            f"the inputs of a model need an `x`; the source and the task provide {sorted(inputs)}."
        )
    named = {name: value for name, value in inputs.items() if name != "x"}
    key = options.pop("key", None)
    if key is None and not options.get("train"):
        key = jax.random.key(0)
    return model(None, inputs["x"], key=key, **options, **inputs_of(model, named))[1]


def train_step(spec: StepSpec, shape: Shape) -> Callable[..., Any]:
    """`step(state, batch) -> (state, StepMetrics)`, jitted, with the state donated.

    The batch, a dictionary of arrays [B, ...], is sharded along axis 0 over the mesh axis "data",
    which is manual up to the gradient: loss, gradients and batch statistics are summed over it.
    Parameters that are sharded over it are gathered inside the differentiated function, so that
    their gradients come back sharded. Other axes are automatic, and so is the update itself: it
    computes each parameter where it lies.

    The model's `at_epoch(epoch, epochs)` is called before each update (epoch is a traced int32, so
    nothing is recompiled), and its `constrain()` after it.

    With `spec.accumulate` the batch goes through the model in that many micro-batches, in a loop.
    The gradients are summed where they are made and over the devices once, after the loop, and
    parameters that are sharded are gathered once, before it. Loss and gradient are those of the
    full batch, except for models with batch statistics: these are of the micro-batch, over all
    devices, and the running ones move once for each, in order.
    """
    sharded = _manual_specs(spec)
    differentiate = over_data(
        spec,
        partial(gradient, spec, shape),
        in_specs=(Weights(sharded, P()), P(), P(), P(AXIS)),
        out_specs=(Weights(sharded, P()), P()),
    )

    def update(state: TrainState, batch: dict[str, Array]) -> tuple[TrainState, StepMetrics]:
        found, (loss, scores) = differentiate(state.weights, state.step, state.key, batch)
        grads, stats = jax.lax.with_sharding_constraint(found, spec.shardings.weights)
        rate = jnp.asarray(spec.schedule(state.step), jnp.float32)
        metrics = StepMetrics(loss, scores, rate, optax.tree.norm(grads))
        return _apply(spec, state, grads, stats), metrics

    everywhere = NamedSharding(spec.mesh, P())
    return jax.jit(
        update,
        donate_argnums=0,
        out_shardings=(spec.shardings, everywhere),
        compiler_options=_compiler_options(spec),
    )


def eval_step(spec: StepSpec, shape: Shape, *, record: bool = True) -> Callable[..., Any]:
    """`step(weights, batch) -> EvalOutput`, jitted; `record` counts what layers receive."""
    sharded = over_data(
        spec,
        partial(_evaluate, spec, shape, record),
        in_specs=(Weights(_manual_specs(spec), P()), P(AXIS)),
        out_specs=EvalOutput(P(AXIS), P(AXIS), P(AXIS), P(), P(AXIS)),  # pyright: ignore
    )
    if spec.mesh.is_multi_process:  # every process gets all rows
        return jax.jit(sharded, out_shardings=NamedSharding(spec.mesh, P()))
    return jax.jit(sharded)


def _compiler_options(spec: StepSpec) -> dict[str, str] | None:
    """Compiler options that keep rematerialised computations from being merged.

    Barriers separate the second computation from the first. On a CPU XLA drops them early, merges
    the equal computations, and keeps the results of the first.
    """
    on_cpu = spec.mesh.devices.flat[0].platform == "cpu"
    return (
        {"xla_disable_hlo_passes": "cse_barrier_expander"}
        if on_cpu and spec.remat != "none"
        else None
    )


def data_axis(spec: StepSpec) -> str | None:
    """The axis to sum over; None if "data" has one device and there are other axes.

    The partitioner treats a manual axis of size 1 as absent, and rejects sums over it.
    """
    alone = spec.mesh.shape[AXIS] == 1 and len(spec.mesh.shape) > 1
    return None if alone else AXIS


def over_data(
    spec: StepSpec, function: Callable[..., Any], *, in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function` on each device's share of the batch; other axes of the mesh stay automatic."""
    return jax.shard_map(
        function,
        mesh=spec.mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names={AXIS},
        check_vma=False,  # custom derivatives of the layers have no mesh axis
    )


def _sum(tree: Any, axis: str | None) -> Any:
    return tree if axis is None else jax.lax.psum(tree, axis)


def _manual_specs(spec: StepSpec) -> Any:
    """Specs of the parameters that are sharded over the data axis."""
    return jax.tree.map(manual_spec, spec.shardings.weights.params)


def _prepared(
    spec: StepSpec, shape: Shape, rows: dict[str, Array], key: Array | None, *, train: bool
) -> tuple[dict[str, Any], Any]:
    """Named inputs of the model and the target of some rows of a batch."""
    arrays = {name: array for name, array in rows.items() if name != WEIGHT}
    first, second = (
        None if key is None else jax.random.fold_in(key, stream) for stream in (_ENCODE, _PREPARE)
    )
    encoded = spec.source.encode(arrays, shape, key=first, train=train)
    return spec.task.prepare(encoded, key=second, train=train)


def _loss(spec: StepSpec, out: Any, target: Any, weight: Array) -> tuple[Array, Array]:
    """The task's sums and counts, checked to be one for each sample."""
    found = spec.task.loss(out, target)
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(
            f"the loss of {type(spec.task).__name__} must return two arrays [B], sums and counts; "
            f"got {type(found).__name__}. Return ones as counts where each sample counts once."
        )
    sums, counts = found
    if jnp.shape(sums) != weight.shape or jnp.shape(counts) != weight.shape:
        raise ValueError(
            f"the loss of {type(spec.task).__name__} must give a sum and a count for each sample, "
            f"[B] = {weight.shape}; got {jnp.shape(sums)} and {jnp.shape(counts)}."
        )
    return sums, counts


def gradient(
    spec: StepSpec,
    shape: Shape,
    weights: Weights,
    step: Array,
    key: Array,
    batch: dict[str, Array],
) -> tuple[Weights, tuple[Array, dict[str, Array]]]:
    """Gradient, new statistics, loss and scores, as computed on one device."""
    axis, placement = data_axis(spec), spec.shardings.weights.params
    share = 0 if axis is None else jax.lax.axis_index(axis)
    key = jax.random.fold_in(jax.random.fold_in(key, step), share)
    gathered, scatter = jax.vjp(lambda params: gather(params, placement), weights.params)
    alone = spec.accumulate == 1

    def micro(stats: Any, rows: dict[str, Array], key: Array) -> tuple[Any, Any, Any]:
        weight = rows[WEIGHT]
        inputs, target = _prepared(spec, shape, rows, key, train=True)

        def loss_fn(params: Any) -> tuple[Array, tuple[Any, Any, Array]]:
            model = merge_model(spec.graphdef, Weights(params, stats))
            model.at_epoch(step // spec.epoch_steps, spec.epochs)
            out = call_model(model, inputs, train=True, key=key, axis_name=axis, remat=spec.remat)
            spec.task.check(spec.info, out)
            sums, counts = _loss(spec, out, target, weight)
            count = jnp.sum(weight * counts)
            share = _at_least_some(_sum(jax.lax.stop_gradient(count), axis)) if alone else 1
            return jnp.sum(weight * sums) / share, (split_model(model)[1].stats, out, count)

        (loss, (after, out, count)), grads = jax.value_and_grad(loss_fn, has_aux=True)(gathered)
        return grads, after, (loss, count, spec.task.score(out, target, weight))

    zeros = jax.tree.map(jnp.zeros_like, gathered)
    grads, stats, sums = accumulated(micro, zeros, weights.stats, batch, key, spec.accumulate)
    (grads,) = scatter(grads)
    if axis is not None:
        grads = reduce_replicated(grads, placement)
    loss, count, scores = _sum(sums, axis)
    if not alone:  # the total count is known only after the last micro-batch
        count = _at_least_some(count)
        grads = jax.tree.map(lambda g: g / count.astype(g.dtype), grads)
        loss = loss / count
    return Weights(grads, stats), (loss, scores)


def _at_least_some(count: Array) -> Array:
    """A count to divide by: 1 where it is 0."""
    return jnp.where(count > 0, count, 1)


def _apply(spec: StepSpec, state: TrainState, grads: Any, stats: Any) -> TrainState:
    updates, opt_state = spec.optimiser.update(grads, state.opt_state, state.weights.params)
    weights = Weights(optax.apply_updates(state.weights.params, updates), stats)
    model = merge_model(spec.graphdef, weights)
    model.constrain()
    weights = split_model(model)[1]
    average = state.ema
    if average is not None:
        average = update_average(average, weights, state.step, spec.ema)
    return TrainState(state.step + 1, weights, opt_state, average, state.key)


def _evaluate(
    spec: StepSpec, shape: Shape, record: bool, weights: Weights, batch: dict[str, Array]
) -> EvalOutput:
    gathered = gather(weights.params, spec.shardings.weights.params)
    model = merge_model(spec.graphdef, Weights(gathered, weights.stats))
    axis, weight = data_axis(spec), batch[WEIGHT]
    inputs, target = _prepared(spec, shape, batch, None, train=False)
    out = call_model(model, inputs, train=False, axis_name=axis, record=record)
    out, activity = out if record else (out, ())
    sums, counts = _loss(spec, out, target, weight)
    scores = _sum(spec.task.score(out, target, weight), axis)
    return EvalOutput(spec.task.outputs(out), sums, counts, scores, activity)
