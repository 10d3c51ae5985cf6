"""Steps of a subject on any mesh, by programs that compile quickly, and what tests compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from snnjax.data import DataInfo
from snnjax.experiment import Experiment
from snnjax.nn import inputs_of, probe
from snnjax.sharding import (
    AXIS,
    Collective,
    bytes_by_kind,
    collectives,
    gather,
    manual_spec,
    parse_mesh,
)
from snnjax.sparse import Capacities
from snnjax.train import Weights, merge_model, train_step
from snnjax.train.mesh import local_rows, place_batch, put
from snnjax.train.step import data_axis, gradient, over_data
from tests.train.build import abstract_spec, build_spec, changed

# Fusions as users have them: without MLIR, programs for different meshes round float64 differently
# enough for curves to part by 2e-9.
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": True}
STEPS = 3


class Subject(NamedTuple):
    """What is trained, and on what."""

    experiment: Experiment
    info: DataInfo
    batch: dict[str, Any]
    capacities: Capacities | None


class Outcome(NamedTuple):
    """Loss and gradient norm of each step, the last state on the host, what a step sends."""

    curve: np.ndarray
    state: Any
    sent: list[Collective]
    spec: Any
    cut: Any


def placed_on(on: Subject, mesh_text: str, sharding: Any) -> tuple[Any, Any, Any]:
    """The spec of the step, shapes of the state, and the batch on a mesh."""
    mesh = parse_mesh(mesh_text)
    experiment = changed(on.experiment, mesh=mesh_text, sharding=sharding)
    spec, shapes = abstract_spec(experiment, on.info, mesh)
    return spec, shapes, spread(on.batch, mesh)


def spread(batch: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
    """A batch on its mesh, of which each process knows the samples of its own devices alone."""
    if mesh.is_multi_process:
        own = local_rows(len(batch["weight"]), mesh)
        batch = {k: v if k == "weight" else v[own] for k, v in batch.items()}
    return place_batch(batch, mesh)


def compiled(on: Subject, mesh_text: str, sharding: str) -> tuple[Any, Any, Any]:
    """The spec of the step, a program of it that compiles as fast as it can, and the batch."""
    spec, shapes, batch = placed_on(on, mesh_text, sharding)
    program = train_step(spec, on.capacities).lower(shapes, batch).compile(compiler_options=QUICK)
    return spec, program, batch


def curve_of(
    spec: Any, program: Any, start: Any, batches: Iterable[dict[str, Any]]
) -> tuple[np.ndarray, Any]:
    """Loss and gradient norm [steps, 2] from `start` on, and the last state."""
    state = put(start._replace(key=jax.random.key(0)), spec.shardings)
    curve = []
    for batch in batches:
        state, metrics = program(state, batch)
        curve.append((float(metrics.loss), float(metrics.gradient_norm)))
    return np.array(curve), state


def outcome(on: Subject, start: Any, mesh_text: str, sharding: str) -> Outcome:
    """Some steps from `start` with one batch."""
    spec, program, batch = compiled(on, mesh_text, sharding)
    curve, state = curve_of(spec, program, start, [batch] * STEPS)
    host = jax.device_get(state._replace(key=jax.random.key_data(state.key)))
    return Outcome(curve, host, collectives(program.as_text()), spec, state)


def drawn(on: Subject, seed: int = 0) -> Any:
    """The state before the first step, on the host, without its key."""
    experiment = changed(on.experiment, seed=seed)
    start = build_spec(experiment, on.info, parse_mesh("data=1", jax.local_devices()))[1]
    return jax.tree.map(np.asarray, start._replace(key=0))


def filled(on: Subject, seed: int = 1) -> Any:
    """A state of the same shapes without a program that draws it: kernels from NumPy, scales 1."""
    shapes = abstract_spec(on.experiment, on.info, parse_mesh("data=1"))[1]
    rng = np.random.default_rng(seed)
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


def sends_what_it_must(got: Outcome, norms: tuple[int, ...], activations: int) -> None:
    """All bytes of a step against what theory asks for; values are float64.

    * Over "data": the gradients of parameters that are whole there, and for each norm the sums and
      squares of its channels, there and back. Each parameter that is cut is gathered once, and its
      gradient scattered once.
    * Over "model": `activations`, the outputs that a layer cut by inputs leaves to be summed, and
      the gradients by the input of a layer cut by outputs.
    * Scalars: four of the loss, three of a norm, and what a parameter adds to the norm of the
      gradient, over each axis that cuts it.

    Args:
      got: of a step.
      norms: channels of each norm on one device. activations: bytes on one device.
    """
    leaves = jax.tree.leaves(got.cut.weights.params)
    devices = dict(got.spec.mesh.shape)
    data, model = devices["data"], devices.get("model", 1)
    local = [leaf.nbytes // (model if "model" in leaf.sharding.spec else 1) for leaf in leaves]
    cut = ["data" in leaf.sharding.spec for leaf in leaves]
    scattered = sum(size for size, is_cut in zip(local, cut, strict=True) if is_cut)
    whole = sum(local) - scattered
    reduced = (whole + 4 * 8 * sum(norms)) * (data > 1) + activations * (model > 1)
    scalars = 8 * (4 + 3 * len(norms) + 2 * len(leaves))
    found = bytes_by_kind(got.sent)
    assert set(found) <= {"all-reduce", "all-gather", "reduce-scatter"}
    assert not any(one.at_least or one.times > 1 for one in got.sent)  # none in a loop
    assert found.get("all-gather", 0) == scattered // data
    assert found.get("reduce-scatter", 0) == scattered
    for kind in ("all-gather", "reduce-scatter"):
        groups = [one.group for one in got.sent if one.kind == kind]
        assert groups == [data] * sum(cut)
    assert 0 <= found.get("all-reduce", 0) - reduced <= scalars


class FirstStep(NamedTuple):
    """What the first step finds, before any update."""

    loss: np.ndarray
    gradient: Any
    spikes: Any


def first_step(
    on: Subject, start: Any, mesh_text: str, sharding: str, fired: tuple[str, ...]
) -> FirstStep:
    """Loss and gradient as the step computes them, and what fires in training, batch first.

    Args:
      on, start, mesh_text, sharding: as of `outcome`.
      fired: paths of the layers that return spikes.
    """
    spec, _, batch = placed_on(on, mesh_text, sharding)
    axis, placement = data_axis(spec), spec.shardings.weights.params
    manual = jax.tree.map(manual_spec, placement)

    def find(weights: Any, batch: dict[str, Any]) -> FirstStep:
        step, key = jnp.zeros((), jnp.int32), jax.random.key(0)
        found, (loss, _) = gradient(spec, on.capacities, weights, step, key, batch)
        arrays = {k: v for k, v in batch.items() if k != "weight"}
        encoded = spec.source.encode(arrays, on.capacities, key=None, train=True)
        inputs, _ = spec.task.prepare(encoded, key=None, train=True)
        model = merge_model(
            spec.graphdef, Weights(gather(weights.params, placement), weights.stats)
        )
        named = inputs_of(model, {k: v for k, v in inputs.items() if k != "x"})
        _, seen = probe(model, fired)(None, inputs["x"], train=True, axis_name=axis, **named)
        spikes = [_batch_first(seen[path]) for path in fired]
        return FirstStep(loss, found.params, spikes)

    out = FirstStep(P(), manual, P(AXIS))  # pyright: ignore
    run = over_data(spec, find, in_specs=(Weights(manual, P()), P(AXIS)), out_specs=out)
    weights = jax.device_put(start.weights, spec.shardings.weights)
    program = jax.jit(run).lower(weights, batch).compile(compiler_options=QUICK)
    return jax.device_get(program(weights, batch))


def _batch_first(found: Any) -> Any:
    """The spikes of a layer, batch first: clouds [B, N, C], or sequences [T, B, ...]."""
    out = found[1] if isinstance(found, tuple) and not hasattr(found, "feats") else found
    return out.feats if hasattr(out, "feats") else jnp.swapaxes(out, 0, 1)


def nearly_equal(got: FirstStep, want: FirstStep) -> None:
    """In float32: the loss to 1e-6, gradients to 1e-5 of the largest, where no spike flipped."""
    assert want.loss.dtype == np.float32
    pairs = list(zip(*map(jax.tree.leaves, (got.spikes, want.spikes)), strict=True))
    flips = sum(int((a != b).sum()) for a, b in pairs)
    assert min(float((b != 0).mean()) for _, b in pairs) > 0.01  # every population fires
    assert flips < 1e-4 * sum(b.size for _, b in pairs)
    assert flips == 0  # of these seeds, so that gradients can be compared
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-6)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(want.gradient))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest),
        got.gradient,
        want.gradient,
    )
