"""An E-3DSNN on every kind of mesh: equal to one device, and no byte sent that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.models import E3DSNN, MODELS, E3DSNNConfig
from snnjax.models.e3dsnn import Pass
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import DataConfig, DeviceBatch, Experiment, ModelConfig, OptimiserConfig
from snnjax.train.folder import DatasetInfo
from tests.train.on_meshes import (
    Outcome,
    Subject,
    equal,
    filled,
    first_step,
    nearly_equal,
    runner,
    sends_what_it_must,
    widened,
)

B, ROWS, STEM, WIDTH = 16, 64, 8, 16


def clouds(*, rngs: Any, **options: Any) -> E3DSNN:
    return E3DSNN(E3DSNNConfig(stem=STEM, channels=(WIDTH,), depth=1, **options), rngs=rngs)


def subject(dtype: Any) -> Subject:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.r_[np.ones(B - 3), np.zeros(3)].astype(dtype)
    points = rng.uniform(-1, 1, (B, ROWS, 3)).astype(dtype)
    count = rng.integers(20, ROWS + 1, B).astype(np.int32)
    experiment = Experiment(
        data=DataConfig(batch_size=B, points=ROWS, extent=16),
        model=ModelConfig("clouds"),
        optimiser=OptimiserConfig("sgd", 0.1, 0.0, 0.0, clip_norm=0.2),
        ema=0.0,
    )
    info = DatasetInfo(tuple("abcdefgh"), 3, 64, 24, 0)
    batch = DeviceBatch(points, count, label, weight)  # pyright: ignore
    return Subject(experiment, info, batch, Capacities((ROWS, ROWS)))


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str, str], Outcome]]:
    """In float64."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setitem(MODELS, "clouds", lambda **options: widened(clouds(**options)))
        on = subject(np.float64)
        yield runner(on, filled(on))


slow = pytest.mark.slow
every_mesh = pytest.mark.parametrize(
    ("mesh", "sharding"),
    [
        pytest.param("data=8", "replicated", marks=slow),
        pytest.param("data=4", "fsdp", marks=slow),
        pytest.param("model=2", "tensor", marks=slow),
        ("data=4,model=2", "mixed"),
    ],
)


@every_mesh
def test_it_is_learned_as_on_one_device(run: Any, mesh: str, sharding: str) -> None:
    equal(run(mesh, sharding), run("data=1", "replicated"))


@every_mesh
def test_a_step_sends_what_it_must(run: Any, mesh: str, sharding: str) -> None:
    """Of the pair in the stem the outputs are summed; of that in the block a gradient too.

    Both once, after the loops over pairs.
    """
    got, sizes = run(mesh, sharding), parse_mesh(mesh).shape
    parts, rows = sizes.get("model", 1), 8 * (B // sizes["data"]) * ROWS
    stem, block = (STEM // parts, STEM, STEM), (WIDTH, WIDTH, WIDTH // parts, WIDTH)
    sends_what_it_must(got, (*stem, *block), rows * (STEM + 2 * WIDTH))
    cut = ["model" in leaf.sharding.spec for leaf in jax.tree.leaves(got.cut.weights.params)]
    assert sum(cut) == (0 if parts == 1 else 4 + 2 * 2)  # two pairs, and the norms between


def spikes(model: E3DSNN, x: Any, capacities: Any, *, train: bool, axis_name: Any) -> list[Any]:
    run = Pass(train, axis_name, False, ())
    model._forward(run, x, capacities)
    return [fired.feats for _, fired in run.spikes]


@slow
def test_float32_differs_by_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "clouds", clouds)
    on = subject(np.float32)
    start = filled(on)
    want, got = (
        first_step(on, start, mesh, sharding, spikes)
        for mesh, sharding in (("data=1", "replicated"), ("data=4,model=2", "mixed"))
    )
    nearly_equal(got, want)
