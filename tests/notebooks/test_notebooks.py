"""Notebooks are stored without outputs, run from top to bottom, and show what they promise."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"clear the outputs of {path.name} before committing it"
        assert cell.get("execution_count") is None


def run(name: str, cache: Path) -> tuple[str, int]:
    """The outputs of an executed notebook: printed text, and the number of pictures."""
    client = pytest.importorskip("nbclient", reason="nbclient is in the dev group")
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    quiet = {**os.environ, "PYTHONPATH": search, "XLA_FLAGS": ""}
    quiet["XDG_CACHE_HOME"] = str(cache)  # compiled programs, which `fit` keeps for the user
    quiet.pop("MPLBACKEND", None)  # the kernel's own, which shows figures inline
    runner = client.NotebookClient(notebook, timeout=240, kernel_name="python3")
    runner.execute(cwd=str(ROOT / "notebooks"), env=quiet)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    text = "".join(out.text for out in outputs if out.output_type == "stream")
    pictures = sum("image/png" in out.get("data", {}) for out in outputs)
    return text, pictures


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return run("spiking_classifier", tmp_path_factory.mktemp("cache"))


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, f"'{pattern}' is not in the notebook's output:\n{text}"
    return float(found.group(1).replace(",", ""))


def test_the_classifier_learns_what_counting_cannot(classifier):
    text, _ = classifier
    assert _number(r"test accuracy ([\d.]+) after", text) > 0.85
    assert _number(r"by counting ([\d.]+),", text) < 0.35


def test_every_choice_of_surrogate_and_neuron_learns(classifier):
    text, _ = classifier
    scores = [float(x) for x in re.findall(r"LIF, \S+.* accuracy ([\d.]+),", text)]
    assert len(scores) == 3
    assert min(scores) > 0.8


def test_energy_and_the_silent_layer_are_shown(classifier):
    text, pictures = classifier
    assert _number(r"([\d,]+) additions", text) < _number(r"([\d,]+) multiply-adds", text)
    assert "layer 'fc2' is silent: 0.0 %" in text
    assert pictures == 8


def test_delays_alone_solve_what_is_chance_without_learning(tmp_path):
    text, pictures = run("learnable_delays", tmp_path)
    assert _number(r"before ([\d.]+), chance 0.25", text) <= 0.5
    assert _number(r"accuracy ([\d.]+) after", text) >= 0.99
    assert _number(r"as trained ([\d.]+)", text) < 0.9  # smeared spikes miss the threshold
    assert re.findall(r"lag ([+-]\d): delays differ by ([+-]\d)", text) == [
        (lag, lag) for lag in ("-9", "-3", "+3", "+9")
    ]
    for width in ("narrow", "wide"):
        assert _number(rf"always {width}: accuracy ([\d.]+)", text) < 0.8
    assert pictures == 3
