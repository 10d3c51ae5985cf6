from __future__ import annotations

import numpy as np
import pytest

from snnjax.cli import main


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    path = tmp_path_factory.mktemp("clouds") / "cloud.npy"
    points = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    np.save(path, points / np.linalg.norm(points, axis=1, keepdims=True))
    return path


def read(text: str) -> list[tuple[float, str]]:
    return [(float(p), name) for p, name in (line.split(maxsplit=1) for line in text.splitlines())]


def test_probabilities_of_all_classes_in_order(tiny_run, cloud, capsys):
    assert main(["predict", str(tiny_run.folder), str(cloud)]) == 0
    rows = read(capsys.readouterr().out)
    assert len(rows) >= 10
    assert "sphere" in [name for _, name in rows]
    assert rows == sorted(rows, key=lambda row: -row[0])
    assert sum(p for p, _ in rows) == pytest.approx(1.0, abs=1e-3)


def test_only_the_best(tiny_run, cloud, capsys):
    assert main(["predict", str(tiny_run.folder), str(cloud), "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["predict", str(tiny_run.folder), str(cloud), "--top", "0"]) == 2


@pytest.mark.parametrize("content", [b"not an array", b"", b"\x80\x04K\x01."])
def test_a_file_that_is_no_cloud(tiny_run, tmp_path, capsys, content):
    path = tmp_path / "bad.npy"
    path.write_bytes(content)
    assert main(["predict", str(tiny_run.folder), str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "bad.npy" in captured.err


def test_a_missing_file(tiny_run, tmp_path, capsys):
    assert main(["predict", str(tiny_run.folder), str(tmp_path / "none.npz")]) == 2
    assert "none.npz" in capsys.readouterr().err
