"""``snnjax info [NAME|FILE|MODULE|RUN_FOLDER]``: parameters, buckets, synaptic operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from snnjax.cli.output import console, quiet_stdout
from snnjax.cli.subject import Subject, SubjectOptions, prepare, read_subject
from snnjax.cli.tables import number_table


@dataclass(frozen=True, kw_only=True)
class InfoOptions(SubjectOptions):
    """Options of ``snnjax info``."""

    arrays: bool = False
    """List every parameter array instead of one line per layer."""


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


def _buckets(subject: Subject) -> Table:
    """A table of the batch shapes of the source, and the one of this batch."""
    table = number_table("Buckets of batches", "bucket", "shape")
    for kind, values in subject.session.shapes.to_json().items():
        choices = values.get("choices", [values]) if isinstance(values, dict) else [values]
        for number, choice in enumerate(choices, 1):
            table.add_row(f"{kind} {number}", _words(choice))
    table.add_section()
    table.add_row("this batch", f"{subject.item.shape}")
    table.add_row("padding", f"{subject.item.padding:.1%}")
    return table


def _words(choice: Any) -> str:
    if not isinstance(choice, dict):
        return str(choice)
    return ", ".join(f"{name} {value}" for name, value in choice.items() if value is not None)


def batch_activity(subject: Subject) -> Any:
    """What every weighted layer received in the batch, as `snnjax.metrics.ActivityTotals`.

    An untrained model has no running statistics yet, so norms use those of the batch.
    """
    import jax

    from snnjax.metrics import ActivityTotals
    from snnjax.train import merge_model, split_model

    graphdef, weights = split_model(subject.model)
    run = subject.call(train=not subject.trained, record=True)
    _, activity = jax.jit(lambda weights: run(merge_model(graphdef, weights)))(weights)
    return ActivityTotals().add(jax.device_get(activity), subject.item.host["weight"])


def _operations(subject: Subject) -> Table:
    from snnjax.metrics import energy_mj, firing_rates, layer_synops, synops

    totals = batch_activity(subject)
    rates = {r.name: r for r in firing_rates(totals)}
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
        "(45 nm: 4.6 pJ per MAC, 0.9 pJ per AC)"
    )
    return table


def run(arguments: list[str]) -> None:
    """Print the tables."""
    options, folder = read_subject(
        InfoOptions,
        arguments,
        command="info",
        verb="Parameters, buckets and synaptic operations of",
    )
    from snnjax.runs import kept_programs

    with quiet_stdout(), kept_programs(options.cache):
        subject = prepare(options.experiment, folder)
        tables = [
            _parameters(subject.model, options.arrays),
            *([_buckets(subject)] if subject.item.shape is not None else []),
            _operations(subject),
        ]
    shown = console()
    for table in tables:
        shown.print(table)
