"""The snippets of docs/sparse.md run in order, and hold what the page says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.docs.pages import DOCS, run_page

PAGE = (DOCS / "sparse.md").read_text()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run_page("sparse")


def test_the_page_runs(page: dict[str, Any]) -> None:
    x, back, skip = (page[name] for name in ("x", "back", "skip"))
    np.testing.assert_array_equal(back.coords, x.coords)
    assert skip.feats.shape[-1] == 16
    assert page["total"].coords is page["y"].coords
    assert page["smaller"].extent == (1, 8, 8)
    assert page["other"].extent == (9, 17, 17)


def test_every_name_of_the_table_of_maps_exists(page: dict[str, Any]) -> None:
    names = re.findall(r"^\| `(\w+)\(", PAGE, flags=re.M)
    assert len(names) == 5
    assert all(hasattr(page["sparse"], name) for name in names)
