from __future__ import annotations

import pytest

from snnjax.cli import main
from snnjax.cli.experiments import experiment_files
from snnjax.cli.list import matching, rows
from snnjax.experiment import REGISTRY
from snnjax.experiment.registry import load_object


def test_everything_with_a_name_is_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for name in [*experiment_files(), *(n for table in REGISTRY.values() for n in table)]:
        assert name in text
    assert "E-3DSNN-T on the embedded 3D shapes" in text


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("modelnet10", ["e3dsnn_t_modelnet10", "e3dsnn_t_modelnet10_long"]),
        ("spoken_*", ["spoken_digits", "spoken_digits_delays"]),
        ("task", ["centre_detection", "classification", "detection", "regression", "segmentation"]),
    ],
)
def test_a_pattern_chooses(pattern, names):
    assert [name for _, name, _ in matching(pattern)] == names


def test_a_pattern_that_fits_nothing_names_the_nearest(capsys):
    assert main(["list", "clasification"]) == 2
    assert "did you mean 'classification'" in capsys.readouterr().err


@pytest.mark.parametrize("target", [t for table in REGISTRY.values() for t in table.values()])
def test_every_line_of_the_tables_leads_somewhere(target):
    assert callable(load_object(target))
    assert rows()
