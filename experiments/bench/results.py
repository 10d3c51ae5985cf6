"""Records: one JSON line each, and a readable summary line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_results(folder: Path, row: str, records: Iterable[Mapping[str, Any]]) -> Path:
    """Replace `<folder>/<row>.jsonl` completely."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row}.jsonl"
    partial = path.with_suffix(".part")
    lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(path)
    return path


def summary(record: Mapping[str, Any]) -> str:
    """A readable line with library, work and time.

    >>> summary({"library": "a", "what": "b", "median_ms": 1.5, "min_ms": 1.0, "max_ms": 2.25,
    ...          "shapes": {"C": 8}, "ratio": 0.5, "ratio_to": "c"})
    'a: b [C=8]  1.50 ms (1.00 to 2.25), 0.5x of c'
    """
    shapes = " ".join(f"{name}={value}" for name, value in record["shapes"].items())
    text = (
        f"{record['library']}: {record['what']} [{shapes}]  {record['median_ms']:.2f} ms "
        f"({record['min_ms']:.2f} to {record['max_ms']:.2f})"
    )
    if "ratio" in record:
        text += f", {record['ratio']:.3g}x of {record['ratio_to']}"
    if record.get("correct") is False:
        text += ", WRONG RESULT"
    return text
