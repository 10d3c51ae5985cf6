"""The commands on a run of sequences."""

from __future__ import annotations

import json

import jax.numpy as jnp
import pytest
from flax import nnx

from snnjax.cli import main
from snnjax.runs import read_run
from tests.data.speech.files import command_folder, tone, write_wav
from tests.train.least import Least

NARROW = ["--model.hidden", "6", "--model.layers", "1", "--model.max-delay", "2"]
NARROW += ["--batch-size", "8", "--epochs", "2", "--mesh", "data=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`snnjax train snn_delays_gsc --data FOLDER`, of narrow layers, on three words: its folder."""
    root = tmp_path_factory.mktemp("words")
    data = command_folder(root / "data", words=3, takes=10)
    arguments = ["snn_delays_gsc", "--data", str(data), *NARROW, "--run-folder", str(root / "run")]
    assert main(["train", *arguments]) == 0
    return root / "run"


def test_it_is_trained_with_the_options_of_its_kind(run, capsys):
    config = json.loads((run / "config.json").read_text())
    assert config["model"]["type"] == "snnjax.models.snn_delays:SNNDelaysConfig"
    assert config["model"]["hidden"] == 6
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["train_samples"], summary["test_samples"]) == (6, 24, 3)
    assert {"test_accuracy_continuous", "mean_delay"} <= set(summary)
    rows = [row for row in read_run(run).metrics if row["split"] == "train"]
    rates = [row["learning_rate"] for row in rows]
    assert rates == pytest.approx([5e-3] * 3 + [2e-8] * 3, rel=1e-5)  # by epochs
    assert (run / "report.html").is_file()
    assert main(["train", "snn_delays_gsc", "--data.points", "7"]) == 2
    assert "there is no option '--data.points'" in capsys.readouterr().err


def test_it_is_described_and_timed(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["info", str(run)]) == 0
    text = capsys.readouterr().out
    assert "hidden.0.linear" in text
    assert "Silence(frames=2)" in text
    assert main(["profile", str(run), "--runs", "1", "--no-layers"]) == 0
    text = capsys.readouterr().out
    assert "Compiled steps, batch 8" in text
    assert "training step" in text


def test_a_recording_is_classified(run, tmp_path, capsys):
    path = write_wav(tmp_path / "a.wav", tone(1, 3))
    assert main(["predict", str(run), str(path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert sorted(row.split()[1] for row in rows) == ["word00", "word01", "word02"]
    assert (
        main(["predict", str(run), str(write_wav(tmp_path / "b.wav", tone(1, 3), rate=9000))]) == 2
    )
    assert "9000 samples a second" in capsys.readouterr().err


def test_layers_are_timed_of_a_model_that_takes_no_options():
    from snnjax.cli.layers import layer_calls

    x, lengths = jnp.ones((5, 2, 4)), jnp.array([5, 5])
    calls = layer_calls(Least(4, 3, nnx.Rngs(0)), {"x": x, "lengths": lengths})
    assert [call.path for call in calls] == ["first", "second"]
