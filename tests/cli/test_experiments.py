from __future__ import annotations

import sys

import pytest

from snnjax.cli.experiments import (
    DEFAULT,
    configs_folder,
    experiment_files,
    experiment_names,
    load_experiment,
    split_reference,
)
from snnjax.experiment import Experiment


def test_the_default_is_one_of_the_names():
    assert DEFAULT in experiment_names()
    assert configs_folder().parent.name == "experiments"


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_loads_and_says_what_to_expect(name):
    experiment, text = load_experiment(name)
    assert isinstance(experiment, Experiment)
    assert f"snnjax train {name}" in text or "make train" in text
    assert experiment_files()[name].parent.parent == configs_folder()


def test_an_experiment_is_found_by_path_and_by_module(tiny_config, monkeypatch):
    by_path, text = load_experiment(str(tiny_config))
    assert by_path.name == "tiny"
    assert text == "A run of seconds, for tests."
    monkeypatch.syspath_prepend(str(tiny_config.parent.parent))
    package = tiny_config.parent.name
    monkeypatch.delitem(sys.modules, f"{package}.tiny_config", raising=False)
    assert load_experiment(f"{package}.tiny_config")[0] == by_path


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("e3dsnn_t_shape3d", ValueError, "did you mean 'e3dsnn_t_shapes3d'"),
        ("nowhere/mine.py", FileNotFoundError, "no experiment file nowhere/mine.py"),
        ("mine.py", FileNotFoundError, "no experiment file mine.py"),
        ("no.such.module", ValueError, "no module 'no.such.module'"),
    ],
)
def test_a_reference_to_nothing(reference, error, message):
    with pytest.raises(error, match=message):
        load_experiment(reference)


def test_a_file_without_an_experiment(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("experiment = 3\n")
    with pytest.raises(ValueError, match=r"must define `experiment`.*it has int"):
        load_experiment(str(path))


def test_the_reference_comes_first():
    assert split_reference([]) == (DEFAULT, [])
    assert split_reference(["--seed", "1"]) == (DEFAULT, ["--seed", "1"])
    assert split_reference(["a.b", "--seed", "1"]) == ("a.b", ["--seed", "1"])
