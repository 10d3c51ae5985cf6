"""Meshes over the devices of two processes: the same training as on one device of one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.train.members import begin, ends, environment, free_port
from tests.train.on_meshes import STEPS, compiled, curve_of
from tests.train.subjects import NAMES, first_of, subject

Case = tuple[str, str, str]

MESHES = [
    ("data=8", "replicated"),
    ("data=8", "fsdp"),
    ("model=2,data=4", "tensor"),  # the axis that leads crosses from one process to the other
    ("data=4,model=2", "tensor"),
    ("model=4,data=2", "mixed"),
    ("data=2,model=4", "mixed"),
]
QUICKEST = [("conv", "data=8", "fsdp"), ("conv", "model=2,data=4", "mixed")]
RUN = "import sys; from tests.train.mesh_member import main; main(*sys.argv[1:])"


def on_one_device(name: str) -> np.ndarray:
    """Loss and gradient norm of each step in this process, [STEPS, 2]."""
    with jax.enable_x64(True):
        on = subject(name, np.float64)
        spec, program, batch = compiled(on, "data=1", "replicated")
        return curve_of(spec, program, first_of(on), [batch] * STEPS)[0]


def learns_as_on_one_device(cases: Sequence[Case], folder: Path, cache: Path) -> None:
    """All `cases` in one pair of processes of four devices; prints the largest differences."""
    coordinator, env = f"127.0.0.1:{free_port()}", environment(4, cache)
    files = [folder / f"{index}.json" for index in range(2)]
    pair = [
        begin(RUN, [coordinator, 2, index, file, json.dumps(cases)], env)
        for index, file in enumerate(files)
    ]
    found = ends(pair, timeout=1000)
    assert [code for code, _, _ in found] == [0, 0], found
    zero, one = (json.loads(file.read_text()) for file in files)
    assert zero == one
    assert len(zero) == len(cases)
    want = {name: on_one_device(name) for name, _, _ in cases}
    for (name, mesh, sharding), got in zip(cases, zero, strict=True):
        curve = np.array(got["curve"])
        print(name, mesh, sharding, got["cut"], np.max(np.abs(curve / want[name] - 1)))
        assert want[name][-1, 0] != want[name][0, 0]
        assert (got["cut"] > 0) == (sharding != "replicated")
        np.testing.assert_allclose(curve, want[name], rtol=1e-9, atol=0)


def test_a_convolutional_net_in_two_processes(tmp_path: Path, compile_cache: Path) -> None:
    """Parameters that are cut over both processes, along "data" and along "model"."""
    learns_as_on_one_device(QUICKEST, tmp_path, compile_cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_mesh_in_two_processes(name: str, tmp_path: Path, compile_cache: Path) -> None:
    cases = [(name, mesh, sharding) for mesh, sharding in MESHES]
    learns_as_on_one_device(cases, tmp_path, compile_cache)
