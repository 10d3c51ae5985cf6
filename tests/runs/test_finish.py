"""What a run leaves behind at its end."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import from_arrays
from snnjax.metrics import LayerRate
from snnjax.runs import train
from snnjax.runs.finish import alarm_lines
from tests.train.tiny import tiny_experiment

PNG = b"\x89PNG\r\n\x1a\n"


def test_pictures_are_drawn_and_inside_the_page(finished: tuple[Path, dict[str, Any]]) -> None:
    folder = finished[0]
    names = {"learning_curves", "sample", "confusion", "firing_rates"}
    assert {path.name for path in (folder / "pictures").iterdir()} == {f"{n}.png" for n in names}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == len(names)
    for path in (folder / "pictures").iterdir():
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 5000


@pytest.mark.parametrize("steps", [20, 2000])
def test_an_alarm_is_said_once_for_the_first_layer(steps: int) -> None:
    """Fifty silent layers have one cause; before the averages have warmed up it is their youth."""
    rates = [LayerRate("stem", 0.3, 0.4, 512, "")]
    rates += [LayerRate(f"stage{i}", 0.0, 0.0, 512, "silent") for i in range(18)]
    (line,) = alarm_lines(rates, steps)
    assert "stage0" in line
    assert "17 layers after it" in line
    assert "stage1" not in line.replace("stage0", "")
    assert ("After 20 updates the averages" in line) == (steps == 20)
    assert ("Lower the threshold" in line) == (steps == 2000)
    assert alarm_lines(rates[:1], steps) == ()


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


@dataclass(frozen=True)
class Broken:
    """A measurement that fails."""

    def run(self, trained: Any, dataset: Any) -> dict[str, float]:
        raise ValueError("no such number")


def test_an_evaluator_that_fails_leaves_the_scores_and_the_report(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "snnjax.viz.write_report", lambda folder, summary, *_, **__: reported.append(summary)
    )
    with pytest.raises(ValueError, match="no such number"):
        train(tiny_experiment(tmp_path, evaluators=(Broken(),)), progress=False)
    kept = json.loads((tmp_path / "tiny-0" / "summary.json").read_text())
    assert kept["test_accuracy"] == finished[1]["test_accuracy"]
    assert reported == [kept]


def test_arrays_in_memory_are_for_fit(tmp_path: Path) -> None:
    data = from_arrays((np.zeros((8, 3)), [0, 1] * 4))
    with pytest.raises(TypeError, match=r"cannot store arrays in memory.* `snnjax\.runs\.fit`"):
        train(tiny_experiment(tmp_path, data=data), progress=False)
