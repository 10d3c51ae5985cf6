"""Compile one training step for absent devices, and record its costs.

    python -m experiments.scale.step WORKLOAD cpu|tpu DEVICES SHARDING [FILE]   the record, as JSON

The text of the program goes to the file, if one is given.

For "cpu" the process must have been started with that many fake devices, and for "tpu" its Python
must have libtpu, which compiles for a described v5p without a device. A CPU program uses the forms
that the library chooses on a GPU, since it models one.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.scale.chips import CHIPS, torus
from experiments.scale.costs import costs
from experiments.scale.workloads import WORKLOADS, Workload
from snnjax.sharding import collectives, parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import AXIS, Session, train_step

STANDS_FOR = {"cpu": "gpu", "tpu": "tpu"}
"""The backend whose forms a program uses."""


@contextmanager
def choices_of(backend: str) -> Iterator[None]:
    """Make the library choose its forms as on another backend."""
    with mock.patch.object(jax, "default_backend", return_value=backend):
        yield


def described_devices(target: str, count: int) -> Sequence[Any]:
    """Fake CPU devices of this process, or those of a described v5p torus."""
    if target == "cpu":
        return jax.devices()
    from jax.experimental import topologies

    name = "v5p:" + "x".join(map(str, torus(count)))
    return topologies.get_topology_desc(platform="tpu", topology_name=name).devices


def record(
    name: str,
    workload: Workload,
    target: str,
    count: int,
    sharding: str,
    keep: Callable[[str], Any] = len,
) -> dict[str, Any]:
    """Compile the step of a workload on the mesh `data=count`, and record its costs.

    Args:
      name: name of the workload.
      workload: the workload, with its number of samples on each device.
      target: "cpu" or "tpu". count: devices. sharding: a preset.
      keep: called with the text of the program.

    Raises:
      ValueError: the sharding does not fit the model, or there are too few devices.
    """
    mesh = parse_mesh(f"data={count}", described_devices(target, count))
    experiment = workload.on(f"data={count}", count, sharding)
    with choices_of(STANDS_FOR[target]):
        session = Session.of(experiment, workload.info(experiment.batch_size), mesh)
        shape, place = workload.shape(session.model), NamedSharding(mesh, P(AXIS))
        batch = {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place)
            for name, array in workload.batch(experiment.batch_size).items()
        }
        compiled = train_step(session.spec, shape).lower(session.state, batch).compile()
    text = compiled.as_text()
    keep(text)
    return {
        "workload": name,
        "target": target,
        "devices": count,
        "sharding": sharding,
        "samples": workload.samples,
        "train_size": workload.train_size,
        "parameters": sum(x.size for x in jax.tree.leaves(session.state.weights.params)),
        "capacities": vars(shape) if isinstance(shape, Capacities) else None,
        **read_off(text, target),
        "memory": _memory(compiled.memory_analysis()),
        "cost_analysis": {
            key: compiled.cost_analysis()[key] for key in ("flops", "bytes accessed")
        },
        "versions": {"jax": jax.__version__, **_libtpu(target)},
    }


def read_off(text: str, target: str) -> dict[str, Any]:
    """Costs and collectives of a program, equal collectives together."""
    times: Counter[tuple[str, int, int]] = Counter()
    for one in collectives(text):
        times[one.kind, one.bytes, one.group] += one.times
    sent = [
        {"kind": kind, "bytes": size, "group": group, "times": count}
        for (kind, size, group), count in sorted(times.items())
    ]
    return {**vars(costs(text, CHIPS[target])), "collectives": sent}


def _libtpu(target: str) -> dict[str, str]:
    return {"libtpu": version("libtpu")} if target == "tpu" else {}


def _memory(stats: Any) -> dict[str, int]:
    """Bytes on one device, as the compiler plans them."""
    return {
        "arguments": int(stats.argument_size_in_bytes),
        "outputs": int(stats.output_size_in_bytes),
        "shared": int(stats.alias_size_in_bytes),  # outputs that reuse the memory of arguments
        "temporary": int(stats.temp_size_in_bytes),
    }


if __name__ == "__main__":
    chosen, where, devices, sharding, *files = sys.argv[1:]
    writes = [Path(file).write_text for file in files] or [len]
    print(json.dumps(record(chosen, WORKLOADS[chosen], where, int(devices), sharding, *writes)))
