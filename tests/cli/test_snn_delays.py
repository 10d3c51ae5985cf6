"""The published SNN-delays systems from the command line, on small files of the same layouts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from snnjax.cli import main
from snnjax.cli.experiments import load_experiment
from snnjax.data import DataInfo
from snnjax.experiment import Experiment
from snnjax.metrics import count_parameters
from snnjax.models import SNNDelaysConfig
from snnjax.nn import learned_delays
from snnjax.runs import load
from snnjax.train import build_schedule
from snnjax.train.optimisers import decay_mask, group_labels
from tests.data.speech.files import command_folder, spike_file

NAMES = ("shd", "ssc", "gsc")
NARROW = ["--model.hidden", "4", "--model.max-delay", "2", "--data.steps", "30"]
NARROW += ["--batch-size", "9", "--epochs", "4", "--mesh", "data=1", "--no-progress"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each data set in small, with all its classes and parts."""
    root = tmp_path_factory.mktemp("speech")
    for name, classes, parts in (
        ("shd", 20, ("train", "test")),
        ("ssc", 35, ("train", "valid", "test")),
    ):
        (root / name).mkdir()
        for seed, part in enumerate(parts):
            path = root / name / f"{name}_{part}.h5"
            spike_file(path, classes=classes, rows=classes + 10 * (seed == 0), seed=seed)
    command_folder(root / "gsc", words=35)
    return {name: root / name for name in NAMES}


def experiment(name: str, folders: dict[str, Path]) -> Experiment:
    """The experiment as it is, on the small data."""
    config, _ = load_experiment(f"snn_delays_{name}")
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, path=str(folders[name]))
    )


def info_of_data(config: Experiment) -> DataInfo:
    return DataInfo.of(config.data.open("train"), config.data.open("test"))


@pytest.fixture(scope="module")
def described(folders: dict[str, Path]) -> dict[str, DataInfo]:
    """What each experiment finds in its data."""
    return {name: info_of_data(experiment(name, folders)) for name in NAMES}


def test_the_parts_are_the_official_ones_and_a_tenth_of_shd(described) -> None:
    sizes = {name: (info.train_size, info.test_size) for name, info in described.items()}
    assert sizes == {"shd": (27, 3), "ssc": (45, 35), "gsc": (35, 35)}
    assert {info.in_channels for info in described.values()} == {140}


@pytest.mark.parametrize(
    ("name", "layers", "kernel_count", "published"),
    [
        ("shd", 2, 1, 214_016),
        ("ssc", 2, 1, 705_536),
        ("gsc", 2, 2, 1_409_024),
        ("gsc", 3, 1, 1_230_848),
        ("ssc", 3, 2, 2_458_624),
        ("gsc", 3, 2, 2_458_624),
    ],
)
def test_parameters_are_the_published_ones(
    described, name: str, layers: int, kernel_count: int, published: int
) -> None:
    """Of the model that the experiment makes for its data, its rows of the table by options."""
    config, text = load_experiment(f"snn_delays_{name}")
    network: Any = dataclasses.replace(config.model, layers=layers, kernel_count=kernel_count)
    net = nnx.eval_shape(lambda: network.build(described[name], rngs=nnx.Rngs(0)))
    assert count_parameters(net) == published
    assert f"{published:,}" in text


@pytest.mark.parametrize(
    ("name", "max_delay", "tau", "dropout", "batch", "epochs"),
    [
        ("shd", 24, 1.005, 0.4, 256, 150),
        ("ssc", 30, 1.5, 0.25, 128, 60),
        ("gsc", 30, 1.5, 0.25, 128, 100),
    ],
)
def test_constants_are_the_published_ones(
    described, name: str, max_delay: int, tau: float, dropout: float, batch: int, epochs: int
) -> None:
    config, _ = load_experiment(f"snn_delays_{name}")
    net = nnx.eval_shape(lambda: config.model.build(described[name], rngs=nnx.Rngs(0)))
    assert (net.config.max_delay, net.config.tau, net.config.dropout) == (max_delay, tau, dropout)
    assert net.config.late_steps == max_delay // 2
    assert net.config.readout == "softmax_sum"
    assert (config.batch_size, config.epochs) == (batch, epochs)
    assert config.task.label_smoothing == 0
    front = config.data.front_end  # pyright: ignore
    assert (front.channels, front.frame_ms) == (140, 10.0)


@pytest.mark.parametrize("name", NAMES)
def test_rates_and_decay_are_the_published_ones(described, name: str) -> None:
    """One cycle up to 5e-3 with decay for weights, a cosine from 0.1 without any for delays."""
    config, _ = load_experiment(f"snn_delays_{name}")
    rule, epochs = config.optimiser, config.epochs
    (group,) = rule.groups
    assert (rule.name, rule.weight_decay, rule.clip_norm) == ("adam", 1e-5, 0)
    assert group.weight_decay == 0
    weights = build_schedule(config.schedule, rule.learning_rate, 3 * epochs, 3)
    delays = build_schedule(group.schedule, group.rate * rule.learning_rate, 3 * epochs, 3)
    top = round(0.3 * epochs) - 1
    for rate, epoch, want in (
        (weights, 0, 2e-4),
        (weights, top, 5e-3),
        (weights, epochs - 1, 2e-8),
        (delays, 0, 0.1),
        (delays, epochs // 2, 0.05),
        (delays, epochs - 1, 0.05 * (1 - np.cos(np.pi / epochs))),
    ):
        got = [float(rate(3 * epoch + step)) for step in range(3)]
        np.testing.assert_allclose(got, [want] * 3, rtol=1e-3)
    net = nnx.eval_shape(lambda: config.model.build(described[name], rngs=nnx.Rngs(0)))
    params = nnx.as_pure(nnx.split(net, nnx.Param, ...)[1])
    marks = jax.tree.map(
        lambda group, decays: group if group == "0" else ("decayed" if decays else "kept"),
        group_labels([group.pattern], params),
        decay_mask(params),
    )
    seen = {(str(path[-1].key), mark) for path, mark in jax.tree.leaves_with_path(marks)}
    assert seen == {("delay", "0"), ("weight", "decayed"), ("scale", "kept"), ("shift", "kept")}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_is_trained_and_tested_by_one_command_each(folders, tmp_path, name, capsys) -> None:
    """`test_sequences` has one of them in the default run."""
    run = str(tmp_path / "run")
    arguments = ["train", f"snn_delays_{name}", "--data", str(folders[name]), *NARROW]
    assert main([*arguments, "--run-folder", run]) == 0
    parts = {"shd": (27, 3, 20), "ssc": (45, 35, 35), "gsc": (35, 35, 35)}[name]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["train_samples"], summary["test_samples"]) == parts[:2]
    assert np.isfinite(summary["test_loss_continuous"])
    config, model = load(run)
    assert isinstance(config.model, SNNDelaysConfig)
    for layer in learned_delays(model).values():
        assert float(layer.sigma[...]) == pytest.approx(0.23)
        assert 0 <= float(layer.delay[...].min()) <= float(layer.delay[...].max()) <= 2
    capsys.readouterr()
    assert main(["evaluate", run, "--checkpoint", "best", "--test-part"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["test_samples"] == parts[2]
