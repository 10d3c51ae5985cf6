"""Less kept for the gradient: the same numbers from a smaller program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.data.clouds import to_voxels
from snnjax.data.speech import SpeechSource
from snnjax.experiment import Experiment, OptimiserConfig, differences
from snnjax.models import E3DSNN, E3DSNNConfig
from snnjax.nn import Sequential
from snnjax.nn.remat import REMATS
from snnjax.sharding import bytes_by_kind, collectives, parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import shard, train_step
from tests.train.build import any_experiment, build_spec, frame_batch, info_of
from tests.train.doubles import Double, widened

QUICK = {"xla_backend_optimization_level": 0}
BARRIERS = {**QUICK, "xla_disable_hlo_passes": "cse_barrier_expander"}
B, T = 16, 48


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Outcome(NamedTuple):
    result: Any
    scratch: int
    text: str


def delays_step(remat: Any) -> Outcome:
    """A training step with dropout, of two layers with learned delays, on two devices."""
    rng = np.random.default_rng(0)
    experiment = Experiment(
        data=SpeechSource(steps=T),
        model=Double(hidden=32, layers=2, delays="learned", max_delay=2, dropout=0.2),
        optimiser=OptimiserConfig("sgd", 0.1, 0.0, 0.0),
        batch_size=B,
        epochs=10,
        remat=remat,
    )
    batch = frame_batch(
        3.0 * rng.poisson(0.7, (B, T, 6)),
        rng.integers(8, T + 1, B).astype(np.int32),
        rng.integers(0, 4, B).astype(np.int32),
        np.ones(B),
    )
    mesh = parse_mesh("data=2")
    spec, state = build_spec(experiment, info_of(4, 6), mesh)
    on_mesh = shard(batch, mesh)
    program = train_step(spec, None).lower(state, on_mesh).compile(compiler_options=QUICK)
    state, metrics = program(state, on_mesh)
    scratch = int(program.memory_analysis().temp_size_in_bytes)
    result = jax.device_get((state.weights, metrics))
    return Outcome(result, scratch, program.as_text())


def e3dsnn_gradient(remat: Any) -> Outcome:
    """Gradient, statistics and last membranes of an E3DSNN over two time steps."""
    points = jax.random.uniform(jax.random.key(0), (B, 64, 3), minval=-1.0)
    capacities = Capacities((64, 64))
    config = E3DSNNConfig(
        stem=8, channels=(16,), depth=1, in_channels=3, num_classes=4, steps=2, levels=4
    )
    model = widened(E3DSNN(config, rngs=nnx.Rngs(0)))
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    stats = nnx.as_pure(stats)

    def loss(params: Any) -> Any:
        net = nnx.merge(graphdef, params, stats)
        x = to_voxels(points, jnp.full(B, 64), 16, capacities)
        after, out = net(None, x, train=True, capacities=capacities, remat=remat)
        moved = nnx.as_pure(nnx.split(net, nnx.Param, ...)[2])
        return (out.logits**2).mean(), (moved, after)

    program = jax.jit(jax.grad(loss, has_aux=True)).lower(nnx.as_pure(params))
    program = program.compile(compiler_options=BARRIERS)
    scratch = int(program.memory_analysis().temp_size_in_bytes)
    return Outcome(jax.device_get(program(nnx.as_pure(params))), scratch, program.as_text())


@pytest.fixture(scope="module")
def steps() -> dict[str, Outcome]:
    return {remat: delays_step(remat) for remat in REMATS}


@pytest.fixture(scope="module")
def gradients() -> dict[str, Outcome]:
    return {remat: e3dsnn_gradient(remat) for remat in REMATS}


def check(found: dict[str, Outcome], falls: tuple[float, float]) -> None:
    """Equal numbers, and scratch memory that falls at least by these factors."""
    for remat in ("products", "layers"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
            found[remat].result,
            found["none"].result,
        )
    none, products, layers = (found[remat].scratch for remat in REMATS)
    assert products < falls[0] * none, (none, products, layers)
    assert layers < falls[1] * products, (none, products, layers)


def test_delays_are_learned_alike_in_less_memory(steps: dict[str, Outcome]) -> None:
    """Weights, statistics, metrics; dropout draws the same channels again."""
    check(steps, (0.95, 0.95))


def test_an_e3dsnn_has_the_same_gradient_in_less_memory(gradients: dict[str, Outcome]) -> None:
    check(gradients, (0.95, 0.95))


def test_what_is_computed_again_sends_nothing_again(steps: dict[str, Outcome]) -> None:
    sent = {remat: bytes_by_kind(collectives(steps[remat].text)) for remat in REMATS}
    assert sent["products"] == sent["layers"] == sent["none"]
    assert sent["none"]["all-reduce"] > 0


def test_what_would_change_nothing_is_refused() -> None:
    net = Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"no module with rematerialised = True, so that remat"):
        net(None, jnp.ones((1, 1, 2)), train=True, remat="layers")
    with pytest.raises(ValueError, match="remat must be one of none, products, layers; got 'all'"):
        any_experiment(remat="all")


def test_a_resumed_run_may_keep_more_or_less() -> None:
    assert differences(any_experiment(), any_experiment(remat="layers")) == ()
