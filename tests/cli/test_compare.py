from __future__ import annotations

import json
from pathlib import Path

import pytest

from snnjax.cli import main
from snnjax.cli.compare import differences, flatten


def write_run(folder: Path, config: dict, summary: dict | None = None) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return str(folder)


def test_results_and_differences_stand_side_by_side(tmp_path, capsys):
    shared = {"epochs": 2, "data": {"extent": 32}}
    a = write_run(
        tmp_path / "a", {**shared, "model": {"levels": 4}}, {"test_accuracy": 0.912, "compiles": 3}
    )
    b = write_run(
        tmp_path / "b", {**shared, "model": {"levels": 1}}, {"test_accuracy": 0.8, "synops": 12345}
    )
    assert main(["compare", a, b]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = {r.split("│")[1].strip(): [c.strip() for c in r.split("│")[2:4]] for r in rows}
    assert cells["test_accuracy"] == ["91.20%", "80.00%"]
    assert cells["synops"] == ["-", "12,345"]
    assert cells["model.levels"] == ["4", "1"]
    assert "epochs" not in cells
    assert "data.extent" not in cells


def test_an_unfinished_run_has_no_results(tmp_path, capsys):
    a = write_run(tmp_path / "a", {"seed": 0}, {"test_accuracy": 0.5})
    b = write_run(tmp_path / "b", {"seed": 1})
    assert main(["compare", a, b]) == 0
    assert "50.00%" in capsys.readouterr().out


def test_field_of_only_one_run_is_a_difference():
    assert differences([{"a": 1}, {"a": 1, "b": {"c": 2}}]) == {"b.c": ["-", 2]}
    assert differences([{"name": "x", "a": 1}, {"name": "y", "a": 1}]) == {}
    assert flatten({"b": {"c": {"d": 1}}}) == {"b.c.d": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: not JSON"), ("[1]", "expected a JSON object, found list")],
)
def test_a_damaged_run_is_named(tmp_path, capsys, text, message):
    a = write_run(tmp_path / "a", {})
    (tmp_path / "a" / "summary.json").write_text(text)
    assert main(["compare", a]) == 2
    error = capsys.readouterr().err
    assert "summary.json" in error
    assert message in error


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == 2
    assert "no config.json" in capsys.readouterr().err
    assert main(["compare"]) == 2
