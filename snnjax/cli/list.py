"""``snnjax list [PATTERN]``: experiments, models, tasks, sources and evaluators by name."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import tyro
from rich.table import Table

from snnjax.cli.experiments import experiment_files
from snnjax.cli.nearest import did_you_mean
from snnjax.cli.options import ModuleOptions, import_modules, parse
from snnjax.cli.output import console


@dataclass(frozen=True, kw_only=True)
class ListOptions(ModuleOptions):
    """Options of ``snnjax list``."""

    pattern: tyro.conf.Positional[str] = "*"
    """Part of a name, or a pattern such as `snn_*`; also the name of a family or a kind."""


def summary_of(path: Path) -> str:
    """The first line of a file's docstring, read without running it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def rows() -> list[tuple[str, str, str]]:
    """(kind, name, description) of everything registered, without importing it."""
    from snnjax.experiment.registry import REGISTRY

    found = [
        (f"experiment, {path.parent.name}", name, summary_of(path))
        for name, path in experiment_files().items()
    ]
    for kind, table in REGISTRY.items():
        found += [(kind, name, target) for name, target in sorted(table.items())]
    return found


def matching(pattern: str) -> list[tuple[str, str, str]]:
    """The rows whose name, family or kind matches or contains a pattern.

    Raises:
      ValueError: no row matches; the message has the nearest name.
    """
    every = rows()
    wanted = pattern if any(letter in pattern for letter in "*?[") else f"*{pattern}*"
    found = [row for row in every if fnmatch(row[1], wanted) or fnmatch(row[0], wanted)]
    if not found:
        hint = did_you_mean(pattern, [name for _, name, _ in every])
        raise ValueError(f"nothing is called like {pattern!r}; {hint}")
    return found


def run(arguments: list[str]) -> None:
    """Print the table."""
    import_modules(arguments)
    options = parse(
        ListOptions,
        arguments,
        command="list",
        description="Show experiments, models, tasks, sources and evaluators by name.",
    )
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for row in matching(options.pattern):
        table.add_row(*row)
    console().print(table)
