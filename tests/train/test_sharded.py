"""A run does not depend on how many devices share its batches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.experiment import Experiment
from snnjax.runs import evaluate, read_run, train
from tests.train.tiny import TinyConfig, tiny_experiment

PLACES = {
    "one": ("data=1", "replicated"),
    "eight": ("data=8", "replicated"),
    "sharded": ("data=4", "fsdp"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Any, Any]]]:
    """Summaries and rows of the same run in float64, where no spike flips by rounding."""
    results = {}
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setattr("snnjax.viz.write_report", lambda folder, *_, **__: folder)
        patch.setattr("snnjax.sharding.presets.SMALLEST", 24)
        for name, (mesh, sharding) in PLACES.items():
            root = tmp_path_factory.mktemp(name)
            summary = train(experiment(root, mesh, sharding), progress=False)
            results[name] = summary, read_run(Path(summary["run_folder"])).metrics
        yield results


def experiment(root: Path, mesh: str, sharding: Any) -> Experiment:
    return tiny_experiment(root, model=TinyConfig(dtype="float64"), mesh=mesh, sharding=sharding)


def column(rows: list[dict[str, Any]], split: str, name: str) -> np.ndarray:
    return np.array([row[name] for row in rows if row["split"] == split])


@pytest.mark.parametrize("place", ["eight", "sharded"])
def test_the_loss_curve_is_that_of_one_device(runs: dict[str, Any], place: str) -> None:
    one, many = runs["one"][1], runs[place][1]
    assert len(column(one, "train", "loss")) == 12
    for name in ("loss", "gradient_norm"):
        got, want = column(many, "train", name), column(one, "train", name)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=0)
    np.testing.assert_allclose(
        column(many, "test", "loss"), column(one, "test", "loss"), rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("place", ["eight", "sharded"])
def test_the_summary_is_that_of_one_device(runs: dict[str, Any], place: str) -> None:
    one, many = runs["one"][0], runs[place][0]
    assert many["devices"] == {"eight": 8, "sharded": 4}[place]
    for name in ("test_accuracy", "best_test_accuracy", "best_step", "parameters", "synops"):
        assert many[name] == one[name], name
    assert many["firing_rate"] == pytest.approx(one["firing_rate"], rel=1e-6)
    assert many["test_samples"] == one["test_samples"] == 24


def test_the_curve_is_computed_in_double_precision(runs: dict[str, Any]) -> None:
    losses = column(runs["one"][1], "train", "loss")
    assert np.any(losses != losses.astype(np.float32))
    assert losses[-1] < losses[0]


def test_a_run_goes_on_on_another_mesh(runs: dict[str, Any], tmp_path: Path) -> None:
    """What four devices shared is continued by two with replicated parameters."""
    folder = tmp_path / "copy"
    shutil.copytree(runs["sharded"][0]["run_folder"], folder)
    assert (folder / "checkpoints" / "9").is_dir()
    shutil.rmtree(folder / "checkpoints" / "12")
    again = experiment(tmp_path, "data=2", "replicated")
    summary = train(again, run_folder=folder, resume=True, progress=False)
    assert (summary["devices"], summary["steps"]) == (2, 12)
    for split in ("train", "test"):
        got, want = (column(r, split, "loss") for r in (read_run(folder).metrics, runs["one"][1]))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=0)
    assert read_run(folder).experiment.mesh == "data=2"  # the next resume without options


def test_a_sharded_run_is_evaluated_on_one_device(runs: dict[str, Any]) -> None:
    summary = runs["sharded"][0]
    result = evaluate(summary["run_folder"])
    assert result["test_accuracy"] == summary["test_accuracy"]
    assert result["test_loss"] == pytest.approx(summary["test_loss"], rel=1e-9)
