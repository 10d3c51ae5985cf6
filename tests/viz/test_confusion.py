"""The confusion matrix carries its counts at any size."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.viz import confusion_figure, worst_confusions


@pytest.mark.parametrize("k", [2, 10, 40])
def test_every_count_stands_in_its_cell_and_fits(k):
    rng = np.random.default_rng(k)
    counts = rng.integers(0, 2, (k, k)) + np.diag(rng.integers(1, 90, k))
    figure = confusion_figure(counts, [f"class {i}" for i in range(k)])
    (ax,) = figure.axes
    drawn = {
        (t.get_position()[::-1]): int(t.get_text()) for t in ax.texts if t.get_text().isdigit()
    }
    assert drawn == {(i, j): int(counts[i, j]) for i, j in np.argwhere(counts)}
    figure.canvas.draw()
    cell = ax.get_window_extent().width / k
    widths = [t.get_window_extent().width for t in ax.texts if t.get_text().isdigit()]
    assert max(widths) < cell
    assert [t.get_text() for t in ax.get_xticklabels()] == [f"class {i}" for i in range(k)]


def test_the_title_and_recall_say_how_many_were_right():
    figure = confusion_figure(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), ["a", "b", "c"])
    (ax,) = figure.axes
    assert ax.get_title("left") == "5 of 6 correct (83.3%)"
    texts = [t.get_text() for t in ax.texts]
    assert "75%" in texts
    assert "100%" in texts
    assert "none seen" in texts


def test_worst_confusions_are_sorted_and_exclude_the_diagonal():
    counts = np.array([[9, 0, 3], [7, 9, 0], [0, 1, 9]])
    assert worst_confusions(counts, "abc", limit=2) == [("b", "a", 7), ("a", "c", 3)]
    assert worst_confusions(np.diag([1, 2]), "ab") == []


def test_a_matrix_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"\[2, 2\] for 2 names; got \(3, 3\)"):
        confusion_figure(np.zeros((3, 3), int), ["a", "b"])
