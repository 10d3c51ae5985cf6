"""Tables, a picture and conclusions of what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from experiments.scale.chips import CHIPS
from experiments.scale.predict import Step, predict, verdict, weak_scaling
from snnjax.viz import new_figure, save_figure
from snnjax.viz.style import tidy

SHOWN = (8, 64, 512, 4096)
"""Devices of the tables."""
DRAWN = tuple(2**power for power in range(3, 17))
"""Devices of the picture."""
SOURCES = {
    "cpu": "by arithmetic from a CPU program with the forms of a GPU",
    "tpu": "by ahead-of-time compilation for a described TPU v5p",
}
CYCLES = 1.75e9
"""Clock of a TPU v5p, for the cycles that its compiler expects."""


def report(records: Sequence[dict[str, Any]], picture: Path) -> None:
    """Print tables as Markdown and conclusions as sentences, and draw the efficiencies."""
    for (target, name, sharding), group in grouped(records):
        chip = CHIPS[target]
        print(f"\n### {name}, {sharding}: {chip.name}, {SOURCES[target]}\n")
        _print_programs(group)
        shown = SHOWN if sharding == "replicated" else [one["devices"] for one in group]
        print()
        _print_steps(group, target, shown)
        if sharding == "replicated":
            print(f"\n{verdict(group[-1], chip)}")
    print(f"\n{_draw(records, picture)}")


def grouped(records: Iterable[dict[str, Any]]) -> list[tuple[tuple[str, str, str], list[dict]]]:
    """The programs of one kind together, by devices."""

    def kind(record: dict[str, Any]) -> tuple[str, str, str]:
        return record["target"], record["workload"], record["sharding"]

    ordered = sorted(records, key=lambda record: (*kind(record), record["devices"]))
    return [(key, list(group)) for key, group in groupby(ordered, kind)]


def _print_programs(group: Sequence[dict[str, Any]]) -> None:
    _row("devices", "GFLOP", "GB moved", "operations", "MB sent", "collectives", "GB held")
    _row(*["---"] * 7)
    for one in group:
        _row(
            f"{one['devices']:,}",
            f"{sum(one['flops'].values()) / 1e9:,.0f}",
            f"{one['bytes'] / 1e9:.1f}",
            f"{one['operations']:,}",
            "; ".join(f"{size / 1e6:.2f} {kind}" for kind, size in _sizes(one).items()),
            str(sum(part["times"] for part in one["collectives"])),
            f"{_held(one) / 1e9:.2f}",
        )


def _print_steps(group: Sequence[dict[str, Any]], target: str, devices: Sequence[int]) -> None:
    """Milliseconds."""
    _row("devices", "compute", "memory", "issue", "sending", "latency", "step", "efficiency", "of")
    _row(*["---"] * 9)
    for step, compiled in weak_scaling(group, CHIPS[target], devices):
        parts = (step.compute, step.memory, step.issue, step.carried, step.waiting, step.seconds)
        _row(
            f"{step.devices:,}",
            *(f"{1e3 * part:.2f}" for part in parts),
            f"{100 * step.efficiency:.1f} %",
            f"{compiled:,} devices",
        )
    if expected := group[0]["cycles"]:
        print(f"\nThe compiler itself expects {1e3 * expected / CYCLES:.1f} ms of operations.")


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def _sizes(record: dict[str, Any]) -> dict[str, int]:
    """Operand bytes of each kind of collective."""
    sizes: dict[str, int] = {}
    for one in record["collectives"]:
        sizes[one["kind"]] = sizes.get(one["kind"], 0) + one["times"] * one["bytes"]
    return sizes


def _held(record: dict[str, Any]) -> int:
    """Bytes on one device at once, as planned."""
    memory = record["memory"]
    return memory["arguments"] + memory["outputs"] - memory["shared"] + memory["temporary"]


def _draw(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Efficiency over devices, a line for each workload and chip."""
    figure = new_figure(7.5, 4.0)
    axes = figure.subplots()
    for (target, name, sharding), group in grouped(records):
        if sharding != "replicated":
            continue
        steps: list[Step] = [predict(group[-1], CHIPS[target], count) for count in DRAWN]
        style = "-" if target == "tpu" else "--"
        label = f"{name}, {CHIPS[target].name}"
        axes.plot(DRAWN, [100 * step.efficiency for step in steps], style, label=label)
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 102)
    tidy(axes, xlabel="devices", ylabel="efficiency of weak scaling, %", grid="both")
    axes.legend(fontsize="small", frameon=False)
    return save_figure(figure, path)
