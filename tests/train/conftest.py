"""A finished run of the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnjax.runs import train
from tests.train.tiny import tiny_experiment


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the tiny run; fixtures of a wider scope draw."""

    def no_report(folder: Any, *_: Any, **__: Any) -> Path:
        return Path(folder) / "report.html"

    monkeypatch.setattr("snnjax.viz.write_report", no_report)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the summary of a tiny run that nothing disturbed. Do not write into it."""
    summary = train(tiny_experiment(tmp_path_factory.mktemp("finished")), progress=False)
    return Path(summary["run_folder"]), summary
