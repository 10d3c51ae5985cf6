from __future__ import annotations

import json

import jax
import numpy as np

from snnjax.cli import main
from snnjax.cli.doctor import requirements


def test_findings_are_those_of_this_machine(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jax"]["devices"].count("cpu:") == len(jax.devices()) == 8
    assert "device_count=8" in found["jax"]["XLA_FLAGS"]
    assert found["jax"]["x64"] == "False"
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["jax"] == jax.__version__
    assert found["extras"]["viz"] == "present"
    assert "cuda" not in found["extras"]


def test_the_table_names_every_core_dependency(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for name in ["flax", "optax", "orbax-checkpoint", "grain", "tyro", "XLA_FLAGS", "disk"]:
        assert name in text


def test_requirements_follow_the_installed_metadata():
    core, extras = requirements()
    assert {"jax", "flax", "optax", "orbax-checkpoint", "chex", "grain", "numpy"} <= set(core)
    assert extras["viz"] == ["matplotlib"]
    assert "matplotlib" not in core


def test_a_missing_extra_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr("snnjax.cli.doctor._version", lambda name: None)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extras"]["viz"] == "missing matplotlib: pip install 'snnjax[viz]'"
    assert found["versions"]["optax"] == "MISSING"
    assert main(["doctor"]) == 0
    assert "pip install 'snnjax[viz]'" in " ".join(capsys.readouterr().out.split())
