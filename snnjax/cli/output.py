"""Output of commands: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

SUMMARY_KEYS = (
    "test_accuracy",
    "parameters",
    "firing_rate",
    "synops",
    "energy_mj",
    "seconds",
    "compiles",
    "run_folder",
)


def console() -> Console:
    """The console for tables. Text is printed literally: a [word] in it is not markup."""
    return Console(markup=False, highlight=False)


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Redirect other output to stderr, so that stdout holds only the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _plain(value: Any) -> Any:
    """Convert to JSON types; non-finite numbers become null, since JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def summary_line(summary: Mapping[str, Any]) -> str:
    """The summary as one line of JSON, the documented keys first.

    A task whose goal is not accuracy has its own score in that place.

    >>> summary_line({"epochs": 3, "test_accuracy": 0.5})[:45]
    '{"test_accuracy": 0.5, "parameters": null, "f'
    >>> summary_line({"test_mse": 0.5})[:36]
    '{"test_mse": 0.5, "parameters": null'
    """
    first = next(iter(summary), "")
    goal = first if first.startswith("test_") else SUMMARY_KEYS[0]
    ordered = {key: summary.get(key) for key in (goal, *SUMMARY_KEYS[1:])}
    return json.dumps(_plain({**ordered, **summary}), allow_nan=False)
