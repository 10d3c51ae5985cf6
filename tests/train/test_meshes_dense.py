"""A convolutional net and a transformer on every kind of mesh: equal to one device, least sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.sharding import parse_mesh
from tests.train.dense_models import FEATURES, HIDDEN, SIDE, SPIKES, TOKENS, WIDTH
from tests.train.on_meshes import (
    Outcome,
    equal,
    first_step,
    nearly_equal,
    runner,
    sends_what_it_must,
)
from tests.train.subjects import NETS, B, T, first_of, subject

every_net = pytest.mark.parametrize("net", NETS)
MESHES = [
    ("data=8", "replicated"),
    ("data=4", "fsdp"),
    ("model=2", "tensor"),
    ("data=2,model=4", "mixed"),
]
every_mesh = pytest.mark.parametrize(("mesh", "sharding"), MESHES)
# A transformer compiles slowly; what is left out here the convolutional net runs too.
some_meshes = pytest.mark.parametrize(
    ("mesh", "sharding"),
    [pytest.param(*one, marks=pytest.mark.slow) for one in MESHES[:2]] + MESHES[2:],
)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str], Callable[[str, str], Outcome]]]:
    """In float64."""
    with jax.enable_x64(True):
        known = {}
        for name in NETS:
            on = subject(name, np.float64)
            known[name] = runner(on, first_of(on))
        yield known.__getitem__


def learns_as_on_one_device(run: Callable[[str, str], Outcome], mesh: str, sharding: str) -> None:
    one = run("data=1", "replicated")
    assert one.curve[-1, 0] != one.curve[0, 0]
    equal(run(mesh, sharding), one)


@every_mesh
def test_a_convolutional_net_learns_as_on_one_device(run: Any, mesh: str, sharding: str) -> None:
    learns_as_on_one_device(run("conv"), mesh, sharding)


@some_meshes
def test_a_transformer_learns_as_on_one_device(run: Any, mesh: str, sharding: str) -> None:
    learns_as_on_one_device(run("transformer"), mesh, sharding)


@every_mesh
def test_a_convolutional_net_sends_what_it_must(run: Any, mesh: str, sharding: str) -> None:
    """The outputs of the second convolution are summed; nobody asks for the gradient by frames."""
    sizes = parse_mesh(mesh).shape
    places = 8 * T * (B // sizes["data"]) * (SIDE // 2) ** 2
    norms = WIDTH // sizes.get("model", 1), WIDTH
    sends_what_it_must(run("conv")(mesh, sharding), norms, places * WIDTH)


@some_meshes
def test_a_transformer_sends_what_it_must(run: Any, mesh: str, sharding: str) -> None:
    """Four sums of the stream a block: of projection and MLP, and of the gradients by their inputs.

    This is what tensor-parallel transformers send; here q, k and v share one of them.
    """
    sizes = parse_mesh(mesh).shape
    parts = sizes.get("model", 1)
    block = (*(FEATURES // parts,) * 3, FEATURES, HIDDEN // parts, FEATURES)
    stream = 8 * T * (B // sizes["data"]) * TOKENS * FEATURES
    sends_what_it_must(run("transformer")(mesh, sharding), (FEATURES, *block), 4 * stream)


def test_a_mesh_that_cuts_heads_is_refused(run: Any) -> None:
    with pytest.raises(ValueError, match="do not divide"):
        run("transformer")("model=8", "tensor")


@every_net
def test_float32_differs_by_rounding_alone(net: str) -> None:
    on = subject(net, np.float32)
    start = first_of(on)
    want, got = (
        first_step(on, start, mesh, sharding, SPIKES[net])
        for mesh, sharding in (("data=1", "replicated"), ("data=2,model=4", "mixed"))
    )
    nearly_equal(got, want)
