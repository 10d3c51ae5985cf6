"""All surrogates side by side: the spike, the derivative of the backward pass, the primitive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.surrogates import SURROGATES, Spike, soft
from snnjax.viz.style import BLUE, GREY, VERMILION, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def surrogate_gallery(
    surrogates: Mapping[str, Spike] = SURROGATES, *, span: float = 4.0, columns: int = 6
) -> Figure:
    """A panel for each surrogate: the spike, its derivative g and its primitive P.

    g is drawn divided by its peak, which is written below it, and filled where it is negative. P is
    omitted if undefined.

    Args:
      surrogates: name -> spike function of `v - threshold`, elementwise; all of them by default.
      span: the functions are drawn on [-span, span].
      columns: panels in a row.
    """
    if not surrogates:
        raise ValueError("surrogates is empty; give at least one name -> spike function.")
    rows = -(-(len(surrogates) + 1) // columns)  # the last panel is the legend
    figure = new_figure(2.2 * columns, 1.75 * rows + 0.2)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    x = jnp.linspace(-span, span, 601)
    for ax, (name, spike) in zip(grid, surrogates.items(), strict=False):
        _draw(ax, name, spike, x)
    for ax in grid[len(surrogates) :]:
        ax.axis("off")
    handles, labels = _legend(grid[0])
    grid[len(surrogates)].legend(handles, labels, fontsize=9, frameon=False, loc="center")
    return figure


def _draw(ax: Axes, name: str, spike: Spike, x: jax.Array) -> None:
    y, g = map(np.asarray, jax.jvp(spike, (x,), (jnp.ones_like(x),)))
    peak = float(np.abs(g).max())
    shape = g / peak if peak else g
    ax.plot(x, y, color=GREY, linewidth=1.2, label="spike")
    ax.plot(x, shape, color=BLUE, linewidth=1.8, label="derivative g / peak")
    ax.fill_between(x, np.minimum(shape, 0), color=VERMILION, alpha=0.3, linewidth=0)
    try:
        primitive = soft(spike)(x)
    except ValueError:
        primitive = None
    low, high = min(y.min(), shape.min()), max(y.max(), 1)
    if primitive is not None:
        ax.plot(x, primitive, color=VERMILION, linewidth=1.2, linestyle="--", label="primitive P")
    ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    tidy(ax, grid="y")
    ax.set_title(name, loc="left", fontsize=9, fontweight="bold")
    ax.set_xlabel(f"peak {peak:.3g}", fontsize=8, labelpad=1)
    ax.tick_params(labelsize=7)


def _legend(ax: Axes) -> tuple[list, list[str]]:
    """One legend entry per kind of line, including the primitive if the first panel lacks it."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    if "primitive P" not in labels:
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.2, linestyle="--"))
        labels.append("primitive P")
    return handles, labels
