"""The bars are the rates, in network order, and alarms stand out."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from snnjax.metrics import LayerRate
from snnjax.viz import firing_rate_bars
from snnjax.viz.style import BLUE, VERMILION

RATES = (
    LayerRate("stem", 0.31, 0.4, 100, ""),
    LayerRate("block", 0.001, 0.0, 100, "silent"),
    LayerRate("head", 0.9, 3.0, 100, "saturated"),
)


def test_bars_show_rates_top_down_and_mark_alarms():
    (ax,) = firing_rate_bars(RATES).axes
    bars = sorted(ax.containers[0], key=lambda bar: bar.get_y())
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # y grows downwards: the first layer is on top
    assert [bar.get_width() for bar in bars] == [0.31, 0.001, 0.9]
    colours = [to_hex(bar.get_facecolor()).upper() for bar in bars]
    assert colours == [BLUE, VERMILION, VERMILION]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["stem", "block", "head"]
    assert ax.texts[1].get_text() == "0.001   mean count 0.00   silent"


def test_text_stays_on_the_page():
    figure = firing_rate_bars([r._replace(name="stage4.block1.conv_2.long") for r in RATES] * 10)
    figure.canvas.draw()
    (ax,) = figure.axes
    boxes = [t.get_window_extent() for t in [*ax.texts, *ax.get_yticklabels()]]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.width


def test_a_network_without_spikes_has_no_bars():
    with pytest.raises(ValueError, match="no layer with spiking input"):
        firing_rate_bars([])
