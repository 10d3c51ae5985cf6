"""`python -m experiments.bench.chart`: pictures of the dense rows and of events, from results.

    python -m experiments.bench.chart                      results/dense.png and events.png
    python -m experiments.bench.chart --results FOLDER

Bars are medians of lif-layer (forward and backward), lif-net and conv-net (a training step): ours
in blue, hand-written JAX in light blue, the matrix products alone as a line. Below, the
cost of a step of a neuron by T and by N, next to that of copying inputs and outputs. The second
picture has the time of a product by events over that of the dense one, by density, width and batch:
below 1 events win. It needs matplotlib: pip install "snnjax[viz]".
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from experiments.bench.options import Options
from snnjax.viz.style import (
    BLACK,
    BLUE,
    GREY,
    PALETTE,
    SKY,
    VERMILION,
    new_figure,
    save_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = dict[str, Any]
BARS = {
    "lif-layer": "LIF layer",
    "lif-net": "LIF net",
    "conv-net": "Convolutional net",
}
LONGEST_BAR = 3
"""Longest bar, as a multiple of the median."""


def main(arguments: Sequence[str] | None = None) -> tuple[Path, Path]:
    """Draw both pictures; returns the files."""
    return tyro.cli(draw, args=arguments, prog="python -m experiments.bench.chart")


def draw(
    results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Options.results,
) -> tuple[Path, Path]:
    """Draw the dense rows into `<results>/dense.png`, events into `events.png`.

    Args:
      results: folder of the rows' files.

    Raises:
      ValueError: a row was not measured.
    """
    rows = {row: read(results, row) for row in (*BARS, "cost", "events")}
    figure = new_figure(11, 5.6)
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=(3, 2)))
    for ax, row in zip(upper.subplots(1, len(BARS)), BARS, strict=True):
        bars(ax, rows[row], BARS[row])
    for ax, varied in zip(lower.subplots(1, 2), ("T", "N"), strict=True):
        cost(ax, rows["cost"], varied)
    by_density = new_figure(11, 3.2)
    batches = sorted({record["shapes"]["B"] for record in rows["events"]})
    panels = np.atleast_1d(by_density.subplots(1, len(batches), sharey=True))
    for ax, batch in zip(panels, batches, strict=True):
        crossover(ax, rows["events"], batch)
    return (
        save_figure(figure, results / "dense.png", dpi=90),
        save_figure(by_density, results / "events.png", dpi=90),
    )


def read(results: Path, row: str) -> list[Record]:
    """The records of a row.

    Raises:
      ValueError: the row was not measured.
    """
    path = results / f"{row}.jsonl"
    if not path.is_file():
        raise ValueError(f"there is no {path}; measure it: make bench ARGS='--rows {row}'.")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def bars(ax: Axes, records: Sequence[Record], title: str) -> None:
    """Medians, the fastest on top; bars of far slower entries are clipped and labelled."""
    floors = [record["median_ms"] for record in records if "alone" in record["what"]]
    timed = sorted((r for r in records if "alone" not in r["what"]), key=lambda r: -r["median_ms"])
    times = [record["median_ms"] for record in timed]
    limit = min(max(times), LONGEST_BAR * statistics.median(times))
    names = [record["library"].replace(" (2 threads)", "") for record in timed]
    ax.barh(names, [min(t, limit) for t in times], color=[_colour(name) for name in names])
    for place, value in enumerate(times):
        number = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
        text = f" {number}" if value <= limit else f"{number} \N{RIGHTWARDS ARROW}"
        side = "left" if value <= limit else "right"
        colour = BLACK if value <= limit else "white"
        ax.text(min(value, limit), place, text, ha=side, va="center", fontsize=8, color=colour)
    for floor in floors:
        ax.axvline(floor, color=VERMILION, linestyle="--")
    ax.set_xlim(0, 1.15 * limit)
    label = "ms; dashed: matmuls alone" if floors else "ms"
    tidy(ax, title=title, xlabel=label, grid="x")
    ax.tick_params(axis="y", labelsize=8)


def cost(ax: Axes, records: Sequence[Record], varied: str) -> None:
    """Nanoseconds for one step of one neuron, by T or N, stored and in segments."""
    chosen = [record for record in records if record["varied"] == varied]
    for library, colour in (("snnjax (stored)", BLUE), ("snnjax (segments)", SKY)):
        points = [record for record in chosen if record["library"] == library]
        sizes = [record["shapes"][varied] for record in points]
        values = [record["ns_per_element_step"] for record in points]
        ax.plot(sizes, values, "o-", color=colour, label=library)
    bounds = {
        r["shapes"][varied]: r["ns_per_element_step"] * r["of_copy_bandwidth"] for r in chosen
    }
    ax.plot(list(bounds), list(bounds.values()), ":", color=GREY, label="copy of input and output")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.25 * max(record["ns_per_element_step"] for record in chosen))
    ax.legend(fontsize=8, frameon=False, ncols=3, loc="upper left")
    other = "N" if varied == "T" else "T"
    fixed = chosen[0]["shapes"][other]
    label = "ns per neuron and step"
    tidy(ax, title=f"LIF layer by {varied}, {other} = {fixed}", ylabel=label, grid="y")


def crossover(ax: Axes, records: Sequence[Record], batch: int) -> None:
    """Time of `event_matmul` over that of the dense product, by density; one line per width."""
    chosen = [r for r in records if r["what"] == "event_matmul" and r["shapes"]["B"] == batch]
    for width, colour in zip(sorted({r["shapes"]["N"] for r in chosen}), PALETTE, strict=False):
        points = [record for record in chosen if record["shapes"]["N"] == width]
        densities = [100 * record["shapes"]["density"] for record in points]
        ratios = [record["ratio"] for record in points]
        ax.plot(densities, ratios, "o-", color=colour, markersize=3, label=f"N = M = {width}")
    ax.axhline(1, color=GREY, linestyle="--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(fontsize=8, frameon=False)
    label = "time over dense" if batch == min(r["shapes"]["B"] for r in records) else ""
    tidy(ax, title=f"{batch} rows", xlabel="density, %", ylabel=label, grid="y")


def _colour(library: str) -> str:
    if library.startswith("snnjax"):
        return BLUE
    return SKY if library.startswith("jax,") else GREY


if __name__ == "__main__":
    print(*main(), sep="\n")
