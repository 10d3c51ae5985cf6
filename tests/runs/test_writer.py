from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from snnjax.runs import RunFolderError
from snnjax.runs.writer import MetricsWriter, read_json, read_metrics, truncate_metrics, write_json


def write_rows(path: Path, steps: int) -> None:
    writer = MetricsWriter(path)
    for step in range(1, steps + 1):
        writer.write({"split": "train", "step": step, "loss": np.float32(1 / step)})
    writer.close()
    writer.close()  # twice is fine


def test_a_truncated_row_and_later_steps_are_removed(tmp_path: Path) -> None:
    """A kill in the middle of a line, at every byte of the last two lines."""
    path = tmp_path / "metrics.jsonl"
    write_rows(path, 5)
    complete = path.read_bytes()
    start = complete.rindex(b'{"split": "train", "step": 4')
    for end in range(start, len(complete)):
        path.write_bytes(complete[:end])
        truncate_metrics(path, 3)
        assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]
        assert path.read_bytes() == complete[:start]


def test_rows_after_a_broken_line_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2\n{"step": 3}\n')
    assert read_metrics(path) == [{"step": 1}]
    assert truncate_metrics(path, 9) == 1


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert truncate_metrics(tmp_path / "metrics.jsonl", 4) == 0
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": math.inf, "b": np.float64("nan"), "c": np.arange(2), "d": Path("e")})
    text = path.read_text()
    assert json.loads(text) == {"a": None, "b": None, "c": [0, 1], "d": "e"}


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snnjax.runs.writer.os.fsync", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    writer = MetricsWriter(tmp_path / "metrics.jsonl")
    writer.write({"step": 1})
    with pytest.raises(RunFolderError, match="Make room, then resume"):
        writer.flush()
    monkeypatch.undo()
    writer.close()


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n"a": 1,\n"b": }\n')
    with pytest.raises(RunFolderError, match=r"config\.json, line 3: not JSON"):
        read_json(path)
    with pytest.raises(RunFolderError, match=r"is missing, so .* is not a run folder"):
        read_json(tmp_path / "other.json")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(RunFolderError, match=r"cannot read .*config\.json: Is a directory"):
        read_json(tmp_path / "config.json")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(RunFolderError, match=r"deep\.json: not JSON"):
        read_json(tmp_path / "deep.json")


def test_a_metrics_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot write .*: Is a directory"):
        MetricsWriter(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("rows", [1, 2000])
def test_a_really_full_disk_stops_the_metrics_with_a_remedy(rows: int) -> None:
    """Few rows fail when they are flushed, many when the buffer of Python runs over."""
    writer = MetricsWriter(Path("/dev/full"), flush_seconds=1e9)
    with pytest.raises(RunFolderError, match=r"No space left on device\. Make room"):  # noqa: PT012
        for step in range(rows):
            writer.write({"step": step, "loss": 0.123456789})
        writer.flush()
    with pytest.raises(RunFolderError, match=r"cannot write /dev/full: .*Make room"):
        writer.close()
    writer.close()  # it is closed, whatever was lost


def test_rows_reach_the_disk_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses the rows of about a second, no more."""
    now = [100.0]
    monkeypatch.setattr("snnjax.runs.writer.time.monotonic", lambda: now[0])
    writer = MetricsWriter(tmp_path / "metrics.jsonl")
    writer.write({"step": 1})
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    now[0] += 1.1
    writer.write({"step": 2})
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    writer.close()


@pytest.mark.parametrize("line", ["3", "null", "[]", '{"loss": 1}', '{"step": "x"}', "{"])
def test_a_line_that_is_no_row_ends_the_rows(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    assert truncate_metrics(path, 5) == 1
    assert path.read_text() == '{"step": 1}\n'
