"""The snippets of docs/segmentation.md run in order, and its names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from snnjax.experiment.registry import REGISTRY
from snnjax.metrics import count_parameters
from tests.docs.pages import DOCS, run_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = (DOCS / "segmentation.md").read_text()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run_page("segmentation")


def test_the_page_runs(page: dict[str, Any]) -> None:
    assert len(page["found"].metrics) >= 4  # three steps and an evaluation
    assert count_parameters(page["found"].model) == count_parameters(page["model"])
    assert {"rotated_miou", "rotated_accuracy"} == page["numbers"].keys()
    assert set(page["classes"]) <= set(range(14))


def test_its_experiments_exist() -> None:
    names = re.findall(r"^snnjax train (\w+)", PAGE, flags=re.M)
    known = {path.stem for path in (ROOT / "experiments" / "configs").glob("*/*.py")}
    assert len(names) == 3
    assert set(names) <= known
    assert "segmentation" in REGISTRY["task"]
