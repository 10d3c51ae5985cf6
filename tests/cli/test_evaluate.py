from __future__ import annotations

import json

import pytest

from snnjax.cli import main


def test_evaluation_repeats_what_training_reported(tiny_run, capsys):
    assert main(["evaluate", str(tiny_run.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    summary = json.loads(lines[0])
    for key in ("test_accuracy", "parameters", "firing_rate", "synops", "energy_mj"):
        assert summary[key] == tiny_run.summary[key], key
    assert summary["run_folder"] == str(tiny_run.folder)


@pytest.mark.parametrize("command", [["evaluate"], ["predict"], ["compare"], ["info"]])
def test_a_missing_run_folder_is_one_line(command, capsys, tmp_path):
    target = [str(tmp_path / "none"), "x.npz"] if command == ["predict"] else [str(tmp_path)]
    assert main([*command, *target]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(tmp_path) in captured.err
    assert captured.err.startswith(f"snnjax {command[0]}: error:")


def test_a_damaged_config_is_named(tiny_run, capsys, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text('{"epochs": ')
    assert main(["evaluate", str(folder)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_votes_need_an_augmentation(tiny_run, capsys):
    assert main(["evaluate", str(tiny_run.folder), "--votes", "2"]) == 2
    assert "data.augment changes nothing" in capsys.readouterr().err
    assert main(["evaluate", str(tiny_run.folder), "--votes", "-1"]) == 2
    assert "`votes` must be at least 0; got -1" in capsys.readouterr().err


def test_an_unknown_checkpoint_is_refused(tiny_run, capsys):
    assert main(["evaluate", str(tiny_run.folder), "--checkpoint", "first"]) == 2
    assert "last" in capsys.readouterr().err
