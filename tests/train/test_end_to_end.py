"""The real model on real (generated) shapes, through every stage of a run."""

from __future__ import annotations

import json
from pathlib import Path

from snnjax.data import Augment
from snnjax.train import (
    DataConfig,
    Experiment,
    ModelConfig,
    OptimiserConfig,
    ScheduleConfig,
    load,
    train,
)


def test_e3dsnn_learns_and_is_measured(tmp_path: Path) -> None:
    experiment = Experiment(
        name="small",
        data=DataConfig(
            points=64, extent=16, batch_size=8, train_size=64, test_size=24, augment=Augment()
        ),
        model=ModelConfig(name="e3dsnn_t", bn_decay=0.9),
        optimiser=OptimiserConfig(learning_rate=5e-3),
        schedule=ScheduleConfig(warmup=0.1),
        epochs=6,
        evaluate_every=6,
        devices=1,
        run_root=str(tmp_path),
    )
    summary = train(experiment, progress=False)
    rows = [json.loads(line) for line in (tmp_path / "small-0" / "metrics.jsonl").open()]
    losses = [row["loss"] for row in rows if row["split"] == "train"]
    assert sum(losses[-8:]) / 8 < sum(losses[:8]) / 8 - 0.3
    assert summary["train_overflow"] == summary["test_overflow"] == 0
    assert summary["compiles"] <= 3
    assert summary["energy_mj"] < summary["ann_energy_mj"]
    assert summary["synops"] == summary["macs"] + summary["acs"]
    assert 0.02 < summary["firing_rate"] < 0.7
    pictures = {path.stem for path in (tmp_path / "small-0" / "pictures").iterdir()}
    assert pictures == {"learning_curves", "confusion", "firing_rates", "voxel_cloud"}
    assert load(tmp_path / "small-0")[1].config.levels == 4
