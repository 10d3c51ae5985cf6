from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from snnjax.cli.output import SUMMARY_KEYS, quiet_stdout, summary_line


def test_summary_is_one_line_of_strict_json():
    summary = {
        "extra": [np.int64(3), {"a": np.float32(0.5)}],
        "firing_rate": float("nan"),
        "run_folder": Path("runs/a"),
        "parameters": np.int32(7),
    }
    line = summary_line(summary)
    assert "\n" not in line
    got = json.loads(line, parse_constant=lambda text: pytest_fail(text))
    assert tuple(got)[: len(SUMMARY_KEYS)] == SUMMARY_KEYS
    assert got["firing_rate"] is None
    assert got["run_folder"] == "runs/a"
    assert got["parameters"] == 7
    assert got["extra"] == [3, {"a": 0.5}]


def pytest_fail(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def test_prints_of_others_go_to_stderr(capsys):
    with quiet_stdout():
        print("chatter")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "chatter\n"
