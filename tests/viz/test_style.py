"""Figures belong to their caller, and files are complete or absent."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snnjax.viz import learning_curves, new_figure, require_matplotlib, save_figure


def test_figures_leave_pyplot_alone():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    learning_curves([{"step": 0, "loss": 1.0}])
    assert plt.get_fignums() == before


def test_a_picture_is_a_png_and_makes_its_folder(tmp_path):
    path = save_figure(new_figure(2, 1), tmp_path / "a" / "b.png")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"saved as \.png; got 'b\.svg'"):
        save_figure(new_figure(2, 1), tmp_path / "b.svg")


def test_a_failed_write_leaves_the_old_picture_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = new_figure(2, 1)

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(OSError, match="No space"):
        save_figure(figure, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "snnjax\[viz\]"'):
        require_matplotlib()
    with pytest.raises(ImportError, match=r"snnjax\[viz\]"):
        learning_curves([{"step": 0, "loss": 1.0}])


def test_importing_viz_does_not_import_matplotlib():
    code = "import sys, snnjax.viz; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
