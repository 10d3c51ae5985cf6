"""Tables, a picture and conclusions of the predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from experiments.scale.chips import CHIPS
from experiments.scale.predict import predict, verdict, weak_scaling
from snnjax.viz import new_figure, save_figure
from snnjax.viz.style import PALETTE, tidy

SHOWN = (8, 64, 512, 4096)
"""Devices of the tables."""
DRAWN = tuple(2**power for power in range(3, 17))
"""Devices of the picture."""
SOURCES = {
    "cpu": "by arithmetic from a CPU program with the forms of a GPU",
    "tpu": "by ahead-of-time compilation for a described TPU v5p",
}
Groups = Sequence[tuple[tuple[str, str], list[dict[str, Any]]]]
CYCLES = 1.75e9
"""Clock of a TPU v5p, for the cycles that its compiler expects."""


def report(records: Sequence[dict[str, Any]], picture: Path) -> None:
    """Print tables as Markdown and conclusions as sentences, and draw the efficiencies."""
    for target, source in SOURCES.items():
        groups = grouped(record for record in records if record["target"] == target)
        if groups:
            print(f"\n### {CHIPS[target].name}, {source}\n")
            _print_programs(groups)
            print()
            _print_steps(groups, target)
            print()
            for (_, sharding), group in groups:
                if sharding == "replicated":
                    print(f"- {verdict(group[-1], CHIPS[target])}")
    print(f"\n{_draw(records, picture)}")


def grouped(records: Iterable[dict[str, Any]]) -> list[tuple[tuple[str, str], list[dict]]]:
    """The programs of one workload and sharding together, by devices."""

    def kind(record: dict[str, Any]) -> tuple[str, str]:
        return record["workload"], record["sharding"]

    ordered = sorted(records, key=lambda record: (*kind(record), record["devices"]))
    return [(key, list(group)) for key, group in groupby(ordered, kind)]


def _print_programs(groups: Groups) -> None:
    """Print computation, traffic, communication and memory of a device in a step."""
    _row(
        "program",
        "devices",
        "GFLOP",
        "GB moved",
        "operations",
        "MB of operands",
        "collectives",
        "GB held",
    )
    _row(*["---"] * 8)
    for key, group in groups:
        for one in group:
            _row(
                _label(key),
                f"{one['devices']:,}",
                f"{sum(one['flops'].values()) / 1e9:,.0f}",
                f"{one['bytes'] / 1e9:.2f}",
                f"{one['operations']:,}",
                ", ".join(f"{size / 1e6:.2f} {kind}" for kind, size in _sizes(one).items()),
                str(sum(part["times"] for part in one["collectives"])),
                _memory(one),
            )


def _print_steps(groups: Groups, target: str) -> None:
    """Print the milliseconds of predicted steps."""
    chip = CHIPS[target]
    head = ("step, ms", "devices", "compute", "memory", "issue", "bandwidth", "latency", "step")
    _row(*head, "of one", *["compiler"] * (target == "tpu"))
    _row(*["---"] * (9 + (target == "tpu")))
    for key, group in groups:
        shown = SHOWN if key[1] == "replicated" else [one["devices"] for one in group]
        for step, compiled in weak_scaling(group, chip, shown):
            parts = (step.compute, step.memory, step.issue, step.carried, step.waiting)
            _row(
                _label(key),
                f"{step.devices:,}" + ("" if compiled == step.devices else f" (from {compiled:,})"),
                *(f"{1e3 * part:.2f}" for part in parts),
                f"{1e3 * step.seconds:.2f}",
                f"{100 * step.efficiency:.1f} %",
                *[f"{1e3 * group[0]['cycles'] / CYCLES:.1f}"] * (target == "tpu"),
            )


def _label(key: tuple[str, str]) -> str:
    return key[0] if key[1] == "replicated" else f"{key[0]}, {key[1]}"


def _memory(record: dict[str, Any]) -> str:
    """Memory of state and batch, and of temporaries, as planned by the compiler."""
    memory = record["memory"]
    state = memory["arguments"] + memory["outputs"] - memory["shared"]
    return f"{state / 1e9:.2f} + {memory['temporary'] / 1e9:.2f}"


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def _sizes(record: dict[str, Any]) -> dict[str, int]:
    """Operand bytes of each kind of collective."""
    sizes: dict[str, int] = {}
    for one in record["collectives"]:
        sizes[one["kind"]] = sizes.get(one["kind"], 0) + one["times"] * one["bytes"]
    return sizes


def _draw(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Efficiency over devices, a line for each workload and chip."""
    figure = new_figure(7.5, 4.0)
    axes = figure.subplots()
    colours = dict(zip(dict.fromkeys(one["workload"] for one in records), PALETTE, strict=False))
    for target, style in (("tpu", "-"), ("cpu", "--")):
        for (name, sharding), group in grouped(one for one in records if one["target"] == target):
            if sharding == "replicated":
                steps = [predict(group[-1], CHIPS[target], count) for count in DRAWN]
                label = f"{name}, {CHIPS[target].name}"
                shares = [100 * step.efficiency for step in steps]
                axes.plot(DRAWN, shares, style, color=colours[name], label=label)
    axes.set_xscale("log", base=2)
    axes.set_ylim(60, 101)
    tidy(axes, xlabel="devices", ylabel="efficiency of weak scaling, %", grid="both")
    axes.legend(fontsize="small", frameon=False)
    return save_figure(figure, path)
