"""The tiny model under its registered name, and a finished run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnjax.models import MODELS
from snnjax.train import train
from tests.train.tiny import tiny, tiny_experiment


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "tiny", tiny)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the tiny run; fixtures of a wider scope draw."""
    monkeypatch.setattr("snnjax.viz.write_report", lambda folder, *_: Path(folder) / "report.html")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the summary of a tiny run that nothing disturbed. Do not write into it."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", tiny)
        summary = train(tiny_experiment(root), progress=False)
    return Path(summary["run_folder"]), summary
