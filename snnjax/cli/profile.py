"""``snnjax profile [NAME|FILE|MODULE|RUN_FOLDER]``: time, FLOPs and bytes, step and layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from snnjax.cli.layers import (
    Cost,
    LayerCall,
    compiled_cost,
    forward,
    function_cost,
    gradient,
    layer_calls,
)
from snnjax.cli.output import console, quiet_stdout
from snnjax.cli.subject import Subject, SubjectOptions, prepare, read_subject


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(SubjectOptions):
    """Options of ``snnjax profile``."""

    runs: int = 5
    """Runs of each program; the median is reported."""
    layers: bool = True
    """Measure each layer too; each is compiled alone, forward and gradient."""
    write_table: Path | None = None
    """Measure both sparse arithmetics on this machine and write the table of choices here."""

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError(f"--runs must be at least 1; got {self.runs}")


def _copied(tree: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return jax.tree.map(jnp.copy, tree)


def step_costs(subject: Subject, runs: int) -> dict[str, Cost]:
    """The compiled training and evaluation steps on the batch.

    The training step donates its state, so each run continues from the last one, as in training.
    """
    from snnjax.train import eval_step, split_model, train_step

    item, spec = subject.item, subject.session.spec
    state = [_copied(subject.state)]
    update = train_step(spec, item.shape).lower(state[0], item.batch).compile()

    def one_update() -> Any:
        state[0], metrics = update(state[0], item.batch)
        return metrics

    weights = split_model(subject.model)[1]
    test = eval_step(spec, item.shape).lower(weights, item.batch).compile()
    return {
        "training step": compiled_cost(update, one_update, runs),
        "evaluation step": compiled_cost(test, lambda: test(weights, item.batch), runs),
    }


def layer_costs(calls: list[LayerCall], runs: int) -> list[tuple[LayerCall, Cost, Cost]]:
    """Each layer alone: forward, and gradient. Calls of one program are measured once."""
    known: dict[Any, tuple[Cost, Cost]] = {}
    costs = []
    for call in calls:
        program = call.same_program()
        if program not in known:
            ahead, back = (
                function_cost(make(call), call.state, call.arrays, runs=runs)
                for make in (forward, gradient)
            )
            known[program] = ahead, back
        costs.append((call, *known[program]))
    return costs


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        f"{cost.milliseconds:.2f}",
        f"{cost.flops / 1e6:,.1f}",
        f"{cost.bytes_accessed / 1e6:,.1f}",
        f"{cost.temporary_bytes / 1e6:,.1f}",
    )


_COLUMNS = ("ms", "MFLOP", "MB moved", "MB scratch")


def _steps(costs: dict[str, Cost], subject: Subject) -> Table:
    shape = subject.item.shape
    bucket = "" if shape is None else f", bucket {shape}"
    title = f"Compiled steps, batch {subject.experiment.batch_size}{bucket}"
    table = Table(title=title, title_justify="left")
    table.add_column("program")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for name, cost in costs.items():
        table.add_row(name, *_cells(cost))
    return table


def _layers(costs: list[tuple[LayerCall, Cost, Cost]]) -> Table:
    table = Table(
        title="Each layer compiled alone: forward, then the gradient of its summed output",
        caption=(
            "Equal layers are measured once. FLOPs and bytes as XLA counts them: the body of a "
            "loop counts once. Voxels and kernel maps are in the step but in no layer."
        ),
        title_justify="left",
    )
    table.add_column("layer", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    for column in (*_COLUMNS, *(f"grad {c}" for c in _COLUMNS)):
        table.add_column(column, justify="right")
    for call, ahead, back in costs:
        table.add_row(call.path, call.kind, *_cells(ahead), *_cells(back))
    table.add_section()
    for kind in dict.fromkeys(call.kind for call, *_ in costs):
        table.add_row("sum", kind, *_sums([pair for call, *pair in costs if call.kind == kind]))
    table.add_row("sum", "all", *_sums([pair for _, *pair in costs]))
    return table


def _sums(pairs: list[list[Cost]]) -> tuple[str, ...]:
    """Times, FLOPs and bytes add up; scratch memory does not, so its largest is shown."""
    cells: tuple[str, ...] = ()
    for costs in zip(*pairs, strict=True):
        times, flops, moved, scratch = zip(*costs, strict=True)
        cells += _cells(Cost(sum(times), sum(flops), sum(moved), max(scratch)))
    return cells


def run(arguments: list[str]) -> None:
    """Measure and print the tables."""
    options, folder = read_subject(
        ProfileOptions, arguments, command="profile", verb="Time, FLOPs and bytes of"
    )
    import jax

    from snnjax.runs import kept_programs

    with quiet_stdout(), kept_programs(options.cache):
        if options.write_table is not None:
            from snnjax.cli.arithmetic import write_table

            write_table(options.write_table, options.runs)
        subject = prepare(options.experiment, folder)
        tables = [_steps(step_costs(subject, options.runs), subject)]
        if options.layers:
            key = jax.random.key(subject.experiment.seed)
            calls = layer_calls(subject.model, subject.inputs(), key=key)
            tables.append(_layers(layer_costs(calls, options.runs)))
    shown = console()
    for table in tables:
        shown.print(table)
