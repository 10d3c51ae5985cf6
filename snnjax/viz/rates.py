"""Firing rates of the layers as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnjax.metrics import RATE_BAND, LayerRate
from snnjax.viz.style import BLACK, BLUE, GREY, VERMILION, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def firing_rate_bars(
    rates: Sequence[LayerRate], *, band: tuple[float, float] = RATE_BAND
) -> Figure:
    """One bar per layer, first layer on top, over the band in which a layer is healthy.

    A layer in alarm is vermilion and labelled "silent" or "saturated".

    Args:
      rates: as `snnjax.metrics.firing_rates` returns them.
      band: the range of healthy non-zero fractions used there.
    """
    if not rates:
        raise ValueError("rates is empty; the network has no layer with spiking input.")
    figure = new_figure(8.4, 1.5 + 0.27 * len(rates))
    ax = figure.add_subplot()
    ax.axvspan(*band, color="#E8F1F7", zorder=0)
    for edge in band:
        ax.axvline(edge, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
    colours = [VERMILION if row.alarm else BLUE for row in rates]
    places = range(len(rates))
    ax.barh(places, [row.rate for row in rates], color=colours, height=0.68, zorder=2)
    for i, row in enumerate(rates):
        text = f"{row.rate:.3f}   mean count {row.mean_count:.2f}   {row.alarm}"
        ax.annotate(
            text, (1.0, i), xycoords=("axes fraction", "data"), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize=9,
            color=VERMILION if row.alarm else BLACK,
        )  # fmt: skip
    ax.set_yticks(places, [row.name for row in rates])
    ax.set_ylim(len(rates) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    title = f"Firing rate by layer (healthy between {band[0]:g} and {band[1]:g})"
    tidy(ax, title=title, xlabel="fraction of input entries that are not zero")
    ax.tick_params(axis="y", length=0)
    return figure
