"""The commands on a run of sequences."""

from __future__ import annotations

import json

import jax.numpy as jnp
import pytest
from flax import nnx

from snnjax.cli import main
from tests.data.speech.files import digit_folder, tone, write_wav
from tests.train.least import Least

CONFIG = '''"""Tones, in a second."""

from snnjax.data.speech import FrontEnd
from snnjax.train import Experiment, SequenceConfig, SpeechConfig

experiment = Experiment(
    name="tones",
    data=SpeechConfig(steps=24, batch_size=8, front_end=FrontEnd(channels=8)),
    model=SequenceConfig(hidden=4, layers=1),
    epochs=1,
    mesh="data=1",
)
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`snnjax train tones.py --data FOLDER --model.hidden 6`: the run folder."""
    root = tmp_path_factory.mktemp("tones")
    (root / "tones.py").write_text(CONFIG)
    data = digit_folder(root / "data")
    arguments = ["--data", str(data), "--model.hidden", "6", "--run-folder", str(root / "run")]
    assert main(["train", str(root / "tones.py"), *arguments]) == 0
    return root / "run"


def test_it_is_trained_with_the_options_of_its_kind(run, capsys):
    config = json.loads((run / "config.json").read_text())
    assert (config["kind"], config["model"]["hidden"]) == ("sequences", 6)
    assert json.loads((run / "summary.json").read_text())["steps"] == 3
    assert (run / "report.html").is_file()
    assert main(["train", str(run.parent / "tones.py"), "--data.points", "7"]) == 2
    assert "there is no option '--data.points'" in capsys.readouterr().err


def test_it_is_described_and_timed(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["info", str(run)]) == 0
    text = capsys.readouterr().out
    assert "hidden0" in text
    assert "Rows of" not in text  # sequences have no capacities
    assert main(["profile", str(run), "--runs", "1", "--no-layers"]) == 0
    text = capsys.readouterr().out
    assert "Compiled steps, batch 8" in text
    assert "training step" in text


def test_a_recording_is_classified(run, tmp_path, capsys):
    path = write_wav(tmp_path / "a.wav", tone(1, 3))
    assert main(["predict", str(run), str(path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert sorted(row.split()[1] for row in rows) == [str(k) for k in range(10)]
    assert (
        main(["predict", str(run), str(write_wav(tmp_path / "b.wav", tone(1, 3), rate=9000))]) == 2
    )
    assert "9000 samples a second" in capsys.readouterr().err


def test_layers_are_timed_of_a_model_that_takes_no_options():
    """The watch over the layers leaves the signature of the model's call as it is."""
    from snnjax.cli.layers import layer_calls
    from snnjax.train.forward import SequenceForward

    model, x, count = Least(4, 3, nnx.Rngs(0)), jnp.ones((5, 2, 4)), jnp.array([5, 5])
    calls = layer_calls(model, lambda m: SequenceForward()(m, x, count, None, record=True))
    assert [call.path for call in calls] == ["first", "second"]
