from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from snnjax.data.clouds import to_voxels
from snnjax.experiment import OptimiserConfig, ScheduleConfig
from snnjax.losses import cross_entropy
from snnjax.sharding import parameter_path, parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import Programs, merge_model, shard, train_step
from tests.train.build import Made, build_spec, cloud_batch, info_of
from tests.train.tiny import Tiny, tiny_experiment

INFO = info_of(10, 3)
CAPACITIES = Capacities((64, 64, 40, 8, 1))


def host_batch(seed: int = 0, size: int = 16) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = rng.integers(20, 65, size).astype(np.int32)
    points = rng.uniform(-1, 1, (size, 64, 3)).astype(np.float32)
    points[np.arange(64) >= count[:, None]] = 0
    weight = np.ones(size, np.float32)
    weight[-3:] = 0
    return cloud_batch(points, count, rng.integers(0, 10, size).astype(np.int32), weight)


def plain_sgd() -> Any:
    """With rate 1 and nothing else the update is minus the gradient."""
    return tiny_experiment(
        "runs",
        optimiser=OptimiserConfig("sgd", 1.0, 0.0, 0.0, clip_norm=0.0),
        schedule=ScheduleConfig("step", warmup=0.0, boundaries=()),
    )


class Sharded(Tiny):
    """The tiny model, which says how it is sharded over channels."""

    def tensor_rules(self) -> Any:
        return (
            ("^first/kernel$", P(None, "model")),
            ("^(first/bias|norm/(scale|shift|mean|var))$", P("model")),
            ("^second/kernel$", P("model")),
            (".*", P()),
        )


PLACES = {
    1: ("data=1", "replicated"),
    2: ("data=2", "replicated"),
    8: ("data=8", "replicated"),
    "fsdp": ("data=4", "fsdp"),
    "mixed": ("data=2,model=2", "mixed"),
}


@pytest.fixture(scope="module")
def one_update() -> dict[Any, Any]:
    """Weights before, state after and metrics of one update, on every kind of mesh."""
    results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnjax.sharding.presets.SMALLEST", 24)
        for name, (axes, sharding) in PLACES.items():
            mesh = parse_mesh(axes)
            experiment = dataclasses.replace(plain_sgd(), sharding=sharding, model=Made(Sharded))
            spec, state = build_spec(experiment, INFO, mesh)
            before = jax.device_get(state.weights)
            step = train_step(spec, CAPACITIES)
            state, metrics = step(state, shard(host_batch(), mesh))
            results[name] = (spec, before, jax.device_get(state.weights), metrics, state)
    return results


@pytest.mark.parametrize("place", [2, 8, "fsdp", "mixed"])
def test_many_devices_compute_what_one_does(one_update: dict[Any, Any], place: Any) -> None:
    """In float32: the loss to 1e-6, and the gradient, which is the update, to 1e-5."""
    one, eight = one_update[1], one_update[place]
    for name in ("loss", "learning_rate"):
        np.testing.assert_allclose(getattr(one[3], name), getattr(eight[3], name), rtol=1e-6)
    np.testing.assert_allclose(one[3].gradient_norm, eight[3].gradient_norm, rtol=1e-5)
    for name in ("correct", "samples", "overflow"):
        np.testing.assert_array_equal(one[3].scores[name], eight[3].scores[name])
    assert int(one[3].scores["overflow"]) == 0
    assert int(one[3].scores["samples"]) == 13
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one[2], eight[2])
    # the statistics of the norm are those of the whole batch, equal to rounding
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one[2].stats, eight[2].stats
    )


def test_parameters_lie_where_their_sharding_says(one_update: dict[Any, Any]) -> None:
    specs = {
        place: {
            parameter_path(keys): tuple(leaf.sharding.spec)
            for keys, leaf in jax.tree.leaves_with_path(one_update[place][4].weights.params)
        }
        for place in ("fsdp", "mixed")
    }
    assert specs["fsdp"]["first/kernel"] == (None, "data")
    assert specs["fsdp"]["norm/scale"] == ("data",)
    assert specs["fsdp"]["second/bias"] == ()  # below the size that is worth it
    assert specs["mixed"]["second/kernel"] == ("model", "data")
    assert specs["mixed"]["first/kernel"] == (None, "model")  # no dimension is left for "data"


def test_the_update_is_the_gradient_of_the_plain_mean_loss(one_update: dict[Any, Any]) -> None:
    """Against autodiff of a loss without shard_map, weights or axis names."""
    spec, before, after, metrics, _ = one_update[8]
    before = jax.tree.map(jnp.asarray, before)
    batch = host_batch()

    def loss_fn(params: Any) -> jax.Array:
        model = merge_model(spec.graphdef, before._replace(params=params))
        points, count = jnp.asarray(batch["points"]), jnp.asarray(batch["count"])
        _, out = model(None, to_voxels(points, count, 16, CAPACITIES), train=True)
        label = jnp.asarray(batch["label"])
        return cross_entropy(out.logits, label, smoothing=0.1)[:-3].mean()

    loss, gradient = jax.jit(jax.value_and_grad(loss_fn))(before.params)
    np.testing.assert_allclose(metrics.loss, loss, rtol=1e-6)
    jax.tree.map(
        lambda old, new, g: np.testing.assert_allclose(old - new, g, atol=1e-5),
        before.params,
        after.params,
        gradient,
    )
    norm = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(metrics.gradient_norm, norm, rtol=1e-5)
    assert norm > 0.01


def test_statistics_and_counters_are_updated_once(one_update: dict[Any, Any]) -> None:
    _, before, after, _, state = one_update[8]
    assert int(state.step) == 1
    assert int(after.stats["norm"]["seen"]) == 1
    assert np.abs(after.stats["norm"]["mean"] - before.stats["norm"]["mean"]).max() > 1e-3


def test_the_average_follows_the_update(one_update: dict[Any, Any]) -> None:
    """At t = 0 the decay is 1/10, whatever the final one."""
    _, before, after, _, state = one_update[1]
    want = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, before.params, after.params)
    got = jax.device_get(state.ema).params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want)


def test_a_bucket_compiles_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = []
    forward = Tiny.forward
    monkeypatch.setattr(
        Tiny, "forward", lambda *a, **k: traces.append(k["capacities"]) or forward(*a, **k)
    )
    mesh = parse_mesh("data=1")
    spec, state = build_spec(tiny_experiment("runs"), INFO, mesh)
    said: list[str] = []
    programs = Programs(spec, said.append)
    small, large = Capacities((64, 1, 1, 1, 1)), Capacities((72, 1, 1, 1, 1))
    for step, capacities in enumerate([small, large, small, small, large]):
        state, _ = programs.train(capacities, state, shard(host_batch(step), mesh))
    assert programs.compiles == len(said) == 2
    assert traces == [small, large]
    assert programs.seconds > 0
    assert "train" in said[0]
    assert "(64, 1, 1, 1, 1)" in said[0]


def test_the_old_state_is_donated() -> None:
    mesh = parse_mesh("data=1")
    spec, state = build_spec(tiny_experiment("runs"), INFO, mesh)
    old = jax.tree.leaves(state.weights.params)[0]
    Programs(spec, lambda _: None).train(CAPACITIES, state, shard(host_batch(), mesh))
    assert old.is_deleted()
