"""The snippets of docs/sparse.md run in order, and hold what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sparse.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.S | re.M)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "sparse_page"}
    for snippet in SNIPPETS:
        exec(compile(snippet, "docs/sparse.md", "exec"), scope)
    return scope


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
