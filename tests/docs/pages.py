"""Pages of `docs/` whose snippets run in order, as one module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run_page(name: str) -> dict[str, Any]:
    """The names that the Python snippets of a page define."""
    scope: dict[str, Any] = {"__name__": f"{name}_page"}
    page = (DOCS / f"{name}.md").read_text()
    for snippet in re.findall(r"^```python\n(.*?)^```", page, flags=re.S | re.M):
        exec(compile(snippet, f"docs/{name}.md", "exec"), scope)
    return scope
