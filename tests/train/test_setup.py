from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataInfo
from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment
from snnjax.models import SNNDelaysConfig
from snnjax.runs import predict, train
from snnjax.sharding import parse_mesh
from tests.models.narrow import narrow
from tests.train.build import build_spec
from tests.train.tiny import TinyConfig


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "tiny", tiny)
    monkeypatch.setitem(MODELS, "narrow", narrow)


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


def test_normals_are_channels_that_a_run_trains_on(models: None, tmp_path: Path) -> None:
    folder = clouds(tmp_path / "data")
    data = CloudSource(source=str(folder), points=40, extent=8, batch_size=8, normals=True)
    experiment = Experiment(
        name="six",
        data=data,
        model=TinyConfig(),
        epochs=1,
        mesh="data=1",
        run_root=str(tmp_path / "runs"),
    )
    info = describe_data(*load_splits(experiment))
    assert info.in_channels == 6
    summary = train(experiment, progress=False)
    assert summary["test_samples"] == 16
    odds = predict(summary["run_folder"], folder / "test" / "in" / "0.npy")
    assert {name for name, _ in odds} == {"in", "out"}


def test_without_normals_the_columns_behind_xyz_are_not_read(tmp_path: Path) -> None:
    data = CloudSource(source=str(clouds(tmp_path)), points=40, extent=8, batch_size=8)
    assert describe_data(*load_splits(Experiment(name="three", data=data))).in_channels == 3


@pytest.mark.parametrize(("extent", "near"), [(6, "4 or 8"), (2, "4"), (20, None)])
def test_a_grid_that_cannot_be_halved_is_refused_before_a_folder_is_made(
    models: None, tmp_path: Path, extent: int, near: str | None
) -> None:
    """`narrow` halves its grid twice."""
    data = CloudSource(points=32, extent=extent, batch_size=8, train_size=16, test_size=8)
    experiment = Experiment(
        name="grid", data=data, model=ModelConfig(name="narrow"), run_root=str(tmp_path / "runs")
    )
    if near is None:
        info = describe_data(*load_splits(experiment))
        assert build_spec(experiment, info, parse_mesh("data=1"))[0].forward.depth == 2
        return
    with pytest.raises(ValueError, match=rf"multiple of 4.*2 times; got {extent}\. Use {near}\."):
        train(experiment, progress=False)
    assert not (tmp_path / "runs").exists()


def test_the_ablations_of_delays_are_options() -> None:
    """Axonal delays, and taps of one width."""
    config = SNNDelaysConfig(hidden=6, layers=1, delays="learned", per="input", sigma=0.2)
    net = build_model(config, DataInfo(("a", "b"), 4, 8, 8, 0), seed=0)
    net.at_epoch(5, 10)
    assert [linear.delays.delay.shape for linear in net.linears] == [(4,), (6,)]
    assert [float(linear.delays.sigma[...]) for linear in net.linears] == [np.float32(0.2)] * 2
