"""Learning curves from the rows of a metrics file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnjax.viz.style import PALETTE, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = dict[str, tuple[np.ndarray, np.ndarray]]


def learning_curves(rows: Sequence[Mapping[str, Any]], *, score: str = "accuracy") -> Figure:
    """Loss, score and learning rate over training, one panel for each that was recorded.

    Every numeric key that contains "loss", the score or "learning_rate" becomes a curve, drawn
    against "step" (or "epoch" where no row has a step). A row with a "split" gives its name to
    its keys. Values that are null or not finite leave a gap and are counted in the legend. Curves
    of more than 60 points are drawn faint under their running mean, except for the learning rate,
    which has no noise to average out.

    Args:
      rows: dictionaries as read from `metrics.jsonl`; other keys are ignored.
      score: name of the score that is drawn with the loss.

    Raises:
      ValueError: no row holds such a key.
    """
    x_name = "step" if any("step" in row for row in rows) else "epoch"
    words = dict.fromkeys(("loss", score, "learning_rate"))
    panels = [(word.replace("_", " "), _collect(rows, x_name, word)) for word in words]
    panels = [(title, series) for title, series in panels if series]
    if not panels:
        raise ValueError(
            f"no row has a number under a key with 'loss' or {score!r} and a '{x_name}'; "
            f"got keys {sorted({key for row in rows for key in row})}."
        )
    figure = new_figure(4.6 * len(panels) + 0.4, 3.6)
    for i, (title, series) in enumerate(panels):
        ax = figure.add_subplot(1, len(panels), i + 1)
        _draw(ax, series, smooth=title != "learning rate")
        tidy(ax, title=title.capitalize(), xlabel=x_name, grid="y")
        if title == "accuracy":
            _zoom_to_accuracy(ax, series)
    return figure


def _collect(rows: Sequence[Mapping[str, Any]], x_name: str, word: str) -> Series:
    points: dict[str, list[tuple[float, float | None]]] = {}
    for row in rows:
        if not _is_number(row.get(x_name)):
            continue
        for key, value in row.items():
            if word in key and (value is None or _is_number(value)):
                name = f"{row['split']} {key}" if "split" in row else key
                points.setdefault(name.replace("_", " "), []).append((row[x_name], value))
    return {
        name: (np.array(p, float)[:, 0], np.array(p, float)[:, 1]) for name, p in points.items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _draw(ax: Axes, series: Series, *, smooth: bool) -> None:
    for i, (name, (x, y)) in enumerate(series.items()):
        colour, lost = PALETTE[i % len(PALETTE)], int((~np.isfinite(y)).sum())
        label = name + (f" ({lost} not finite)" if lost else "")
        if "accuracy" in name and len(x) <= 60 and lost < len(y):
            label += f" (best {np.nanmax(np.where(np.isfinite(y), y, np.nan)):.3f})"
        if smooth and len(x) > 60:
            ax.plot(x, y, color=colour, linewidth=0.7, alpha=0.3)
            ax.plot(x, _running_mean(y, len(x) // 30), color=colour, linewidth=1.8, label=label)
        else:
            marker = "o" if len(x) <= 30 else None
            ax.plot(x, y, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
    ax.margins(x=0.03)
    ax.legend(fontsize=9, frameon=False)


def _running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """Centred mean over `width` neighbours, fewer at the ends; a gap stays a gap."""
    finite, kernel = np.isfinite(y), np.ones(width)
    total = np.convolve(np.where(finite, y, 0.0), kernel, "same")
    count = np.convolve(finite.astype(float), kernel, "same")
    return np.where(finite, total / np.maximum(count, 1), np.nan)


def _zoom_to_accuracy(ax: Axes, series: Series) -> None:
    values = np.concatenate([y[np.isfinite(y)] for _, y in series.values()])
    if values.size and values.max() <= 1:
        ax.set_ylim(max(0.0, math.floor(10 * values.min()) / 10), 1.01)
