"""Files of a run folder: JSON written atomically, and metrics as JSON lines."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnjax.runs.errors import RunFolderError


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically: a reader gets the old file or the new one."""
    _replace(path, json.dumps(plain(value), indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder.

    Raises:
      RunFolderError: it is missing, unreadable or not JSON; the message names file and line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is missing, so {path.parent} is not a run folder.") from error
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror or error}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RunFolderError(
            f"{path}{line}: not JSON ({error}). Restore the file, or start a new run."
        ) from error


def plain(value: Any) -> Any:
    """`value` as strict JSON: NumPy scalars become numbers, non-finite numbers become null.

    >>> plain({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


class MetricsWriter:
    """Appends rows to `metrics.jsonl`; what is buffered reaches the disk about once a second."""

    def __init__(self, path: Path, *, flush_seconds: float = 1.0):
        self._path = path
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error
        self._flush_seconds = flush_seconds
        self._flushed = time.monotonic()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        try:
            self._file.write(json.dumps(plain(row)) + "\n")
        except OSError as error:
            raise self._refused(error) from error
        if time.monotonic() - self._flushed > self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Flush all rows to disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                with contextlib.suppress(OSError):  # reported by `flush`
                    self._file.close()

    def _refused(self, error: OSError) -> RunFolderError:
        why = error.strerror or error
        return RunFolderError(f"cannot write {self._path}: {why}. Make room, then resume the run.")


class SilentWriter(MetricsWriter):
    """A writer that does nothing, for processes other than the first."""

    def __init__(self) -> None:
        pass

    def write(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file, up to the first incomplete line."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows


def truncate_metrics(path: Path, step: int) -> int:
    """Drop the rows after `step` and any incomplete tail, for a resume from `step`.

    Returns:
      The number of remaining rows.
    """
    rows = [row for row in read_metrics(path) if row["step"] <= step]
    _replace(path, "".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}.") from error
