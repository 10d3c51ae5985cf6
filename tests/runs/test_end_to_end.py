"""A real network on real (generated) shapes, through every stage of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data.clouds import Augment, CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.runs import evaluate, load, read_run, train
from snnjax.tasks import Classification

CLASSES = 12
EPOCHS, STEPS = 6, 24


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    experiment = Experiment(
        name="narrow",
        data=CloudSource(
            points=128,
            extent=16,
            train_size=16 * STEPS,
            test_size=48,
            augment=Augment(),
        ),
        model=E3DSNNConfig(stem=8, channels=(16, 32), bn_decay=0.9),
        task=Classification(label_smoothing=0.1),
        batch_size=16,
        optimiser=OptimiserConfig(learning_rate=2e-2),
        schedule=ScheduleConfig(warmup=0.1),
        epochs=EPOCHS,
        evaluate_every=EPOCHS,
        mesh="data=1",
        run_root=str(tmp_path_factory.mktemp("real")),
    )
    summary = train(experiment, progress=False)
    return Path(summary["run_folder"]), summary


def test_it_learns_far_above_chance(trained: tuple[Path, dict[str, Any]]) -> None:
    """Chance is 1/12; this run was seen to reach 0.44."""
    folder, summary = trained
    assert summary["test_accuracy"] > 0.25
    losses = [row["loss"] for row in read_run(folder).metrics if row["split"] == "train"]
    assert len(losses) == EPOCHS * STEPS
    assert np.mean(losses[-STEPS:]) < np.mean(losses[:STEPS]) - 0.3


def test_its_spikes_and_operations_are_measured(trained: tuple[Path, dict[str, Any]]) -> None:
    _, summary = trained
    assert summary["train_overflow"] == summary["test_overflow"] == 0
    assert summary["compiles"] <= 3
    assert summary["energy_mj"] < summary["ann_energy_mj"]
    assert summary["synops"] == summary["macs"] + summary["acs"]
    assert 0.02 < summary["firing_rate"] < 0.7


def test_its_cloud_is_drawn_with_the_spikes_of_each_resolution(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    """All pictures are inside the page, which needs no other file."""
    folder = trained[0]
    names = {"learning_curves", "confusion", "firing_rates", "sample"}
    assert {path.stem for path in (folder / "pictures").iterdir()} == names
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == len(names)
    assert "pictures/" not in page
    assert "the two cannot be compared" in page  # smoothed labels in training alone
    cloud = (folder / "pictures" / "sample.png").read_bytes()
    assert cloud.startswith(b"\x89PNG")
    assert len(cloud) > 20_000


def test_it_is_read_back(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = trained
    _, model = load(folder)
    assert model.config.levels == 4
    assert model.config.channels == (16, 32)
    assert evaluate(folder)["test_accuracy"] == summary["test_accuracy"]
