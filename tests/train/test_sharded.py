"""A run does not depend on how many devices share its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.models import MODELS
from snnjax.train import ModelConfig, read_run, train
from tests.train.tiny import tiny_double, tiny_experiment

DEVICES = (1, 8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[dict[str, Any], Any]]:
    """Summaries and rows of the same run in float64, where no spike flips by rounding."""
    results = {}
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setitem(MODELS, "double", tiny_double)
        patch.setattr("snnjax.viz.write_report", lambda folder, *_: folder)
        for devices in DEVICES:
            root = tmp_path_factory.mktemp(f"devices{devices}")
            experiment = tiny_experiment(
                root, model=ModelConfig(name="double"), mesh=f"data={devices}"
            )
            summary = train(experiment, progress=False)
            results[devices] = summary, read_run(Path(summary["run_folder"])).metrics
    return results


def column(rows: list[dict[str, Any]], split: str, name: str) -> np.ndarray:
    return np.array([row[name] for row in rows if row["split"] == split])


@pytest.mark.parametrize("devices", DEVICES[1:])
def test_the_loss_curve_is_that_of_one_device(runs: dict[int, Any], devices: int) -> None:
    one, many = runs[1][1], runs[devices][1]
    assert len(column(one, "train", "loss")) == 12
    for name in ("loss", "gradient_norm"):
        got, want = column(many, "train", name), column(one, "train", name)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=0)
    np.testing.assert_allclose(
        column(many, "test", "loss"), column(one, "test", "loss"), rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("devices", DEVICES[1:])
def test_the_summary_is_that_of_one_device(runs: dict[int, Any], devices: int) -> None:
    one, many = runs[1][0], runs[devices][0]
    assert many["devices"] == devices
    for name in ("test_accuracy", "best_test_accuracy", "best_step", "parameters", "synops"):
        assert many[name] == one[name], name
    assert many["firing_rate"] == pytest.approx(one["firing_rate"], rel=1e-6)
    assert many["test_samples"] == one["test_samples"] == 24


def test_the_curve_is_computed_in_double_precision(runs: dict[int, Any]) -> None:
    losses = column(runs[1][1], "train", "loss")
    assert np.any(losses != losses.astype(np.float32))
    assert losses[-1] < losses[0]
