"""The confusion matrix, readable for two classes as for forty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnjax.viz.style import BLACK, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw counts of (true, predicted), shaded by the share of the true class.

    Every cell that is not zero carries its count; the recall of each class stands at the right.

    Args:
      confusion: int [K, K], row = true class, as `snnjax.metrics.confusion_matrix` returns it.
      class_names: K names.
    """
    confusion = np.asarray(confusion)
    k = len(class_names)
    if confusion.shape != (k, k):
        raise ValueError(f"confusion must be [{k}, {k}] for {k} names; got {confusion.shape}.")
    support = confusion.sum(axis=1)
    share = confusion / np.maximum(support, 1)[:, None]
    size = 2.2 + max(0.27 * k, 3.0)
    figure = new_figure(size + 0.9, size)
    ax = figure.add_subplot()
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    correct, total = int(np.trace(confusion)), int(confusion.sum())
    title = f"{correct} of {total} correct ({correct / max(total, 1):.1%})"
    tidy(ax, title=title, xlabel="predicted", ylabel="true")
    _label_axes(ax, class_names, support, np.diagonal(share))
    _write_counts(ax, confusion, share, fontsize=9 if k <= 16 else 7)
    return figure


def worst_confusions(
    confusion: np.ndarray, class_names: Sequence[str], limit: int = 5
) -> list[tuple[str, str, int]]:
    """The most frequent mistakes as (true, predicted, count), largest first.

    >>> worst_confusions(np.array([[5, 2], [1, 5]]), ["cone", "pyramid"])
    [('cone', 'pyramid', 2), ('pyramid', 'cone', 1)]
    """
    wrong = np.array(confusion)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    cells = [divmod(int(i), len(class_names)) for i in order]
    return [(class_names[i], class_names[j], int(wrong[i, j])) for i, j in cells if wrong[i, j]]


def _label_axes(ax: Axes, names: Sequence[str], support: np.ndarray, recall: np.ndarray) -> None:
    k = len(names)
    small = 10 if k <= 16 else 8
    ax.set_xticks(range(k), names, rotation=90 if k > 6 else 0, fontsize=small)
    ax.set_yticks(range(k), names, fontsize=small)
    ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#E4E4E4", linewidth=0.5)
    ax.tick_params(which="both", length=0)
    for i, (value, seen) in enumerate(zip(recall, support, strict=True)):
        text = f"{value:.0%}" if seen else "none seen"
        ax.annotate(
            text, (1.0, i), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=small, color=BLACK,
        )  # fmt: skip
    ax.annotate(
        "recall", (1.0, 1.0), xycoords="axes fraction", xytext=(5, 4),
        textcoords="offset points", fontsize=small, color=BLACK,
    )  # fmt: skip


def _write_counts(ax: Axes, confusion: np.ndarray, share: np.ndarray, fontsize: int) -> None:
    for i, j in np.argwhere(confusion > 0):
        colour = "white" if share[i, j] > 0.55 else BLACK
        ax.text(
            j, i, f"{confusion[i, j]}", ha="center", va="center", fontsize=fontsize, color=colour
        )
