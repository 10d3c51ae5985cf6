"""``snnjax info [NAME|PATH|MODULE|RUN_FOLDER]``: parameters, capacities, synaptic operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from snnjax.cli.output import quiet_stdout
from snnjax.cli.subject import Subject, SubjectOptions, prepare, read_subject
from snnjax.cli.tables import number_table


@dataclass(frozen=True, kw_only=True)
class InfoOptions(SubjectOptions):
    """The experiment, and how much to show."""

    arrays: bool = False
    """List every parameter array instead of one line a layer."""


def parameter_rows(model: Any, *, arrays: bool) -> list[tuple[str, str, int]]:
    """(path, shape, size) of every array, or (layer, shapes, size) of every layer."""
    from snnjax.metrics import parameter_table

    rows = parameter_table(model)
    if arrays:
        return [(row.path, str(row.shape), row.size) for row in rows]
    sizes: Counter[str] = Counter()
    shapes: dict[str, list[str]] = {}
    for row in rows:
        layer = row.path.rpartition("/")[0] or row.path
        sizes[layer] += row.size
        shapes.setdefault(layer, []).append("x".join(map(str, row.shape)) or "scalar")
    return [(layer, " ".join(shapes[layer]), size) for layer, size in sizes.items()]


def _parameters(model: Any, arrays: bool) -> Table:
    table = number_table("Parameters", "layer", "shape", "parameters")
    rows = parameter_rows(model, arrays=arrays)
    for path, shape, size in rows:
        table.add_row(path, shape, f"{size:,}")
    table.add_section()
    table.add_row("total", "", f"{sum(size for *_, size in rows):,}")
    return table


def _capacities(subject: Subject) -> Table:
    extent = subject.spec.forward.extent
    training, test = subject.plan.training.choices, subject.plan.evaluation.choices
    names = [*(f"bucket {i + 1}" for i in range(len(training))), "test"]
    samples = test[-1].samples
    grids = "each sample" if samples == 1 else f"{samples} samples together"
    table = number_table(f"Rows of {grids}, by level", "level", "mean sites", "most sites", *names)
    for level, (mean, most) in enumerate(subject.sites):
        side = extent >> level
        rows = [f"{choice.rows[level]:,}" for choice in (*training, test[-1])]
        table.add_row(f"{level}: {side}^3", f"{mean:.1f}", f"{most:,}", *rows)
    return table


def batch_activity(subject: Subject) -> Any:
    """What every weighted layer received in the batch, as `snnjax.metrics.ActivityTotals`.

    Norms of an untrained model have no running statistics yet, so it takes those of the batch.
    """
    import jax

    from snnjax.metrics import ActivityTotals
    from snnjax.train import merge_model, split_model

    graphdef, weights = split_model(subject.model)
    run = subject.call(train=not subject.trained, record=True)
    out = jax.jit(lambda weights: run(merge_model(graphdef, weights)))(weights)
    return ActivityTotals().add(jax.device_get(out.activity), subject.item.host.weight)


def _operations(subject: Subject) -> Table:
    from snnjax.metrics import energy_mj, firing_rates, layer_synops, synops

    totals = batch_activity(subject)
    rates = {r.name: r for r in firing_rates(totals, levels=subject.experiment.model.largest_count)}
    weights = "trained" if subject.trained else "untrained"
    table = number_table(
        f"Synaptic operations per sample ({totals.samples} samples, {weights} weights)",
        *("layer", "input rate", "MAC", "AC", "MAC of the twin", "energy nJ"),
    )
    for layer in layer_synops(totals):
        macs, acs, dense = (n / totals.samples for n in (layer.macs, layer.acs, layer.dense_macs))
        rate = f"{rates[layer.name].rate:.3f}" if layer.name in rates else "real"
        energy = f"{1e6 * energy_mj(macs, acs):,.0f}"
        table.add_row(layer.name, rate, f"{macs:,.0f}", f"{acs:,.0f}", f"{dense:,.0f}", energy)
    total = synops(totals)
    table.add_section()
    table.add_row(
        *("total", "", f"{total.macs:,.0f}", f"{total.acs:,.0f}", f"{total.dense_macs:,.0f}"),
        f"{1e6 * total.energy_mj:,.0f}",
    )
    table.caption = (
        f"energy {total.energy_mj:.5f} mJ, the ANN twin {total.ann_energy_mj:.5f} mJ "
        "(45 nm: 4.6 pJ a MAC, 0.9 pJ an AC)"
    )
    return table


def run(arguments: list[str]) -> None:
    """Print the tables."""
    options, folder = read_subject(
        InfoOptions,
        arguments,
        command="info",
        verb="Parameters, capacities and synaptic operations of",
    )
    with quiet_stdout():
        subject = prepare(options.experiment, folder)
        tables = [
            _parameters(subject.model, options.arrays),
            *([_capacities(subject)] if subject.plan is not None else []),
            _operations(subject),
        ]
    console = Console()
    for table in tables:
        console.print(table)
