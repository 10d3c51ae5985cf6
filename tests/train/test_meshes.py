"""One step on every kind of mesh: equal to one device, and no byte sent that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.data.speech import SpeechSource
from snnjax.experiment import Experiment, OptimiserConfig
from snnjax.sharding import parse_mesh
from snnjax.train import eval_step, shard
from tests.train.build import build_spec, changed, frame_batch, info_of
from tests.train.doubles import Double
from tests.train.on_meshes import (
    QUICK,
    Outcome,
    Subject,
    drawn,
    equal,
    runner,
    sends_what_it_must,
)

B, T, HIDDEN = 16, 12, 64


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def subject() -> Subject:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.r_[np.ones(B - 3), np.zeros(3)]
    frames = 3.0 * rng.poisson(0.7, (B, T, 6))
    count = rng.integers(8, T + 1, B).astype(np.int32)
    experiment = Experiment(
        data=SpeechSource(steps=T),
        model=Double(hidden=HIDDEN, layers=2, dropout=0.0, delays="none"),
        optimiser=OptimiserConfig(clip_norm=0.2),
        batch_size=B,
        epochs=10,
        ema=0.9,
    )
    batch = frame_batch(frames, count, label, weight)
    return Subject(experiment, info_of(8, 6), batch, None)


@pytest.fixture(scope="module")
def run() -> Callable[[str, str], Outcome]:
    on = subject()
    return runner(on, drawn(on))


MESHES = [
    ("data=8", "replicated"),
    ("data=4", "fsdp"),
    ("data=2,model=2", "tensor"),
    ("model=4", "tensor"),
    ("data=4,model=2", "mixed"),
]


@pytest.mark.parametrize(("mesh", "sharding"), MESHES)
def test_sequences_are_learned_as_on_one_device(run: Any, mesh: str, sharding: str) -> None:
    """Loss, gradient norm, clipped updates, moments, statistics and running averages."""
    one = run("data=1", "replicated")
    assert np.all(one.curve[:, 1] > 0.2)  # the norm is clipped
    assert one.curve[-1, 0] != one.curve[0, 0]
    equal(run(mesh, sharding), one)


@pytest.mark.parametrize(("mesh", "sharding"), [("data=1", "replicated"), *MESHES])
def test_a_step_sends_what_it_must(run: Any, mesh: str, sharding: str) -> None:
    """One sum of the second layer's outputs; the gradient by the frames is not asked for."""
    sizes = parse_mesh(mesh).shape
    first = HIDDEN // sizes.get("model", 1)
    activations = 8 * T * (B // sizes["data"]) * HIDDEN
    sends_what_it_must(run(mesh, sharding), (first, HIDDEN), activations)


def test_each_device_holds_its_share_of_parameters_and_moments(run: Any) -> None:
    state = run("data=4,model=2", "mixed").cut
    kernel = state.weights.params["hidden"][1]["linear"]["weight"]
    assert kernel.sharding.shard_shape(kernel.shape) == (HIDDEN // 2, HIDDEN // 4, 1)
    shapes = {
        leaf.sharding.shard_shape(leaf.shape)
        for leaf in jax.tree.leaves((state.opt_state, state.ema.params))
        if leaf.shape == kernel.shape
    }
    assert shapes == {(HIDDEN // 2, HIDDEN // 4, 1)}


def test_a_cut_state_is_made_in_place_with_the_same_numbers() -> None:
    on = subject()
    experiment = changed(on.experiment, sharding="mixed")
    want = build_spec(on.experiment, on.info, parse_mesh("data=1"))[1]
    spec, got = build_spec(experiment, on.info, parse_mesh("data=4,model=2"))
    jax.tree.map(np.testing.assert_array_equal, got.weights, want.weights)
    assert jax.tree.all(
        jax.tree.map(lambda a, s: a.sharding.is_equivalent_to(s, a.ndim), got, spec.shardings)
    )


def test_evaluation_gathers_too(run: Any) -> None:
    on, logits = subject(), []
    for mesh, sharding in (("data=1", "replicated"), ("data=4,model=2", "mixed")):
        one = run(mesh, sharding)
        batch = shard(on.batch, one.spec.mesh)
        program = eval_step(one.spec, None).lower(one.cut.weights, batch)
        out = program.compile(compiler_options=QUICK)(one.cut.weights, batch)
        logits.append(np.asarray(out.outputs))
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-9)
