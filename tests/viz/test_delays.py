"""Histograms hold every delay, and rasters show each spike where it arrives."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.viz import Arrivals, aligned_raster, delay_histograms

rng = np.random.default_rng(0)
BEFORE = {"first": rng.uniform(0, 4, (6, 5, 1)), "second": rng.uniform(0, 4, (5, 3, 1))}
AFTER = {"first": np.full((6, 5, 1), 2.4), "second": np.zeros((5, 3, 1))}


def test_histograms_are_the_shares_of_rounded_delays():
    figure = delay_histograms(BEFORE, AFTER, 4)
    assert [ax.get_title("left") for ax in figure.axes] == list(BEFORE)
    for ax, name in zip(figure.axes, BEFORE, strict=True):
        learned, drawn = (patch.get_data().values for patch in ax.patches)
        for shares, delay in ((learned, AFTER[name]), (drawn, BEFORE[name])):
            want = [(np.rint(delay) == step).mean() for step in range(5)]
            np.testing.assert_allclose(shares, want)
    ends = np.mean((BEFORE["second"] <= 0.5) | (BEFORE["second"] >= 3.5))
    assert figure.axes[1].get_title("right") == f"at the ends {100 * ends:.0f} % → 100 %"


def test_spikes_stand_where_they_are_sent_and_arrive():
    spikes = np.zeros((9, 3))
    spikes[[1, 2, 5], [0, 2, 2]] = 1
    row = Arrivals("lag", spikes, np.array([0.0, 1.0, 3.4]), np.array([4.2, 0.0, 3.0]))
    sent, drawn, learned = aligned_raster([row, row._replace(name="other")]).axes[:3]
    for ax, want in (
        (sent, {(1, 0), (2, 2), (5, 2)}),
        (drawn, {(1, 0), (5, 2), (8, 2)}),
        (learned, {(5, 0), (5, 2), (8, 2)}),
    ):
        assert {tuple(map(int, p)) for p in ax.collections[0].get_offsets()} == want
    assert learned.patches[0].get_data().values[5] == 2.5  # two of two at one step: full height
    assert sent.patches[0].get_data().values[5] == 1.0
    assert sent.get_ylabel() == "lag"


def test_a_silent_row_is_drawn():
    row = Arrivals("none", np.zeros((4, 9)), np.ones(9), np.ones(9))
    figure = aligned_raster([row])
    figure.canvas.draw()
    assert all(len(ax.collections[0].get_offsets()) == 0 for ax in figure.axes)


def test_errors_name_what_is_needed():
    with pytest.raises(ValueError, match=r"same layers.*\['first', 'second'\] and \[\]"):
        delay_histograms(BEFORE, {}, 4)
    with pytest.raises(ValueError, match="1 not finite and 1 negative"):
        delay_histograms({"a": [1.0]}, {"a": [np.nan, -1.0]}, 4)  # pyright: ignore
    with pytest.raises(ValueError, match="rows is empty"):
        aligned_raster([])
    with pytest.raises(ValueError, match=r"'x' has \(4, 2\), \(3,\) and \(2,\)"):
        aligned_raster([Arrivals("x", np.zeros((4, 2)), np.ones(3), np.ones(2))])


def test_the_legend_stands_where_no_bar_can_hide_it():
    figure = delay_histograms(BEFORE, AFTER, 4)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["learned", "as drawn"]
    box = legend.get_window_extent()
    assert all(not box.overlaps(ax.get_window_extent()) for ax in figure.axes)
