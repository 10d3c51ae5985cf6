"""An E-3DSNN on every kind of mesh: equal to one device, and no byte sent that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.sharding import parse_mesh
from tests.train.on_meshes import (
    Outcome,
    equal,
    first_step,
    nearly_equal,
    runner,
    sends_what_it_must,
)
from tests.train.subjects import BLOCK, ROWS, STEM, B, first_of, subject


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str, str], Outcome]]:
    """In float64."""
    with jax.enable_x64(True):
        on = subject("clouds", np.float64)
        yield runner(on, first_of(on))


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
    stem, block = (STEM // parts, STEM, STEM), (BLOCK, BLOCK, BLOCK // parts, BLOCK)
    sends_what_it_must(got, (*stem, *block), rows * (STEM + 2 * BLOCK))
    cut = ["model" in leaf.sharding.spec for leaf in jax.tree.leaves(got.cut.weights.params)]
    assert sum(cut) == (0 if parts == 1 else 4 + 2 * 2)  # two pairs, and the norms between


SPIKES = (
    *("stem.second.neuron", "stem.third.neuron", "stages.0.down.neuron"),
    *(f"stages.0.blocks.0.{branch}.neuron" for branch in ("first", "second", "third")),
)


@slow
def test_float32_differs_by_rounding_alone() -> None:
    on = subject("clouds", np.float32)
    start = first_of(on)
    want, got = (
        first_step(on, start, mesh, sharding, SPIKES)
        for mesh, sharding in (("data=1", "replicated"), ("data=4,model=2", "mixed"))
    )
    nearly_equal(got, want)
