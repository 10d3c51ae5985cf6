"""Common parts of all figures: creation without global state, a palette, and safe saving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008: distinct under every common colour blindness.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#222222", "#8A8A8A"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)


def require_matplotlib() -> None:
    """Raise an ImportError that names the extra if pictures cannot be drawn here."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "snnjax.viz draws with matplotlib, which is not installed. "
            'Install the extra: pip install "snnjax[viz]"'
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches, owned by the caller.

    It is not registered with pyplot: nothing to close, no window, safe in threads.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(ax: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "", grid: str = "") -> None:
    """Give `ax` the look of all pictures: no box, small ticks, a faint grid on `grid` axes."""
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", color=BLACK)
    ax.set_xlabel(xlabel, fontsize=10)
    ax.set_ylabel(ylabel, fontsize=10)
    ax.tick_params(labelsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if grid in ("x", "y", "both"):
        ax.grid(axis=grid, color="#DDDDDD", linewidth=0.7)
        ax.set_axisbelow(True)


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 140) -> Path:
    """Write `figure` as PNG atomically, creating the folder if necessary."""
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"pictures are saved as .png; got '{path.name}'.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(partial, format="png", dpi=dpi)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
