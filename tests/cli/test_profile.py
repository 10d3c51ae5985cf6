from __future__ import annotations

import json

import numpy as np
import pytest

from snnjax.cli import main
from snnjax.cli.arithmetic import crossover, measure_table, occupancy, random_sites
from snnjax.sparse import ArithmeticTable


def test_steps_and_layers_are_measured(tiny_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = [str(tiny_run.folder), "--runs", "1", "--no-layers"]
    assert main(["profile", *arguments]) == 0
    text = capsys.readouterr().out
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    steps = {row[0]: [float(c.replace(",", "")) for c in row[1:]] for row in rows if len(row) == 5}
    assert set(steps) == {"training step", "evaluation step"}
    assert all(value > 0 for row in steps.values() for value in row)
    # which counts, too; the compiler counts one pass of each loop over pairs
    assert steps["training step"][1] > 1.2 * steps["evaluation step"][1]


def test_impossible_runs(capsys):
    assert main(["profile", "--runs", "0"]) == 2
    assert "--runs must be at least 1" in capsys.readouterr().err


def test_occupancy_of_a_full_cube():
    x = random_sites(64, 1.0)
    side = 4
    inner = [min(2, i + 1) + min(2, side - i) - 1 for i in range(side)]  # neighbours along an axis
    expected = np.mean([a * b * c for a in inner for b in inner for c in inner]) / 27
    assert occupancy(x) == pytest.approx(expected)


def test_crossover_lies_between_the_last_win_and_the_next_loss():
    assert crossover([(0.1, 1, 2), (0.2, 3, 2), (0.4, 1, 2), (0.6, 3, 2)]) == 0.5


def test_a_measured_table_can_be_read_back(tmp_path):
    table = measure_table(
        1, rows=(64,), densities=(0.5,), batches=(1, 2), spike_densities=(0.1,), widths=(32,)
    )
    path = tmp_path / "table.json"
    path.write_text(table.to_json())
    assert ArithmeticTable.read(path) == table
    assert json.loads(table.to_json())["rules"][0]["min_rows"] == 0
    assert [rule.min_rows for rule in table.products] == [1, 2]
