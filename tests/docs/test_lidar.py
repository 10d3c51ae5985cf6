"""The snippets of docs/lidar.md run in order, and the sources that it lists exist."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from snnjax.data import lidar, lidar_scenes
from tests.docs.pages import DOCS, run_page

PAGE = (DOCS / "lidar.md").read_text()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run_page("lidar")


def test_the_page_runs(page: dict[str, Any]) -> None:
    assert page["weights"].shape == (14,)
    assert np.isfinite(page["weights"]).all()


def test_its_sources_exist() -> None:
    for name, method in re.findall(r"^\| `(Lidar\w+)\.(\w+)\(FOLDER\)`", PAGE, flags=re.M):
        assert callable(getattr(getattr(lidar, name), method))
    assert {"SceneVoxels", "SceneBoxes"} <= vars(lidar_scenes).keys()
