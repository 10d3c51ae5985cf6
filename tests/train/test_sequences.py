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
from snnjax.models import E3DSNNConfig, SNNDelaysConfig
from snnjax.runs import Interrupted, evaluate, load, predict, read_run, train
from snnjax.sharding import parse_mesh
from snnjax.train import (
    ContinuousDelays,
    Session,
    call_model,
    merge_model,
    session,
    train_step,
)
from tests.data.speech.files import digit_folder, tone, write_wav
from tests.train.least import Least, LeastConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("digits"))


def experiment(folder: Path, root: Path, **changes: Any) -> Experiment:
    defaults: dict[str, Any] = {
        "name": "digits",
        "data": SpeechSource(
            path=str(folder),
            steps=24,
            front_end=FrontEnd(channels=16, low_hz=100.0, high_hz=2000.0),
            augment=SpeechAugment(time_shift=2, noise=0.02),
        ),
        "model": SNNDelaysConfig(hidden=24, layers=1, tau=5.0, delays="none"),
        "optimiser": OptimiserConfig(learning_rate=2e-2, clip_norm=5.0),
        "schedule": ScheduleConfig(warmup=0.1),
        "epochs": 12,
        "evaluate_every": 12,
        "batch_size": 8,
        "checkpoint_every": 10,
        "mesh": "data=1",
        "run_root": str(root),
    }
    return Experiment(**{**defaults, **changes})


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:  # the command line's own run is drawn
        patch.setattr(
            "snnjax.viz.write_report", lambda folder, *_, **__: Path(folder) / "report.html"
        )
        summary = train(experiment(folder, tmp_path_factory.mktemp("runs")), progress=False)
    return Path(summary["run_folder"]), summary


def test_it_learns_and_its_spikes_are_counted(finished) -> None:
    """Three tones, chance is 1/3."""
    folder, summary = finished
    assert summary["test_accuracy"] > 0.8
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
    with pytest.raises(ValueError, match="SpeechSource has no random changes"):
        evaluate(run, votes=2)


