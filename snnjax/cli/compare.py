"""``snnjax compare RUN RUN ...``: results side by side, and where the configurations differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from snnjax.cli.options import Common, parse
from snnjax.cli.output import console

# Summary key -> how it is shown.
RESULTS: dict[str, str] = {
    "parameters": "{:,}",
    "firing_rate": "{:.4f}",
    "synops": "{:,.0f}",
    "energy_mj": "{:.5f}",
    "ann_energy_mj": "{:.5f}",
    "seconds": "{:.1f}",
    "compiles": "{}",
}
# Fields that name a run instead of describing it.
NAMES = ("name", "run_root")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Common):
    """Options of ``snnjax compare``."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that `snnjax train` wrote."""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Summary and configuration of a run; a run that has not ended has an empty summary.

    Raises:
      FileNotFoundError: the folder holds no config.json, so no run wrote it.
      ValueError: a file of the run is not a JSON object.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json")
    summary = folder / "summary.json"
    return (_read(summary) if summary.is_file() else {}), _read(folder / "config.json")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested fields to the dotted names of the command line.

    >>> flatten({"model": {"levels": 4}, "epochs": 2})
    {'model.levels': 4, 'epochs': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted fields in which the configurations differ, with the value of each.

    >>> differences([{"seed": 0, "epochs": 2}, {"seed": 1, "epochs": 2}])
    {'seed': [0, 1]}
    """
    flat = [flatten(config) for config in configs]
    fields = dict.fromkeys(field for config in flat for field in config)
    rows = {field: [config.get(field, "-") for config in flat] for field in fields}
    return {
        field: values
        for field, values in rows.items()
        if field not in NAMES and any(value != values[0] for value in values)
    }


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "-"
    known = "{:.2%}" if key.endswith("accuracy") else "{:.4g}"
    return RESULTS.get(key, known).format(value)


def score_keys(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of the scores: the goal of each run first, then its best value.

    >>> score_keys([{"test_mse": 0.1, "test_loss": 0.2, "best_test_mse": 0.1}])
    ['test_mse', 'best_test_mse']
    """
    goals = dict.fromkeys(next(iter(summary), "") for summary in summaries)
    return [key for goal in goals if goal.startswith("test_") for key in (goal, f"best_{goal}")]


def comparison(folders: Sequence[Path]) -> Table:
    """A table with one column per run: results, then differing fields."""
    runs = [read_run(folder) for folder in folders]
    table = Table()
    table.add_column("")
    for folder in folders:
        table.add_column(folder.name or str(folder), justify="right", overflow="fold")
    for key in [*score_keys([summary for summary, _ in runs]), *RESULTS]:
        values = [summary.get(key) for summary, _ in runs]
        if any(value is not None for value in values):
            table.add_row(key, *(_shown(key, value) for value in values))
    table.add_section()
    for field, values in differences([config for _, config in runs]).items():
        table.add_row(field, *map(str, values))
    return table


def run(arguments: list[str]) -> None:
    """Print the comparison."""
    options = parse(
        CompareOptions,
        arguments,
        command="compare",
        description="Put several runs side by side: results, then the fields that differ.",
    )
    if not options.run_folders:
        raise ValueError("compare needs at least one run folder, e.g. snnjax compare runs/a runs/b")
    console().print(comparison(options.run_folders))
