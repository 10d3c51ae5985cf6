"""The snippets of docs/detection.md run in order, and its names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from snnjax.experiment.registry import REGISTRY
from tests.docs.pages import DOCS, run_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = (DOCS / "detection.md").read_text()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run_page("detection")


def test_the_page_runs(page: dict[str, Any]) -> None:
    assert set(page["found"].result.scores) == {"ap", "ap_bev", "recall"}
    assert page["numbers"]["car_moderate_objects"] >= 0


def test_its_experiments_and_models_exist() -> None:
    (name,) = re.findall(r"^snnjax train (\w+)", PAGE, flags=re.M)
    assert (ROOT / "experiments" / "configs" / "detection" / f"{name}.py").is_file()
    for module in re.findall(r"^python -m experiments\.(\w+)", PAGE, flags=re.M):
        assert (ROOT / "experiments" / f"{module}.py").is_file()
    assert {"e3dsnn_kitti", "e3dsnn_nuscenes"} <= REGISTRY["model"].keys()
