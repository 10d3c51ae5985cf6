"""Figures of learned delays and of their effect on the spikes that a neuron receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jax import Array

from snnjax.delays import clamp_occupancy, round_delay
from snnjax.viz.style import BLACK, BLUE, GREY, PALETTE, SKY, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Arrivals(NamedTuple):
    """The spikes sent to one neuron, with two sets of delays to compare.

    Attributes:
      name: name of the neuron, or of what it detects.
      spikes: [T, I], as they are sent.
      before, after: [I], the delays of the neuron's synapses.
    """

    name: str
    spikes: np.ndarray | Array
    before: np.ndarray | Array
    after: np.ndarray | Array


def delay_histograms(
    before: Mapping[str, np.ndarray | Array],
    after: Mapping[str, np.ndarray | Array],
    max_delay: int,
) -> Figure:
    """One panel per layer: the share of its delays on each step, before and after learning.

    Delays are rounded as in evaluation, so that a uniform draw has half as many on the first and
    on the last step. The title has the share at 0 and at max_delay, before and after.

    Args:
      before, after: layer -> delays of any shape, in the same order; for instance of
        `snnjax.nn.learned_delays`. max_delay: the longest delay.
    """
    if not before or list(before) != list(after):
        raise ValueError(
            "before and after must name the same layers, at least one; got "
            f"{list(before)} and {list(after)}."
        )
    figure = new_figure(1.2 + 3.0 * len(before), 3.0)
    axes = figure.subplots(1, len(before), sharey=True, squeeze=False)[0]
    edges = np.arange(max_delay + 2) - 0.5
    for ax, name in zip(axes, before, strict=True):
        drawn, learned = _delays(before[name]), _delays(after[name])
        ax.stairs(_shares(learned, max_delay), edges, fill=True, color=SKY, label="learned")
        ax.stairs(_shares(drawn, max_delay), edges, color=BLACK, linewidth=1.3, label="as drawn")
        ends = [100 * float(clamp_occupancy(delay, max_delay)) for delay in (drawn, learned)]
        tidy(ax, title=name, xlabel="delay (steps)", grid="y")
        ax.set_title(f"at the ends {ends[0]:.0f} % → {ends[1]:.0f} %", loc="right", fontsize=9)
        ax.set_xlim(edges[0], edges[-1])
    axes[0].set_ylabel("share of synapses", fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(  # next to the panels, clear of the bars
        handles, labels, loc="outside right upper", fontsize=9, frameon=False, handlelength=1.4
    )
    return figure


def aligned_raster(rows: Sequence[Arrivals]) -> Figure:
    """Spikes as they are sent, and as they arrive with the delays before and after learning.

    One row per neuron and one mark per spike, in the colour of its input if there are few; the
    shade behind them counts the spikes of each step. Delays are rounded.

    Args:
      rows: the neurons, each with the spikes of one sample.
    """
    if not rows:
        raise ValueError("rows is empty; give at least one neuron's Arrivals.")
    columns = ("sent", "arriving, initial delays", "arriving, learned delays")
    events = [_events(row) for row in rows]
    height = sum(0.5 + 0.05 * max(row.spikes.shape[1], 8) for row in rows)
    figure = new_figure(9.4, 0.7 + height)
    grid = figure.subplots(len(rows), 3, sharex=True, sharey="row", squeeze=False)
    for row, axes, (who, times) in zip(rows, grid, events, strict=True):
        most = max((np.bincount(at).max() for at in times if len(at)), default=1)
        for ax, at in zip(axes, times, strict=True):
            _draw_events(ax, who, at, row.spikes.shape[1], most)
            tidy(ax)
        axes[0].set_ylabel(row.name, fontsize=10)
    for ax, low, title in zip(grid[0], grid[-1], columns, strict=True):
        tidy(ax, title=title, ylabel=ax.get_ylabel())
        low.set_xlabel("step", fontsize=10)
    every = np.concatenate([at for _, times in events for at in times])
    if len(every):
        grid[0, 0].set_xlim(every.min() - 1.5, every.max() + 1.5)
    return figure


def _events(row: Arrivals) -> tuple[np.ndarray, list[np.ndarray]]:
    """The input of each spike, and its step as sent, with the delays before, and after."""
    spikes = np.asarray(row.spikes)
    if spikes.ndim != 2 or not np.shape(row.before) == np.shape(row.after) == spikes.shape[1:]:
        raise ValueError(
            f"a row needs spikes [T, I] of one sample and two sets of delays [I]; {row.name!r} has "
            f"{spikes.shape}, {np.shape(row.before)} and {np.shape(row.after)}."
        )
    at, who = np.nonzero(spikes)
    delays = [np.rint(_delays(delay)).astype(int) for delay in (row.before, row.after)]
    return who, [at, *(at + delay[who] for delay in delays)]


def _draw_events(ax: Axes, who: np.ndarray, at: np.ndarray, inputs: int, most: int) -> None:
    """Marks at (step, input), over the count of each step as a share of `most`."""
    counts = np.bincount(at) if len(at) else np.zeros(1, int)
    edges = np.arange(len(counts) + 1) - 0.5
    ax.stairs(inputs * counts / most - 0.5, edges, baseline=-0.5, fill=True, color="#DCEAF4")
    few = inputs <= len(PALETTE)
    colours = [PALETTE[i] for i in who] if few else BLUE
    size = float(np.clip(140 / inputs, 3, 14))
    ax.scatter(at, who, s=size**2, marker="|", c=colours, linewidths=2.0 if few else 1.2)
    ax.set_ylim(-0.5, inputs - 0.5)
    ax.set_yticks(range(inputs) if few else [0, inputs - 1])
    ax.tick_params(axis="y", colors=GREY)


def _shares(delay: np.ndarray, max_delay: int) -> np.ndarray:
    """The share of the delays on each of the steps 0 .. max_delay."""
    rounded = np.asarray(round_delay(delay, max_delay), int)
    return np.bincount(rounded.ravel(), minlength=max_delay + 1) / rounded.size


def _delays(delay: np.ndarray | Array) -> np.ndarray:
    delay = np.asarray(delay, np.float32)
    if not delay.size or not np.isfinite(delay).all() or delay.min() < 0:
        raise ValueError(
            f"delays must be numbers of at least 0; got shape {delay.shape} with "
            f"{np.sum(~np.isfinite(delay))} not finite and {np.sum(delay < 0)} negative."
        )
    return delay