def test_a_killed_run_ends_with_the_same_weights(
    finished, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    feed = session.train_feed

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
        patch.setattr(session, "train_feed", interrupted)
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
    own = Session.open(config, parse_mesh(f"data={devices}")).planned()
    state = own.first_state()
    before = jax.device_get(state.weights)
    with own.train_feed() as items:
        item = next(items)
    state, metrics = train_step(own.spec, item.shape)(state, item.batch)
    return before, jax.device_get(state), metrics


def test_devices_share_a_batch_and_its_statistics(folder: Path, tmp_path: Path) -> None:
    config = experiment(
        folder, tmp_path, model=SNNDelaysConfig(hidden=24, layers=1, dropout=0.0, delays="none")
    )
    one, two = (first_update(config, n) for n in (1, 2))
    np.testing.assert_allclose(one[2].loss, two[2].loss, rtol=1e-5)
    np.testing.assert_allclose(one[2].gradient_norm, two[2].gradient_norm, rtol=1e-4)
    for a, b in zip(
        jax.tree.leaves(one[1].weights.stats), jax.tree.leaves(two[1].weights.stats), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_a_model_schedules_changes_without_compiling_again(
    folder: Path, tmp_path: Path
) -> None:
    """`at_epoch` sets the width before each update, `constrain` clamps the positions after it."""
    rule = OptimiserConfig(
        learning_rate=1e-2, clip_norm=0.0, groups=(Group("position", rate=100.0),)
    )
    config = experiment(folder, tmp_path, model=LeastConfig(), optimiser=rule, epochs=3)
    summary = train(config, progress=False)
    assert summary["compiles"] == 2
    assert "mean_delay" not in summary  # it has no delays
    _, model = load(summary["run_folder"])
    assert float(model.width[...]) == 8.0 * 0.25 + 3
    position = np.asarray(model.position[...])
    assert np.abs(position).max() == 1.0  # with a rate of 1 some reach the border, none passes it


def test_a_model_receives_the_inputs_that_it_names() -> None:
    told: list[dict[str, Any]] = []

    class Told(Least):
        def forward(self, run: Any, x: Any, **named: Any) -> Any:
            told.append({"train": run.train, **named})
            return super().forward(run, x)

    x, lengths = jnp.ones((10, 2, 4)), jnp.array([10, 6])
    inputs = {"x": x, "lengths": lengths, "capacities": None}
    out = call_model(Told(4, 3, nnx.Rngs(0)), inputs, train=True)
    assert told == [{"train": True, "lengths": lengths, "capacities": None}]
    np.testing.assert_array_equal(call_model(Least(4, 3, nnx.Rngs(0)), inputs, train=True), out)
    with pytest.raises(ValueError, match=r"need an `x`; .* provide \['lengths'\]"):
        call_model(Least(4, 3, nnx.Rngs(0)), {"lengths": lengths})


def test_silence_that_fills_up_a_recording_changes_nothing(finished, folder: Path) -> None:
    """The frames after the end of each do not belong to it, whatever is in them."""
    run, model = load(finished[0])
    dataset = run.data.open("test")
    batch = run.data.collate([dataset.sample(i, None) for i in range(4)], None)
    frames, lengths = batch["frames"], batch["lengths"]

    @jax.jit
    def scores(frames: Array) -> Array:
        return model(None, jnp.swapaxes(frames, 0, 1), lengths=jnp.asarray(lengths))[1]

    noise = np.random.default_rng(0).normal(size=frames.shape)
    other = np.where((np.arange(24) < lengths[:, None])[..., None], frames, noise)
    assert (lengths < 24).all()
    assert not np.array_equal(frames, other)
    np.testing.assert_allclose(scores(frames), scores(np.float32(other)), atol=1e-6)


def test_delays_are_learned_with_their_own_rate_and_schedule(folder, tmp_path) -> None:
    rule = OptimiserConfig(
        learning_rate=5e-3,
        groups=(Group("delay$", rate=100.0, schedule=ScheduleConfig(warmup=0.0)),),
    )
    network = SNNDelaysConfig(hidden=8, layers=1, delays="learned", max_delay=4)
    config = experiment(
        folder,
        tmp_path,
        model=network,
        optimiser=rule,
        epochs=8,
        evaluators=(ContinuousDelays(),),
    )
    own = Session.open(config, parse_mesh("data=1"))
    start = merge_model(own.spec.graphdef, own.first_state().weights)
    summary = train(config, progress=False)
    assert summary["compiles"] == 2  # in the loop; a third evaluates continuous delays after it
    _, model = load(summary["run_folder"])
    for before, after in zip(linears(start), linears(model), strict=True):
        old, new = np.asarray(before.delays.delay[...]), np.asarray(after.delays.delay[...])
        assert np.abs(new - old).max() > 0.3
        assert 0 <= new.min() <= new.max() <= 4
        assert float(before.delays.sigma[...]) == 2.0
        assert float(after.delays.sigma[...]) == pytest.approx(0.23)  # a quarter of the run is over
    assert summary["dense_macs"] > 24 * 16 * 8
    check_what_is_said_of_delays(summary, model, own.test_set, config.data)


def linears(model: Any) -> list[Any]:
    return [*(layer.linear for layer in model.hidden), model.linear]


def check_what_is_said_of_delays(
    summary: dict[str, Any], model: Any, test_set: Any, source: SpeechSource
) -> None:
    """Against the model itself; `evaluate` says the same."""
    batch = source.collate([test_set.sample(i, None) for i in range(len(test_set))], None)
    labels, silent = batch["label"], model.config.silent_steps
    x = jnp.pad(jnp.swapaxes(jnp.asarray(batch["frames"]), 0, 1), ((0, silent), (0, 0), (0, 0)))
    model.round_delays = False
    _, soft = model(None, x, lengths=batch["lengths"])
    assert summary["test_accuracy_continuous"] == np.mean(soft.argmax(-1) == labels)
    loss = optax.softmax_cross_entropy_with_integer_labels(soft, labels).mean()
    assert summary["test_loss_continuous"] == pytest.approx(float(loss), rel=1e-5)
    assert summary["test_loss_continuous"] != pytest.approx(summary["test_loss"], rel=1e-3)
    delays = np.concatenate([np.ravel(linear.delays.delay[...]) for linear in linears(model)])
    assert summary["mean_delay"] == pytest.approx(delays.mean(), rel=1e-5)
    ends = np.mean((delays <= 0.5) | (delays >= 3.5))
    assert summary["clamp_occupancy"] == pytest.approx(ends, rel=1e-5)
    again = evaluate(summary["run_folder"])
    names = ("test_loss", "test_loss_continuous", "mean_delay", "clamp_occupancy")
    assert [again[name] for name in names] == [summary[name] for name in names]
    assert again["compiles"] == 2


def test_the_test_part_is_for_runs_that_validated(finished) -> None:
    with pytest.raises(ValueError, match=r"SpeechSource has no validation part"):
        evaluate(finished[0], test_part=True)


def test_sequences_that_lose_their_end_are_said(folder, tmp_path, caplog) -> None:
    """All recordings have 21 frames."""
    config = experiment(folder, tmp_path, epochs=1)
    data = dataclasses.replace(config.data, steps=20)
    train(dataclasses.replace(config, data=data), progress=False)
    said = [message for message in caplog.messages if "are truncated" in message]
    assert len(said) == 1
    assert "36 of 36 sequences have more than data.steps = 20" in said[0]
    assert "the longest has 21" in said[0]


def test_a_model_of_clouds_is_refused_for_sequences(folder, tmp_path) -> None:
    config = dataclasses.replace(experiment(folder, tmp_path / "runs"), model=E3DSNNConfig.t())
    with pytest.raises((TypeError, AttributeError, ValueError)):
        train(config, progress=False)


def test_a_held_out_speaker_is_refused_early(folder, tmp_path) -> None:
    config = experiment(folder, tmp_path / "runs")
    data = dataclasses.replace(config.data, held_out="carl")
    with pytest.raises(ValueError, match="no speaker is called 'carl'"):
        train(dataclasses.replace(config, data=data), progress=False)
    assert not (tmp_path / "runs").exists()
