"""The table of equal neurons in snnjax.neurons says what is recorded, and all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnjax import neurons
from tests.reference.equals import ROWS

FOLDER = Path(__file__).parents[1] / "reference"
SHARED = ("x", "upstream")


def owner(file, case):
    rows = [row for row in ROWS if row.file == file and case.startswith(row.cases)]
    assert len(rows) == 1, case
    return rows[0]


def test_the_docstring_has_every_row_and_no_other():
    _, _, table = neurons.__doc__.partition("| ours | theirs | when |\n")
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert lines == [str(row) for row in ROWS]


def test_every_row_is_held_by_recorded_cases_and_every_case_has_a_row():
    held = set()
    for file in {row.file for row in ROWS}:
        names = np.load(FOLDER / f"{file}.npz").files
        for case in {name.split("/")[0] for name in names if name not in SHARED}:
            held.add(owner(file, case))
    assert held == set(ROWS)


def test_every_row_names_a_function():
    for row in ROWS:
        assert callable(getattr(neurons, row.ours))
