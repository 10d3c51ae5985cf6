"""The report holds its pictures, shows both energies, and escapes what it is given."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from snnjax.metrics import LayerRate
from snnjax.viz import CloudLevel, Picture, Table, confusion_figure, voxel_cloud, write_report
from snnjax.viz.html import energy_bars, show

EVIL = '<script>alert("x")</script>'
SUMMARY = {
    "test_accuracy": 0.875,
    "seconds": 12.5,
    "parameters": 1_874_216,
    "energy_mj": 0.05,
    "ann_energy_mj": 0.2,
    "note": EVIL,
}
RATES = (LayerRate(EVIL, 0.9, 3.0, 10, "saturated"), LayerRate("ok", 0.3, 0.4, 10, ""))


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a run & <more>"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"name": EVIL, "seed": 7}))
    rows = [{"step": s, "loss": 1.0 / (1 + s)} for s in range(4)]
    level = CloudLevel(EVIL, np.array([[0, 0, 0], [1, 1, 1]]), np.array([0, 2]))
    counts = np.array([[3, 1], [0, 2]])
    shown = (
        Picture("sample", EVIL, voxel_cloud([level])),
        Picture("confusion", "Confusion", confusion_figure(counts, [EVIL, "cone"])),
        Table("Mistakes", ("true", "predicted"), ((EVIL, "cone"),)),
    )
    return write_report(folder, SUMMARY, rows, shown, RATES, notes=("Labels are smoothed.",))


def test_the_page_needs_no_other_file(report):
    page = _Page(report.read_text())
    assert page.open == []
    names = ["learning_curves", "sample", "confusion", "firing_rates"]
    for name, link in zip(names, page.images, strict=True):
        png = (report.parent / "pictures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert link == "data:image/png;base64," + base64.b64encode(png).decode()
    left = sorted(p.name for p in report.parent.rglob("*") if p.is_file())
    assert left == sorted([*(f"{name}.png" for name in names), "config.json", "report.html"])
    assert "Learning curves. Labels are smoothed." in report.read_text()


def test_nothing_that_was_given_becomes_markup(report):
    text = report.read_text()
    assert "script" not in _Page(text).tags
    assert text.count("&lt;script&gt;") >= 4  # summary, class, layer, alarm, configuration
    assert "&quot;seed&quot;: 7" in text


def test_numbers_and_the_twin_stand_in_the_page(report):
    text = report.read_text()
    for piece in ("87.50 %", "1,874,216", "0.05 mJ", "0.2 mJ", "4.0 times less", "is saturated"):
        assert piece in text
    widths = [float(w) for w in re.findall(r"width:([\d.]+)rem;background", text)]
    assert widths[0] / widths[1] == pytest.approx(0.25)


def test_a_run_without_spikes_and_curves_still_has_a_report(tmp_path):
    path = write_report(tmp_path, {"test_mse": 0.5, "best_test_mse": 0.25}, [], (), ())
    text = path.read_text()
    assert _Page(text).images == []
    assert "No layer of this network receives spikes" in text
    assert "No energy was counted" in text
    assert "<b>0.5</b><span>test mse</span>" in text
    assert "<b>0.25</b><span>best test mse</span>" in text


def test_energy_above_the_twins_is_said_so():
    assert "2.0 times more" in energy_bars({"energy_mj": 0.4, "ann_energy_mj": 0.2})


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.31, "firing_rate", "31.00 %"),
        (1.23e8, "synops", "123,000,000"),
        (212.24, "seconds", "212.2"),
        (float("nan"), "energy_mj", "nan"),
        (True, "resumed", "True"),
        ("x", "", "x"),
    ],
)
def test_numbers_are_shown_as_a_reader_wants_them(value, name, text):
    assert show(value, name) == text
