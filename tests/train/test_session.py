from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx

from snnjax.data import DataInfo
from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment, ScheduleConfig
from snnjax.models import E3DSNNConfig, SNNDelaysConfig
from snnjax.runs import predict, read_run, train
from snnjax.sharding import parse_mesh
from snnjax.train import Session
from tests.train.build import info_of
from tests.train.tiny import TinyConfig, tiny_experiment

NARROW = E3DSNNConfig(stem=8, channels=(16, 32))
"""E-3DSNN that halves its grid twice; it compiles in seconds."""


def clouds(folder: Path) -> Path:
    """Eight clouds a class and split, two classes that differ in their normals alone."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for sign, name in ((1, "out"), (-1, "in")):
            (folder / split / name).mkdir(parents=True)
            for i in range(8):
                xyz = rng.normal(size=(40, 3))
                normals = sign * xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
                np.save(folder / split / name / f"{i}.npy", np.concatenate([xyz, normals], axis=1))
    return folder


def test_normals_are_channels_that_a_run_trains_on(tmp_path: Path) -> None:
    folder = clouds(tmp_path / "data")
    data = CloudSource(path=str(folder), points=40, extent=8, normals=True)
    experiment = Experiment(
        name="six",
        data=data,
        model=TinyConfig(),
        batch_size=8,
        epochs=1,
        mesh="data=1",
        run_root=str(tmp_path / "runs"),
    )
    info = Session.open(experiment).info
    assert info.in_channels == 6
    summary = train(experiment, progress=False)
    assert summary["test_samples"] == 16
    odds = predict(summary["run_folder"], folder / "test" / "in" / "0.npy")
    assert {name for name, _ in odds} == {"in", "out"}


def test_without_normals_the_columns_behind_xyz_are_not_read(tmp_path: Path) -> None:
    data = CloudSource(path=str(clouds(tmp_path)), points=40, extent=8)
    assert DataInfo.of(data.open("train"), data.open("test")).in_channels == 3


@pytest.mark.parametrize(("extent", "near"), [(6, "4 or 8"), (2, "4"), (20, None)])
def test_a_grid_that_cannot_be_halved_is_refused_before_a_folder_is_made(
    tmp_path: Path, extent: int, near: str | None
) -> None:
    """`narrow` halves its grid twice."""
    data = CloudSource(points=32, extent=extent, train_size=16, test_size=8)
    experiment = Experiment(
        name="grid",
        data=data,
        model=NARROW,
        batch_size=8,
        epochs=1,
        run_root=str(tmp_path / "runs"),
    )
    if near is None:
        assert Session.open(experiment, parse_mesh("data=1")).planned().shapes.grid.depth == 2
        return
    with pytest.raises(ValueError, match=rf"multiple of 4.*2 times; got {extent}\. Use {near}\."):
        train(experiment, progress=False)
    assert not (tmp_path / "runs").exists()


def test_the_ablations_of_delays_are_options() -> None:
    """Axonal delays, and taps of one width."""
    config = SNNDelaysConfig(hidden=6, layers=1, delays="learned", per="input", sigma=0.2)
    net = config.build(info_of(2, 4), rngs=nnx.Rngs(0))
    net.at_epoch(5, 10)
    linears = [net.hidden[0].linear, net.linear]
    assert [linear.delays.delay.shape for linear in linears] == [(4,), (6,)]
    assert [float(linear.delays.sigma[...]) for linear in linears] == [np.float32(0.2)] * 2


def test_a_length_in_steps_ends_inside_an_epoch(tmp_path: Path) -> None:
    """Six steps of an epoch of four, evaluated after the fourth and at the end."""
    experiment = tiny_experiment(tmp_path, epochs=None, steps=6)
    summary = train(experiment, progress=False)
    assert (summary["steps"], summary["epochs"]) == (6, 2)
    rows = read_run(summary["run_folder"]).metrics
    assert [row["step"] for row in rows if row["split"] == "test"] == [4, 6]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"epochs": 2, "steps": 3}, "exactly one of them; got epochs=2 and steps=3"),
        ({"epochs": None}, "exactly one of them; got epochs=None and steps=None"),
        ({"epochs": None, "steps": 0}, "steps must be an integer of at least 1; got 0"),
    ],
)
def test_there_is_one_length(lengths: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_experiment("runs", **lengths)


def test_a_rate_for_every_epoch_needs_full_epochs(tmp_path: Path) -> None:
    schedule = ScheduleConfig(every="epoch")
    experiment = tiny_experiment(tmp_path, epochs=None, steps=6, schedule=schedule)
    with pytest.raises(ValueError, match=r"needs a run of full epochs.*Give `epochs`, or set"):
        Session.open(experiment)
