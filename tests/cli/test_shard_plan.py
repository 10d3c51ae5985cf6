"""`snnjax shard-plan`: sizes that add up, and devices that are not there."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from snnjax.cli import main
from snnjax.cli.cores import mesh_devices
from snnjax.cli.shard_plan import run

CONFIG = '''"""For tests."""

from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment
from tests.train.tiny import TinyConfig

experiment = Experiment(
    name="tiny",
    data=CloudSource(points=64, extent=16, train_size=32, test_size=16),
    model=TinyConfig(),
    batch_size=16,
    epochs=10,
    ema=0.9,
)
'''


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("experiments") / "tiny_plan.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def plan(config: Path) -> dict[str, Any]:
    """Of the tiny model with a threshold that it passes, on four of the eight devices here."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr("snnjax.sharding.presets.SMALLEST", 24)
        options = ["--mesh", "data=4", "--sharding", "fsdp", "--json"]
        assert main(["shard-plan", str(config), *options]) == 0
    return json.loads(out.getvalue())


SHARDED = {
    "first/kernel": 72,
    "first/bias": 24,
    "norm/scale": 24,
    "norm/shift": 24,
    "second/kernel": 24 * 12,
}


def test_each_parameter_says_how_it_is_sharded(plan: dict[str, Any]) -> None:
    rows = {row["path"]: row for row in plan["parameters"]}
    assert set(rows) == {*SHARDED, "second/bias"}
    for path, row in rows.items():
        assert ("data" in row["spec"]) == (path in SHARDED)
        assert row["bytes"] == 4 * math.prod(row["shape"]) // (4 if path in SHARDED else 1)


def test_bytes_add_up(plan: dict[str, Any]) -> None:
    sharded, bias = 4 * sum(SHARDED.values()), 4 * 12
    stats = 2 * 4 * 24 + 4
    assert plan["replicated_bytes"] == {
        "parameters": sharded + bias,
        "statistics": stats,
        "optimiser": 2 * (sharded + bias) + 2 * 4,  # two moments; steps of adam, schedule
        "average": sharded + bias + stats,
    }
    assert plan["device_bytes"] == {
        "parameters": sharded // 4 + bias,
        "statistics": stats,
        "optimiser": 2 * (sharded // 4 + bias) + 2 * 4,
        "average": sharded // 4 + bias + stats,
    }


def test_the_messages_are_those_of_the_compiled_step(plan: dict[str, Any]) -> None:
    size = {
        kind: sum(one["bytes"] for one in plan["collectives"] if one["kind"] == kind)
        for kind in ("all-gather", "reduce-scatter")
    }
    sharded = 4 * sum(SHARDED.values())
    assert size == {"all-gather": sharded // 4, "reduce-scatter": sharded}
    assert {one["group"] for one in plan["collectives"]} == {4}


def test_devices_that_are_not_there_are_made_up(config: Path, capfd, monkeypatch) -> None:
    """In a process of its own; the tables come through."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    with pytest.raises(SystemExit) as stop:
        run([str(config), "--mesh", "data=16"])
    text = capfd.readouterr().out
    assert stop.value.code == 0
    assert "Parameters, replicated on data=16" in text
    assert "second/kernel" in text
    assert "all-reduce" in text


def test_a_plan_that_cannot_be_is_one_line(config: Path, capsys) -> None:
    assert main(["shard-plan", str(config), "--mesh", "data=3"]) == 2
    assert "multiple of the 3 devices" in capsys.readouterr().err
    assert main(["shard-plan", str(config), "--mesh", "seq=2"]) == 2
    assert "axes of a mesh are data and model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mesh", "cores", "count"),
    [
        ("data=-1", 8, 4),
        ("data=-1,model=2", 8, 8),
        ("data=2,model=-1", 8, 8),
        ("model=4", 2, 4),
        ("data=16", 2, 16),
        ("data=8,model=-1", 2, 8),
    ],
)
def test_a_mesh_needs_so_many_devices(mesh: str, cores: int, count: int) -> None:
    assert mesh_devices(mesh, 32, cores) == count
