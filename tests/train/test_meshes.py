"""One step on every kind of mesh: equal to one device, and no byte sent that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.models import E3DSNN, MODELS, SEQUENCE_MODELS, E3DSNNConfig, SNNDelays, snn_delays
from snnjax.sharding import Collective, bytes_by_kind, collectives, parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import (
    DataConfig,
    DeviceBatch,
    Experiment,
    ModelConfig,
    OptimiserConfig,
    SequenceConfig,
    SpeechConfig,
    train_step,
)
from snnjax.train.folder import DatasetInfo
from snnjax.train.mesh import shard
from snnjax.train.setup import abstract_spec, build_spec
from snnjax.train.step import eval_step

QUICK = {"xla_backend_optimization_level": 0}
STEPS, B, T, HIDDEN = 3, 16, 12, 64
SCALARS = 200
"""Bytes that a step may send beside what is counted: losses, counts, sums of squares."""


class Double(SNNDelays):
    """Membranes in float64 from the start."""

    def init_state(self, x: Any) -> Any:
        return jax.tree.map(lambda a: a.astype(jnp.float64), super().init_state(x))


def widened(model: nnx.Module) -> Any:
    graphdef, state = nnx.split(model)
    return nnx.merge(
        graphdef,
        jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, state),
    )


def sequences(**options: Any) -> Any:
    model = snn_delays(**options)
    return widened(Double(model.config, rngs=options["rngs"]))


def clouds(**options: Any) -> Any:
    rngs = options.pop("rngs")
    return widened(E3DSNN(E3DSNNConfig(stem=8, channels=(16,), depth=1, **options), rngs=rngs))


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setitem(SEQUENCE_MODELS, "sequences", sequences)
        patch.setitem(MODELS, "clouds", clouds)
        yield


class Subject(NamedTuple):
    experiment: Experiment
    info: DatasetInfo
    batch: DeviceBatch
    capacities: Capacities | None


def subject(kind: str) -> Subject:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.r_[np.ones(B - 3), np.zeros(3)]
    rule, ema = OptimiserConfig(clip_norm=0.2), 0.9
    if kind == "sequences":
        frames = 3.0 * rng.poisson(0.7, (B, T, 6))
        count = rng.integers(8, T + 1, B).astype(np.int32)
        model = SequenceConfig(kind, hidden=HIDDEN, layers=2, dropout=0.0)
        data: Any = SpeechConfig(batch_size=B, steps=T)
        batch, capacities = DeviceBatch(frames, count, label, weight), None  # pyright: ignore
    else:
        points = rng.uniform(-1, 1, (B, 64, 3))
        count = rng.integers(20, 65, B).astype(np.int32)
        model = ModelConfig(kind)
        data = DataConfig(batch_size=B, points=64, extent=16)
        rule, ema = OptimiserConfig("sgd", 0.1, 0.0, 0.0, clip_norm=0.2), 0.0  # compiles faster
        batch, capacities = DeviceBatch(points, count, label, weight), Capacities((64, 64))  # pyright: ignore
    info = DatasetInfo(tuple("abcdefgh"), batch.points.shape[-1], 64, 24, 0)
    experiment = Experiment(data=data, model=model, optimiser=rule, ema=ema)
    return Subject(experiment, info, batch, capacities)


class Outcome(NamedTuple):
    """Loss and gradient norm of each step, the last state on the host, what a step sends."""

    curve: np.ndarray
    state: Any
    sent: list[Collective]
    spec: Any
    cut: Any


def outcome(on: Subject, start: Any, mesh_text: str, sharding: str) -> Outcome:
    """Some steps from `start`, by a program that compiles as fast as it can."""
    mesh = parse_mesh(mesh_text)
    experiment = Experiment(**{**vars(on.experiment), "mesh": mesh_text, "sharding": sharding})
    spec, _, shapes = abstract_spec(experiment, on.info, mesh)
    start = start._replace(key=jax.random.key(0))
    state, batch = jax.device_put(start, spec.shardings), shard(on.batch, mesh)
    program = train_step(spec, on.capacities).lower(shapes, batch).compile(compiler_options=QUICK)
    curve = []
    for _ in range(STEPS):
        state, metrics = program(state, batch)
        curve.append((float(metrics.loss), float(metrics.gradient_norm)))
    host = jax.device_get(state._replace(key=jax.random.key_data(state.key)))
    return Outcome(np.array(curve), host, collectives(program.as_text()), spec, state)


def filled(shapes: Any) -> Any:
    """A state of these shapes without a program that draws it: kernels from NumPy, scales 1."""
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes._replace(key=shapes.step))
    params = jax.tree.map(
        lambda a: rng.normal(0, 0.2, a.shape) if a.ndim > 1 else np.ones(a.shape),
        state.weights.params,
    )
    return state._replace(weights=state.weights._replace(params=params))


def runner(kind: str) -> Callable[[str, str], Outcome]:
    """Outcomes of one subject, each computed once."""
    on, known = subject(kind), {}
    mesh = parse_mesh("data=1")
    if kind == "sequences":
        start = build_spec(on.experiment, on.info, mesh)[1]
        host = jax.tree.map(np.asarray, start._replace(key=0))
    else:
        host = filled(abstract_spec(on.experiment, on.info, mesh)[2])

    def get(mesh: str, sharding: str) -> Outcome:
        if (mesh, sharding) not in known:
            known[mesh, sharding] = outcome(on, host, mesh, sharding)
        return known[mesh, sharding]

    return get


@pytest.fixture(scope="module")
def run() -> Callable[[str, str], Outcome]:
    return runner("sequences")


MESHES = [
    ("data=8", "replicated"),
    ("data=4", "fsdp"),
    ("data=2,model=2", "tensor"),
    ("model=4", "tensor"),
    ("data=4,model=2", "mixed"),
]


def equal(got: Outcome, want: Outcome) -> None:
    np.testing.assert_allclose(got.curve, want.curve, rtol=1e-9, atol=0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), got.state, want.state
    )


@pytest.mark.parametrize(("mesh", "sharding"), MESHES)
def test_sequences_are_learned_as_on_one_device(run: Any, mesh: str, sharding: str) -> None:
    """Loss, gradient norm, clipped updates, moments, statistics and running averages."""
    one = run("data=1", "replicated")
    assert np.all(one.curve[:, 1] > 0.2)  # the norm is clipped
    assert one.curve[-1, 0] != one.curve[0, 0]
    equal(run(mesh, sharding), one)


def test_an_e3dsnn_is_learned_as_on_one_device() -> None:
    run = runner("clouds")
    got = run("data=4,model=2", "mixed")
    equal(got, run("data=1", "replicated"))
    cut = [leaf for leaf in jax.tree.leaves(got.cut.weights.params) if leaf.size >= 1024]
    assert all("data" in leaf.sharding.spec for leaf in cut)
    assert sum("model" in leaf.sharding.spec for leaf in cut) == 3  # of the stem, and a pair
    whole = [a for a in got.sent if a.kind == "all-gather"]
    assert len(whole) == len(cut)  # parameters alone are gathered, each once
    local = {leaf.size * 8 // (4 * (1 + ("model" in leaf.sharding.spec))) for leaf in cut}
    assert {a.bytes for a in whole} == local
    assert {a.group for a in whole} == {4}
    # tile by tile the pairs of a layer that is cut by inputs are summed over "model" alone
    tiles = [a for a in got.sent if a.at_least]
    assert {(a.kind, a.group) for a in tiles} == {("all-reduce", 2)}


def norm_bytes(*channels: int) -> int:
    """Sums and squares of the channels of each norm, on the way there and back."""
    return 2 * 2 * 8 * sum(channels)


def gradient_bytes(*, model: int = 1, fsdp: bool = False) -> int:
    """Gradients that are summed whole: all but the large kernel under fsdp, model parts cut."""
    first, second, head = 6 * HIDDEN // model, HIDDEN * HIDDEN // model, HIDDEN * 8
    norms = 2 * HIDDEN // model + 2 * HIDDEN
    return 8 * (first + (0 if fsdp else second) + head + norms)


def activation_bytes(batch: int) -> int:
    """The outputs of the one layer that is cut by inputs."""
    return 8 * T * batch * HIDDEN


KERNEL = 8 * HIDDEN * HIDDEN


@pytest.mark.parametrize(
    ("mesh", "sharding", "reduced", "gathered", "scattered"),
    [
        ("data=1", "replicated", 0, 0, 0),
        ("data=8", "replicated", gradient_bytes() + norm_bytes(HIDDEN, HIDDEN), 0, 0),
        (
            "data=4",
            "fsdp",
            gradient_bytes(fsdp=True) + norm_bytes(HIDDEN, HIDDEN),
            KERNEL // 4,
            KERNEL,
        ),
        (
            "data=2,model=2",
            "tensor",
            gradient_bytes(model=2) + norm_bytes(HIDDEN // 2, HIDDEN) + activation_bytes(B // 2),
            0,
            0,
        ),
        ("model=4", "tensor", activation_bytes(B), 0, 0),
        (
            "data=4,model=2",
            "mixed",
            gradient_bytes(model=2, fsdp=True)
            + norm_bytes(HIDDEN // 2, HIDDEN)
            + activation_bytes(B // 4),
            KERNEL // 2 // 4,
            KERNEL // 2,
        ),
    ],
)
def test_a_step_sends_what_it_must(
    run: Any, mesh: str, sharding: str, reduced: int, gathered: int, scattered: int
) -> None:
    """Sums of gradients, statistics and scalars; each cut kernel gathered and scattered once."""
    sent = run(mesh, sharding).sent
    bytes_of = bytes_by_kind(sent)
    assert set(bytes_of) <= {"all-reduce", "all-gather", "reduce-scatter"}
    assert bytes_of.get("all-gather", 0) == gathered
    assert bytes_of.get("reduce-scatter", 0) == scattered
    assert len([one for one in sent if one.kind == "all-gather"]) == bool(gathered)
    assert len([one for one in sent if one.kind == "reduce-scatter"]) == bool(scattered)
    assert 0 <= bytes_of.get("all-reduce", 0) - reduced <= SCALARS


def test_each_device_holds_its_share_of_parameters_and_moments(run: Any) -> None:
    state = run("data=4,model=2", "mixed").cut
    kernel = state.weights.params["linears"][1]["weight"]
    assert kernel.sharding.shard_shape(kernel.shape) == (HIDDEN // 2, HIDDEN // 4, 1)
    shapes = {
        leaf.sharding.shard_shape(leaf.shape)
        for leaf in jax.tree.leaves((state.opt_state, state.ema.params))
        if leaf.shape == kernel.shape
    }
    assert shapes == {(HIDDEN // 2, HIDDEN // 4, 1)}


def test_a_cut_state_is_made_in_place_with_the_same_numbers() -> None:
    on = subject("sequences")
    experiment = Experiment(**{**vars(on.experiment), "sharding": "mixed"})
    want = build_spec(on.experiment, on.info, parse_mesh("data=1"))[1]
    spec, got = build_spec(experiment, on.info, parse_mesh("data=4,model=2"))
    jax.tree.map(np.testing.assert_array_equal, got.weights, want.weights)
    assert jax.tree.all(
        jax.tree.map(lambda a, s: a.sharding.is_equivalent_to(s, a.ndim), got, spec.shardings)
    )


def test_evaluation_gathers_too(run: Any) -> None:
    on, logits = subject("sequences"), []
    for mesh, sharding in (("data=1", "replicated"), ("data=4,model=2", "mixed")):
        one = run(mesh, sharding)
        batch = shard(on.batch, one.spec.mesh)
        program = eval_step(one.spec, None).lower(one.cut.weights, batch)
        out = program.compile(compiler_options=QUICK)(one.cut.weights, batch)
        logits.append(np.asarray(out.logits))
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-9)
