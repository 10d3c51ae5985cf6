"""Runs on sequences: the same loop, checkpoints and files as those of clouds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import Array

from snnjax.data.speech import FrontEnd, SpeechAugment, SpeechSource
from snnjax.experiment import Experiment, Group, OptimiserConfig, ScheduleConfig
from snnjax.models import SNNDelaysConfig
from snnjax.runs import Interrupted, evaluate, load, predict, read_run, train
from snnjax.runs.run import _warn_of_cuts
from snnjax.runs.use import _without_validation
from snnjax.sharding import parse_mesh
from snnjax.train import loop, merge_model, train_step
from snnjax.train.feed import train_feed
from snnjax.train.reporter import Reporter
from tests.data.speech.files import digit_folder, tone, write_wav
from tests.train.build import build_spec
from tests.train.least import Least

TOLD: list[dict[str, Any]] = []


class Told(Least):
    """A model that takes every option, and notes what it is told."""

    def __call__(self, state, x, *, key=None, train=False, **options: Any):
        TOLD.append({"train": train, **options})
        return super().__call__(state, x)


def least(in_channels: int, num_classes: int, *, rngs: nnx.Rngs, **_: Any) -> Least:
    return Least(in_channels, num_classes, rngs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("digits"))


def experiment(folder: Path, root: Path, **changes: Any) -> Experiment:
    defaults: dict[str, Any] = {
        "name": "digits",
        "data": SpeechSource(
            source=str(folder),
            steps=24,
            batch_size=8,
            front_end=FrontEnd(channels=16, low_hz=100.0, high_hz=2000.0),
            augment=SpeechAugment(time_shift=2, noise=0.02),
        ),
        "model": SNNDelaysConfig(hidden=24, layers=1, tau=5.0),
        "optimiser": OptimiserConfig(learning_rate=2e-2, clip_norm=5.0),
        "schedule": ScheduleConfig(warmup=0.1),
        "epochs": 12,
        "evaluate_every": 12,
        "label_smoothing": 0.0,
        "checkpoint_every": 10,
        "mesh": "data=1",
        "run_root": str(root),
    }
    return Experiment(**{**defaults, **changes})


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:  # the command line's own run is drawn
        patch.setattr("snnjax.viz.write_report", lambda folder, *_: Path(folder) / "report.html")
        summary = train(experiment(folder, tmp_path_factory.mktemp("runs")), progress=False)
    return Path(summary["run_folder"]), summary


def test_it_learns_and_its_spikes_are_counted(finished) -> None:
    """Three tones, chance is 1/3."""
    folder, summary = finished
    assert summary["test_accuracy"] > 0.9
    assert summary["compiles"] == 2
    assert summary["steps"] == 36
    assert 0.02 < summary["firing_rate"] < 0.7
    assert 0 < summary["synops"] == summary["macs"] + summary["acs"]
    assert summary["macs"] == 24 * 16 * 24  # real values enter the first layer
    assert summary["energy_mj"] < summary["ann_energy_mj"]
    assert not (folder / "buckets.json").exists()
    rows = [row for row in read_run(folder).metrics if row["split"] == "train"]
    assert len(rows) == 36
    assert 0 < rows[0]["padding"] < 0.3


def test_it_is_read_back_evaluated_and_used(finished, folder: Path, tmp_path: Path) -> None:
    run, summary = finished
    config, model = load(run)
    assert config == read_run(run).experiment
    assert isinstance(config.model, SNNDelaysConfig)
    assert model.config.layers == 1
    result = evaluate(run)
    assert result["test_accuracy"] == summary["test_accuracy"]
    assert result["synops"] == summary["synops"]
    assert evaluate(run, data=str(folder))["test_accuracy"] == summary["test_accuracy"]
    odds = predict(run, write_wav(tmp_path / "what.wav", tone(2, 77)))
    assert odds[0][0] == "2"
    assert sum(p for _, p in odds) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="votes are over augmented clouds"):
        evaluate(run, votes=2)


def test_a_killed_run_ends_with_the_same_weights(
    finished, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    feed = loop.train_feed

    def interrupted(*args: Any) -> Any:
        items = feed(*args)
        original = items._produce
        seen = [0]

        def produce() -> Any:
            seen[0] += 1
            if seen[0] == 16:
                raise OSError("the disk is gone")
            return original()

        items._produce = produce
        return items

    config = experiment(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_feed", interrupted)
        with pytest.raises((OSError, Interrupted)):
            train(config, run_folder=tmp_path / "run", progress=False)
    summary = train(config, run_folder=tmp_path / "run", resume=True, progress=False)
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]
    assert summary["test_loss"] == finished[1]["test_loss"]
    for a, b in zip(leaves(finished[0]), leaves(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)


def leaves(run: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.as_pure(nnx.state(load(run)[1])))]


def first_update(config: Experiment, devices: int) -> tuple[Any, Any, Any]:
    """Weights before and after one update, and its metrics."""
    splits = load_splits(config)
    mesh = parse_mesh(f"data={devices}")
    spec, state = build_spec(config, describe_data(*splits), mesh)
    before = jax.device_get(state.weights)
    with train_feed(config, splits[0], None, mesh, None) as items:
        item = next(items)
    state, metrics = train_step(spec, None)(state, item.batch)
    return before, jax.device_get(state), metrics


def test_devices_share_a_batch_and_its_statistics(folder: Path, tmp_path: Path) -> None:
    config = experiment(folder, tmp_path, model=SNNDelaysConfig(hidden=24, layers=1, dropout=0.0))
    one, two = (first_update(config, n) for n in (1, 2))
    np.testing.assert_allclose(one[2].loss, two[2].loss, rtol=1e-5)
    np.testing.assert_allclose(one[2].gradient_norm, two[2].gradient_norm, rtol=1e-4)
    for a, b in zip(
        jax.tree.leaves(one[1].weights.stats), jax.tree.leaves(two[1].weights.stats), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_a_model_schedules_changes_without_compiling_anew(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """`at_epoch` sets the width before each update, `constrain` clamps the positions after it."""
    monkeypatch.setitem(SEQUENCE_MODELS, "least", least)
    rule = OptimiserConfig(
        learning_rate=1e-2, clip_norm=0.0, groups=(Group("position", rate=100.0),)
    )
    config = experiment(
        folder, tmp_path, model=SNNDelaysConfig(name="least"), optimiser=rule, epochs=3
    )
    summary = train(config, progress=False)
    assert summary["compiles"] == 2
    assert not {"synops", "mean_delay"} & set(summary)  # it records no activity, and has no delays
    _, model = load(summary["run_folder"])
    assert float(model.width[...]) == 8.0 * 0.25 + 3
    position = np.asarray(model.position[...])
    assert np.abs(position).max() == 1.0  # with a rate of 1 some reach the border, none passes it


def test_a_model_is_told_what_its_call_takes() -> None:
    points, count = jnp.ones((2, 10, 4)), jnp.array([10, 6])
    forward = SequenceForward()
    x = forward.inputs(points, count, None)
    assert x.shape == (10, 2, 4)
    model = Told(4, 3, nnx.Rngs(0))
    for training in (False, True):
        forward(model, x, count, None, train=training, axis_name="data", record=True)
        said = TOLD.pop()
        assert said.pop("lengths") is count
        assert said == {
            "train": training,
            "discrete": not training,
            "axis_name": "data",
            "record": True,
        }
    SequenceForward(whole=False)(model, x, count, None)
    assert TOLD.pop()["discrete"] is False
    assert forward(Least(4, 3, nnx.Rngs(0)), x, count, None, record=True).activity == ()


def test_silence_that_fills_up_a_recording_changes_nothing(finished, folder: Path) -> None:
    """The frames behind the end of each are no part of it, whatever is in them."""
    run, model = load(finished[0])
    points, count = load_splits(run)[1].gather(np.arange(4), 24, [])
    forward = SequenceForward()

    @jax.jit
    def scores(points: Array) -> Array:
        x = forward.inputs(points, jnp.asarray(count), None)
        return forward(model, x, jnp.asarray(count), None).logits

    noise = np.random.default_rng(0).normal(size=points.shape)
    other = np.where((np.arange(24) < count[:, None])[..., None], points, noise)
    assert (count < 24).all()
    assert not np.array_equal(points, other)
    np.testing.assert_allclose(scores(points), scores(np.float32(other)), atol=1e-6)


def test_delays_are_learned_with_their_own_rate_and_schedule(folder, tmp_path) -> None:
    rule = OptimiserConfig(
        learning_rate=5e-3,
        groups=(Group("delay$", rate=100.0, schedule=ScheduleConfig(warmup=0.0)),),
    )
    network = SNNDelaysConfig(hidden=8, layers=1, delays="learned", max_delay=4)
    config = experiment(folder, tmp_path, model=network, optimiser=rule, epochs=8)
    splits = load_splits(config)
    spec, state = build_spec(config, describe_data(*splits), parse_mesh("data=1"))
    start = merge_model(spec.graphdef, state.weights)
    summary = train(config, progress=False)
    assert summary["compiles"] == 2  # in the loop; a third evaluates unrounded delays after it
    _, model = load(summary["run_folder"])
    for before, after in zip(start.linears, model.linears, strict=True):
        old, new = np.asarray(before.delays.delay[...]), np.asarray(after.delays.delay[...])
        assert np.abs(new - old).max() > 0.3
        assert 0 <= new.min() <= new.max() <= 4
        assert float(before.delays.sigma[...]) == 2.0
        assert float(after.delays.sigma[...]) == pytest.approx(0.23)  # a quarter of the run is over
    assert summary["dense_macs"] > 24 * 16 * 8
    check_what_is_said_of_delays(summary, model, splits[1])


def check_what_is_said_of_delays(summary: dict[str, Any], model: Any, test_set: Any) -> None:
    """Against the model itself; `evaluate` says the same."""
    points, count = test_set.gather(np.arange(len(test_set)), 24, [])
    labels = np.array([test_set.label(i) for i in range(len(test_set))])
    x = jnp.swapaxes(jnp.asarray(points), 0, 1)
    _, soft = model(model.init_state(x), x, lengths=count, discrete=False)
    assert summary["test_accuracy_unrounded"] == np.mean(soft.logits.argmax(-1) == labels)
    loss = optax.softmax_cross_entropy_with_integer_labels(soft.logits, labels).mean()
    assert summary["test_loss_unrounded"] == pytest.approx(float(loss), rel=1e-5)
    assert summary["test_loss_unrounded"] != pytest.approx(summary["test_loss"], rel=1e-3)
    delays = np.concatenate([np.ravel(linear.delays.delay[...]) for linear in model.linears])
    assert summary["mean_delay"] == pytest.approx(delays.mean(), rel=1e-5)
    ends = np.mean((delays <= 0.5) | (delays >= 3.5))
    assert summary["clamp_occupancy"] == pytest.approx(ends, rel=1e-5)
    again = evaluate(summary["run_folder"])
    names = ("test_loss", "test_loss_unrounded", "mean_delay", "clamp_occupancy")
    assert [again[name] for name in names] == [summary[name] for name in names]
    assert again["compiles"] == 2


def test_the_test_part_is_for_runs_that_validated(folder) -> None:
    config = experiment(folder, folder)
    with pytest.raises(ValueError, match=r"asked for with data\.validate"):
        _without_validation(config)
    chosen = dataclasses.replace(config, data=dataclasses.replace(config.data, validate=True))
    assert _without_validation(chosen) == config


def test_sequences_that_lose_their_end_are_said(folder, caplog) -> None:
    """All recordings have 21 frames."""
    config = experiment(folder, folder)
    splits = load_splits(config)
    with Reporter(shown=False) as reporter:
        _warn_of_cuts(reporter, config, *splits)
        assert not caplog.messages
        short = dataclasses.replace(config, data=dataclasses.replace(config.data, steps=20))
        _warn_of_cuts(reporter, short, *splits)
    assert "36 of 36 sequences have more than data.steps = 20" in caplog.messages[0]
    assert "the longest has 21" in caplog.messages[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"model": Experiment().model}, "SpeechSource with ModelConfig"),
        (lambda c: {"data": Experiment().data}, "CloudSource with SNNDelaysConfig"),
        (lambda c: {"arithmetic": "table.json"}, "arithmetic is of sparse convolutions"),
    ],
)
def test_data_and_model_must_be_of_one_kind(folder, tmp_path, change, message: str) -> None:
    config = experiment(folder, tmp_path)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change(config))


def test_a_held_out_speaker_and_a_wrong_model_are_refused_early(folder, tmp_path) -> None:
    config = experiment(folder, tmp_path / "runs")
    data = dataclasses.replace(config.data, held_out="carl")
    with pytest.raises(ValueError, match="no speaker is called 'carl'"):
        train(dataclasses.replace(config, data=data), progress=False)
    model = SNNDelaysConfig(name="snn_delay")
    with pytest.raises(
        ValueError, match="no model is called 'snn_delay'; did you mean 'snn_delays'"
    ):
        train(dataclasses.replace(config, model=model), progress=False)
    assert not (tmp_path / "runs").exists()
