"""A batch in micro-batches: the same update, one message for its gradient, a smaller program."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.data import DataInfo
from snnjax.data.clouds import to_voxels
from snnjax.data.speech import SpeechSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig, differences
from snnjax.nn import Module
from snnjax.runs import read_experiment, train
from snnjax.sharding import bytes_by_kind, collectives, parse_mesh
from snnjax.sparse import Capacities
from snnjax.tasks import Classification
from snnjax.train import check_divisible, shard, train_step
from tests.train.build import Made, any_experiment, build_spec, cloud_batch, frame_batch, info_of
from tests.train.tiny import TinyConfig, tiny_experiment

QUICK = {"xla_backend_optimization_level": 0}
B, T = 16, 5


class Bare(Module):
    """A model of sequences without statistics, and with one kernel that is worth sharding."""

    def __init__(self, in_channels: int, num_classes: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(in_channels, 32, param_dtype=jnp.float64, rngs=rngs)
        self.middle = nnx.Linear(32, 64, param_dtype=jnp.float64, rngs=rngs)
        self.second = nnx.Linear(64, num_classes, param_dtype=jnp.float64, rngs=rngs)

    def forward(self, run: Any, x: Any, *, lengths: Any) -> Any:
        seen = (jnp.arange(len(x))[:, None] < lengths)[..., None]
        h = jnp.tanh(run(self.middle, jnp.tanh(run(self.first, x))))
        h = jnp.where(seen, h, 0)
        return run(self.second, (h.sum(0) / lengths[:, None])[None])[0]


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def without_statistics() -> tuple[Experiment, DataInfo, dict[str, Any], None]:
    rng = np.random.default_rng(0)
    experiment = Experiment(
        data=SpeechSource(steps=T),
        model=Made(Bare),
        task=Classification(label_smoothing=0.1),
        optimiser=OptimiserConfig(clip_norm=0.5),
        batch_size=B,
        epochs=10,
    )
    batch = frame_batch(
        rng.normal(size=(B, T, 6)),
        rng.integers(2, T + 1, B).astype(np.int32),
        rng.integers(0, 4, B).astype(np.int32),
        np.r_[0.0, np.ones(B - 4), np.zeros(3)],
    )
    return experiment, info_of(4, 6), batch, None


def with_statistics() -> tuple[Experiment, DataInfo, dict[str, Any], Capacities]:
    rng = np.random.default_rng(1)
    experiment = tiny_experiment(
        "runs",
        model=TinyConfig(dtype="float64"),
        optimiser=OptimiserConfig("sgd", 1.0, 0.0, 0.0, clip_norm=0.0),
        schedule=ScheduleConfig("step", warmup=0.0, boundaries=()),
    )
    batch = cloud_batch(
        rng.uniform(-1, 1, (B, 64, 3)),
        rng.integers(20, 65, B).astype(np.int32),
        rng.integers(0, 10, B).astype(np.int32),
        np.r_[0.0, np.ones(B - 4), np.zeros(3)],
    )
    return experiment, info_of(10, 3), batch, Capacities((64,) * 3)


class Outcome(NamedTuple):
    """State and metrics after one update, what it sent, its scratch bytes."""

    before: Any
    after: Any
    metrics: Any
    sent: list[Any]
    scratch: int
    spec: Any


def outcome(subject: Callable[[], Any], parts: int, mesh_text: str, sharding: str) -> Outcome:
    experiment, info, batch, capacities = subject()
    mesh = parse_mesh(mesh_text)
    experiment = dataclasses.replace(
        experiment, accumulate=parts, mesh=mesh_text, sharding=sharding
    )
    spec, state = build_spec(experiment, info, mesh)
    before = jax.device_get(state.weights)
    on_mesh = shard(batch, mesh)
    program = train_step(spec, capacities).lower(state, on_mesh).compile(compiler_options=QUICK)
    state, metrics = program(state, on_mesh)
    after = jax.device_get(state._replace(key=0))
    scratch = int(program.memory_analysis().temp_size_in_bytes)
    sent = collectives(program.as_text())
    return Outcome(before, after, jax.device_get(metrics), sent, scratch, spec)


@pytest.fixture(scope="module")
def run() -> Callable[..., Outcome]:
    known: dict[Any, Outcome] = {}

    def get(subject: Any, parts: int = 1, mesh: str = "data=1", sharding: str = "replicated"):
        key = subject, parts, mesh, sharding
        if key not in known:
            known[key] = outcome(*key)
        return known[key]

    return get


def equal(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want
    )


PLACES = [("data=1", "replicated"), ("data=4", "fsdp")]


@pytest.mark.parametrize(("mesh", "sharding"), PLACES)
def test_without_statistics_the_update_is_that_of_the_full_batch(
    run: Any, mesh: str, sharding: str
) -> None:
    """Parameters, moments, running average, loss, accuracy, norm; rows of weight 0 in between."""
    whole, parted = run(without_statistics), run(without_statistics, 4, mesh, sharding)
    equal(parted.after, whole.after)
    equal(parted.metrics, whole.metrics)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole.after.weights, whole.before)
    assert min(jax.tree.leaves(moved)) > 1e-6


def test_norms_see_micro_batches_one_after_the_other(run: Any) -> None:
    """Against a loop over the samples r, r + 4, r + 8, ... without any step."""
    experiment, _, batch, capacities = with_statistics()
    got = run(with_statistics, 4)
    spec, stats, total = got.spec, got.before.stats, batch["weight"].sum()

    def loss_of(params: Any, stats: Any, rows: dict[str, Any]) -> tuple[Any, Any]:
        model = nnx.merge(spec.graphdef, params, stats)
        x = to_voxels(rows["points"], rows["count"], 16, capacities)
        _, out = model(None, x, train=True)
        logs = jax.nn.log_softmax(out.logits)
        targets = 0.9 * jax.nn.one_hot(rows["label"], 10) + 0.1 / 10
        after = nnx.as_pure(nnx.split(model, nnx.Param, ...)[2])
        return -(rows["weight"][:, None] * targets * logs).sum() / total, after

    assert experiment.task.label_smoothing == 0.1
    differentiate = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    params, loss = got.before.params, 0.0
    gradient = jax.tree.map(np.zeros_like, params)
    for k in range(4):
        rows = jax.tree.map(lambda a, k=k: jnp.asarray(a[k::4]), batch)
        (part, stats), own = differentiate(params, stats, rows)
        gradient, loss = jax.tree.map(np.add, gradient, own), loss + part
    equal(got.metrics.loss, loss)
    equal(got.after.weights.stats, stats)
    equal(got.after.weights.params, jax.tree.map(np.subtract, params, gradient))
    assert int(got.after.weights.stats["norm"]["seen"]) == 4
    whole = run(with_statistics)
    assert abs(float(whole.metrics.loss) - float(loss)) > 1e-6  # of other statistics


def test_a_micro_batch_is_the_same_on_every_mesh(run: Any) -> None:
    one, four = run(with_statistics, 4), run(with_statistics, 4, "data=4")
    equal(four.after, one.after, 1e-10)
    equal(four.metrics, one.metrics, 1e-10)


def test_what_a_step_sends_does_not_grow(run: Any) -> None:
    """Gradients are reduced once; cut parameters are gathered and scattered once, all outside."""
    whole = run(without_statistics, 1, "data=4", "fsdp")
    parted = run(without_statistics, 4, "data=4", "fsdp")
    bytes_of, kernel = bytes_by_kind(parted.sent), 8 * 32 * 64
    assert bytes_of == bytes_by_kind(whole.sent)
    assert {one.times for one in parted.sent} == {1}
    assert bytes_of["all-gather"] == kernel // 4
    assert bytes_of["reduce-scatter"] == kernel
    assert bytes_of["all-reduce"] > 8 * 64 * 4


def test_only_statistics_are_sent_in_the_loop(run: Any) -> None:
    parted = run(with_statistics, 4, "data=4")
    inside = [one for one in parted.sent if one.times == 4]
    outside = [one for one in parted.sent if one.times == 1]
    assert len(inside) + len(outside) == len(parted.sent)
    assert {one.kind for one in parted.sent} == {"all-reduce"}
    assert 0 < sum(one.bytes for one in inside) <= 2 * 8 * (24 + 24 + 1)  # there, and back
    gradients = 8 * sum(leaf.size for leaf in jax.tree.leaves(parted.before.params))
    assert gradients <= sum(one.bytes for one in outside) <= gradients + 100


def test_a_step_in_micro_batches_needs_less_memory(run: Any) -> None:
    assert run(with_statistics, 4).scratch < 0.6 * run(with_statistics).scratch


def test_a_run_in_micro_batches_is_stored_and_not_resumed_otherwise(tmp_path: Any) -> None:
    experiment = dataclasses.replace(
        tiny_experiment(tmp_path), accumulate=2, epochs=1, mesh="data=2"
    )
    summary = train(experiment, progress=False)
    assert read_experiment(summary["run_folder"]).accumulate == 2
    buckets = json.loads((Path(summary["run_folder"]) / "buckets.json").read_text())
    assert buckets["training"]["choices"][0]["samples"] == B // 4
    other = dataclasses.replace(experiment, accumulate=1)
    assert differences(experiment, other) == ("accumulate: the run has 2, now 1",)
    with pytest.raises(ValueError, match="accumulate: the run has 2, now 1"):
        train(other, run_folder=summary["run_folder"], resume=True, progress=False)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of the accumulate=3 .* got 32. Take 33, or an"):
        any_experiment(accumulate=3)
    with pytest.raises(ValueError, match="accumulate must be an integer of at least 1; got 0"):
        any_experiment(accumulate=0)
    check_divisible(16, parse_mesh("data=4"), 4)
    with pytest.raises(
        ValueError, match=r"times accumulate=4; got 12. Take 16, another accumulate"
    ):
        check_divisible(12, parse_mesh("data=4"), 4)
