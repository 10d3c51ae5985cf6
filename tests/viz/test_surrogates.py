"""The gallery of surrogates shows each one's own spike, derivative and primitive."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import surrogate_figure
from snnjax.surrogates import SURROGATES, atan, custom, squarewave_fourier
from snnjax.viz import surrogate_gallery


def _lines(ax) -> dict:
    return {line.get_label(): np.asarray(line.get_data(), float) for line in ax.get_lines()}


def test_a_panel_holds_the_three_curves():
    figure = surrogate_gallery({"narrow": atan}, span=2.0)
    panel, legend = figure.axes[:2]
    lines = _lines(panel)
    x, y = lines["spike"]
    assert (x.min(), x.max()) == (-2.0, 2.0)
    np.testing.assert_array_equal(y, x >= 0)
    np.testing.assert_allclose(
        lines["derivative g / peak"][1], 1 / (1 + (np.pi * x) ** 2), atol=1e-5
    )
    np.testing.assert_allclose(
        lines["primitive P"][1], np.arctan(np.pi * x) / np.pi + 0.5, atol=1e-5
    )
    assert (panel.get_title("left"), panel.get_xlabel()) == ("narrow", "peak 1")
    assert [text.get_text() for text in legend.get_legend().get_texts()] == list(lines)


def test_without_a_primitive_there_are_two_curves_and_still_three_in_the_legend():
    figure = surrogate_gallery({"own": custom(lambda x: 0.5 / (1.0 + x**2))}, columns=2)
    panel, legend = figure.axes
    assert list(_lines(panel)) == ["spike", "derivative g / peak"]
    assert panel.get_xlabel() == "peak 0.5"
    assert len(legend.get_legend().get_texts()) == 3


def test_what_is_negative_is_inside_the_panel():
    panel = surrogate_gallery({"fourier": squarewave_fourier}).axes[0]
    g = _lines(panel)["derivative g / peak"][1]
    assert panel.get_ylim()[0] < g.min() < -0.9
    filled = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert filled.min() == pytest.approx(g.min())
    assert filled.max() == 0


def test_the_script_draws_all_of_them(tmp_path, capsys, monkeypatch):
    kept = []
    monkeypatch.setattr(
        surrogate_figure, "save_figure", lambda figure, path, dpi: kept.append(figure) or path
    )
    surrogate_figure.main(["--out", str(tmp_path / "all.png"), "--span", "3"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "all.png")
    titles = [ax.get_title("left") for ax in kept[0].axes]
    assert titles[: len(SURROGATES)] == list(SURROGATES)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="surrogates is empty"):
        surrogate_gallery({})
