"""One of several processes that take the steps of subjects on meshes over all their devices.

`python -m tests.train.mesh_member COORDINATOR COUNT INDEX FILE [[subject, mesh, sharding], ...]`
writes what it saw of each into a file: the curve, and how many parameters are cut.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from snnjax.runs import Hosts, hosts, start
from tests.train.on_meshes import STEPS, Subject, compiled, curve_of
from tests.train.subjects import first_of, subject


@functools.cache
def begun(name: str) -> tuple[Subject, Any]:
    on = subject(name, np.float64)
    return on, first_of(on)


def seen(name: str, mesh: str, sharding: str) -> dict[str, Any]:
    on, first = begun(name)
    spec, program, batch = compiled(on, mesh, sharding)
    hosts.check_mesh(spec.mesh)
    curve, state = curve_of(spec, program, first, [batch] * STEPS)
    cut = [not leaf.is_fully_replicated for leaf in jax.tree.leaves(state.weights.params)]
    return {"curve": curve.tolist(), "cut": sum(cut)}


def main(coordinator: str, count: str, index: str, file: str, cases: str) -> None:
    start(Hosts(coordinator=coordinator, count=int(count), index=int(index)))
    found = [seen(*case) for case in json.loads(cases)]
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
