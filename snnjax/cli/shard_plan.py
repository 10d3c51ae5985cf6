"""``snnjax shard-plan [NAME|FILE|MODULE|RUN_FOLDER]``: the cost of a mesh and a sharding."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from snnjax.cli.cores import core_count, mesh_devices
from snnjax.cli.output import console, quiet_stdout
from snnjax.cli.subject import SubjectOptions, read_subject, sampled
from snnjax.cli.tables import number_table

if TYPE_CHECKING:
    from snnjax.sharding import Collective
    from snnjax.train import ShardPlan

FLAG = "--xla_force_host_platform_device_count"


@dataclass(frozen=True, kw_only=True)
class ShardPlanOptions(SubjectOptions):
    """Options of ``snnjax shard-plan``."""

    json: bool = False
    """Print one JSON object instead of tables."""


def fake_devices() -> int:
    """The number of CPU devices set for this process; 0 if it uses the default."""
    found = re.search(rf"{FLAG}=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return int(found[1]) if found and os.environ.get("JAX_PLATFORMS") == "cpu" else 0


def with_fake_devices(devices: int) -> dict[str, str]:
    """Environment variables for a process with `count` fake devices."""
    others = re.sub(rf"{FLAG}=\d+", "", os.environ.get("XLA_FLAGS", ""))
    flags = {"XLA_FLAGS": f"{others} {FLAG}={devices}".strip(), "JAX_PLATFORMS": "cpu"}
    return {**os.environ, **flags}


def again_with(devices: int, arguments: list[str]) -> int:
    """Run the same command in a process that has that many fake devices; its exit code."""
    code = "import sys; from snnjax.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "shard-plan", *arguments]
    sys.stdout.flush()
    return subprocess.run(command, env=with_fake_devices(devices), check=False).returncode


def _tables(plan: ShardPlan) -> list[Table]:
    mesh = ", ".join(f"{name}={size}" for name, size in plan.mesh.items())
    parameters = number_table(
        f"Parameters, {plan.sharding} on {mesh}", "parameter", "shape", "sharded over", "bytes"
    )
    for row in plan.parameters:
        axes = ", ".join(axis or "-" for axis in row.spec) if any(row.spec) else "replicated"
        parameters.add_row(
            row.path, "x".join(map(str, row.shape)) or "scalar", axes, f"{row.bytes:,}"
        )
    memory = number_table("Bytes on one device", "what", "as sharded", "if replicated")
    for name, size in plan.device_bytes.items():
        memory.add_row(name, f"{size:,}", f"{plan.replicated_bytes[name]:,}")
    memory.add_row("scratch of the step", f"{plan.scratch_bytes:,}", "")
    sent = number_table(
        "Collectives of a training step", "kind", "devices", "runs", "operand bytes", "bytes sent"
    )
    sent.caption = "Bytes per device, sent as in a ring. +: and more, in loops of unknown length."
    for (kind, group), found in sorted(_grouped(plan.collectives).items()):
        sent.add_row(
            kind,
            str(group),
            str(sum(one.times for one in found)) + ("+" if any(a.at_least for a in found) else ""),
            f"{sum(one.bytes * one.times for one in found):,}",
            f"{sum(one.sent for one in found):,.0f}",
        )
    return [parameters, memory, sent]


def _grouped(found: tuple[Collective, ...]) -> dict[tuple[str, int], list[Collective]]:
    groups: dict[tuple[str, int], list[Collective]] = defaultdict(list)
    for one in found:
        groups[one.kind, one.group].append(one)
    return groups


def run(arguments: list[str]) -> None:
    """Compile the step on fake devices and print the tables."""
    options, _ = read_subject(
        ShardPlanOptions, arguments, command="shard-plan", verb="Bytes and messages of"
    )
    experiment = sampled(options.experiment)
    micro = experiment.batch_size // experiment.accumulate
    devices = mesh_devices(experiment.mesh, micro, core_count())
    if fake_devices() < devices:
        raise SystemExit(again_with(devices, arguments))
    from snnjax.runs import load_model
    from snnjax.train import shard_plan

    with quiet_stdout():
        plan = shard_plan(experiment, load=load_model)
    if options.json:
        print(json.dumps(dataclasses.asdict(plan)))
        return
    shown = console()
    for table in _tables(plan):
        shown.print(table)
