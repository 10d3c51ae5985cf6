from __future__ import annotations

import json
import re

import pytest

from snnjax.cli import main
from snnjax.cli.experiments import DEFAULT, load_experiment
from snnjax.cli.output import SUMMARY_KEYS
from snnjax.cli.train import with_shortcuts


def test_stdout_is_exactly_one_line_of_json(tiny_run):
    assert tiny_run.code == 0, tiny_run.err
    assert len(tiny_run.out.splitlines()) == 1
    summary = tiny_run.summary
    assert None not in [summary[key] for key in SUMMARY_KEYS]
    assert 0 <= summary["test_accuracy"] <= 1
    assert summary["run_folder"] == str(tiny_run.folder)
    assert tiny_run.err  # progress goes there


def test_options_reach_the_run(tiny_run):
    config = json.loads((tiny_run.folder / "config.json").read_text())
    assert config["model"]["levels"] == 2
    assert config["data"]["extent"] == 16


@pytest.fixture
def calls(monkeypatch):
    """What `snnjax train` hands to the trainer."""
    seen = []

    def train(experiment, **keywords):
        print("chatter")
        seen.append((experiment, keywords))
        return {"test_accuracy": 1.0}

    monkeypatch.setattr("snnjax.cli.train.train", train)
    return seen


def test_every_kind_of_option_is_passed_on(calls, capsys):
    arguments = (
        "train --data some/folder --skip-bad --epochs 3 --model.spike-head --seed 7"
        " --optimiser.learning-rate 0.5 --data.train-size 9 --resume --run-folder runs/x"
        " --max-hours 1.5 --compile-cache programs"
    )
    assert main(arguments.split()) == 0
    experiment, keywords = calls[0]
    assert (experiment.data.path, experiment.data.skip_bad) == ("some/folder", True)
    assert (experiment.epochs, experiment.seed, experiment.data.train_size) == (3, 7, 9)
    assert experiment.model.spike_head
    assert experiment.optimiser.learning_rate == 0.5
    assert keywords["resume"] is True
    assert str(keywords["run_folder"]) == "runs/x"
    assert (keywords["max_hours"], str(keywords["compile_cache"])) == (1.5, "programs")
    captured = capsys.readouterr()
    assert "chatter" not in captured.out
    assert json.loads(captured.out)["test_accuracy"] == 1.0


def test_names_stand_for_models_and_tasks(calls):
    arguments = "train --model e3dsnn_s --model.levels 2 --task classification --task.top-k 3"
    assert main(arguments.split()) == 0
    experiment, _ = calls[0]
    assert (experiment.model.stem, experiment.model.levels) == (24, 2)
    assert (experiment.task.top_k, experiment.task.label_smoothing) == (3, 0.0)


def test_steps_take_the_place_of_epochs(calls):
    assert main(["train", "--steps", "30"]) == 0
    assert (calls[0][0].steps, calls[0][0].epochs) == (30, None)


def test_programs_are_kept_unless_refused(calls):
    assert main(["train"]) == 0
    assert main(["train", "--no-compile-cache"]) == 0
    assert [keywords["compile_cache"] for _, keywords in calls] == [True, False]


def test_shortcuts_leave_the_rest_alone():
    experiment = load_experiment(DEFAULT)[0]
    assert with_shortcuts(experiment) == experiment
    assert with_shortcuts(experiment, source="x").data.points == experiment.data.points


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--epoch 3", "did you mean '--epochs'?"),
        ("--levels 3", "did you mean '--model.levels'"),
        ("--data.pat x", "did you mean '--data.path'"),
        ("--model.levels 0", "levels"),
        ("--batch-size 0", "batch_size"),
        ("--data.extent 4096", "extent"),
        ("--data.extent 0", "extent"),
        ("--model.steps 0", "steps"),
        ("--epochs 0", "epochs"),
        ("--optimiser.learning-rate nan", "learning_rate"),
        ("--optimiser.name adamv", "adamw"),
        ("--schedule.name cosin", "cosine"),
        ("--seed -1", "seed"),
        ("--data.augment.rotate so2", "so3"),
        ("e3dsnn_t_shape3d", "did you mean 'e3dsnn_t_shapes3d'"),
        ("--model e3dsnn_x", "did you mean 'e3dsnn_"),
        ("--task clasification", "did you mean 'classification'"),
        ("--epochs 3 --steps 4", "exactly one"),
        ("--compile-cache x --no-compile-cache", "not both"),
    ],
)
def test_the_impossible_fails_before_any_work(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("snnjax.train.loop.Loop.run", lambda *_: pytest.fail("it trains"))
    arguments = ["train", *options.split()]
    if "e3dsnn_t_shape3d" not in options:
        arguments += ["--run-folder", str(tmp_path / "run")]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_a_missing_data_folder_is_one_line(capsys, tmp_path):
    code = main(["train", "--data", str(tmp_path / "no"), "--run-folder", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert code == 2
    assert str(tmp_path / "no") in error
    assert error.count("error:") == 1


def test_help_documents_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # one column of options
    assert main(["train", "--help"]) == 0
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    flags = [i for i, line in enumerate(lines) if re.match(r"--[\w.-]*\w( |,|$)", line)]
    assert len(flags) > 30
    for i in flags:  # the text stands behind the flag, or on the next line if the flag is long
        own = re.split(r"\s{2,}", lines[i], maxsplit=1)
        text = own[1] if len(own) > 1 else lines[i + 1]
        assert re.match(r"[A-Za-z`<]", text), lines[i]
        assert not text.startswith("(default"), lines[i]


def test_a_limit_of_time_that_allows_no_step_is_an_error(tiny_config, tmp_path, capsys):
    """The process began longer ago than it may take; a scheduler would start it for ever."""
    folder = str(tmp_path / "run")
    arguments = ["train", str(tiny_config), "--run-folder", folder, "--max-hours", "1e-6"]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--max-hours: 1e-06 h are nearly over; saving." in captured.err
    assert (
        "max_hours=1e-06 ends before the first step of this process and its save are done"
        in captured.err
    )
    assert main([*arguments[:-1], "0"]) == 2
    assert "`max_hours` must be above 0; got 0.0" in capsys.readouterr().err
