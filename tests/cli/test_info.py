from __future__ import annotations

import contextlib
import io
import json

import pytest
from flax import nnx

from snnjax.cli import main
from snnjax.cli.info import parameter_rows


def cells(text: str, first: str) -> list[str]:
    """The row of a table that begins with `first`."""
    rows = [[c.strip() for c in line.strip("│┃ ").split("│")] for line in text.splitlines()]
    return next(row for row in rows if row[0] == first)


@pytest.fixture(scope="module")
def text(tiny_run):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        assert main(["info", str(tiny_run.folder)]) == 0
    return out.getvalue()


def test_parameters_add_up_to_the_summary(text, tiny_run):
    assert int(cells(text, "total")[-1].replace(",", "")) == tiny_run.summary["parameters"]


def test_buckets_are_those_of_the_run(text, tiny_run):
    buckets = json.loads((tiny_run.folder / "buckets.json").read_text())
    for kind in ("training", "evaluation"):
        for number, choice in enumerate(buckets[kind]["choices"], 1):
            assert f"samples {choice['samples']}" in cells(text, f"{kind} {number}")[1]
    assert cells(text, "padding")[1].endswith("%")


def test_operations_are_those_of_trained_weights(text):
    assert "trained weights" in text
    assert "untrained" not in text
    assert "the ANN twin" in text


def test_arrays_are_listed_one_by_one():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    assert parameter_rows(model, arrays=True) == [("bias", "(2,)", 2), ("kernel", "(3, 2)", 6)]
    assert [size for *_, size in parameter_rows(model, arrays=False)] == [2, 6]


def test_the_model_of_a_run_is_fixed(tiny_run, capsys):
    assert main(["info", str(tiny_run.folder), "--model.levels", "4"]) == 2
    assert "--model options" in capsys.readouterr().err
