"""What a run leaves behind at its end."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.runs import train
from tests.train.tiny import tiny_experiment

PNG = b"\x89PNG\r\n\x1a\n"


def linked_pictures(folder: Path) -> set[str]:
    page = (folder / "report.html").read_text(encoding="utf-8")
    return set(re.findall(r'src="([^"]+)"', page))


def test_pictures_are_drawn_and_linked(finished: tuple[Path, dict[str, Any]]) -> None:
    """The tiny model shows no spikes, so the cloud is left to the test of the real one."""
    folder = finished[0]
    names = {"learning_curves", "confusion", "firing_rates"}
    assert {path.name for path in (folder / "pictures").iterdir()} == {f"{n}.png" for n in names}
    assert linked_pictures(folder) == {f"pictures/{name}.png" for name in names}
    for path in (folder / "pictures").iterdir():
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 5000


def test_the_report_shows_the_numbers(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    page = (folder / "report.html").read_text(encoding="utf-8")
    for name in ("test_accuracy", "energy_mj", "sphere"):
        assert name in page or name.replace("_", " ") in page
    assert f"{summary['parameters']:,}" in page or str(summary["parameters"]) in page


def test_the_summary_begins_with_what_is_asked_most(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert list(summary)[:9] == [
        "test_accuracy",
        "parameters",
        "firing_rate",
        "synops",
        "energy_mj",
        "ann_energy_mj",
        "seconds",
        "compiles",
        "run_folder",
    ]
    numbers = [v for k, v in summary.items() if k not in ("run_folder", "platform", "jax")]
    assert all(np.isfinite(v) for v in numbers)
    assert Path(summary["run_folder"]) == finished[0]
    assert 0 < summary["compile_seconds"] <= summary["seconds"]


def test_without_matplotlib_a_sentence_names_the_extra(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    summary = train(tiny_experiment(tmp_path), progress=False)
    assert summary["test_accuracy"] == finished[1]["test_accuracy"]
    assert json.loads((tmp_path / "tiny-0" / "summary.json").read_text()) == summary
    told = [r.getMessage() for r in caplog.records if "no pictures were drawn" in r.getMessage()]
    assert len(told) == 1
    assert "snnjax[viz]" in told[0]
    assert not (tmp_path / "tiny-0" / "report.html").exists()
