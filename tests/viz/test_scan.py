"""Pictures of scans: places, colours, boxes and bars say what the arrays hold."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.viz import box_figure, class_colours, iou_bars, precision_recall, segmentation_figure
from snnjax.viz.scan import RIGHT, WRONG, Camera

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb

POINTS = np.array([[10.0, 2, -1, 0.5], [20, -5, 0, 0.1], [5, 0, 1, 0.9], [-4, 1, 0, 0]])
NAMES = ("road", "car", "person")


def test_the_camera_looks_ahead_from_behind():
    flat, depth = Camera().project(np.array([[10.0, 0, 0], [10, 3, 0], [10, 0, 2], [30, 0, 0]]))
    assert flat[1, 0] < flat[0, 0]  # y is to the left
    assert flat[2, 1] > flat[0, 1]  # z is up
    assert depth[3] > depth[0] > 0


def test_colours_are_those_of_the_classes_and_grey_for_none():
    colours = class_colours(np.array([1, -1, 0]), ((255, 0, 0), (0, 0, 255)))
    np.testing.assert_allclose(colours[0], (0, 0, 1))
    np.testing.assert_allclose(colours[2], (1, 0, 0))
    assert np.ptp(colours[1]) == 0
    assert class_colours(np.array([0, 1])).shape == (2, 3)


def test_a_prediction_is_drawn_from_above_and_in_perspective():
    figure = segmentation_figure(POINTS, np.array([0, 1, 2, -1]), NAMES)
    above, ahead = figure.axes
    offsets = np.asarray(above.collections[0].get_offsets())
    assert {tuple(row) for row in offsets} == {(-y, x) for x, y in POINTS[:, :2]}
    assert len(ahead.collections[0].get_offsets()) >= 2
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == list(NAMES)


def test_errors_have_their_own_colour():
    label = np.array([0, 0, 2, -1])
    figure = segmentation_figure(POINTS, np.array([0, 1, 2, 0]), NAMES, label=label)
    assert len(figure.axes) == 6
    points = figure.axes[4].collections[0]
    at = {
        tuple(o): tuple(c[:3])
        for o, c in zip(points.get_offsets(), points.get_facecolors(), strict=True)
    }
    assert at[-2, 10] == pytest.approx(to_rgb(RIGHT))
    assert at[5, 20] == pytest.approx(to_rgb(WRONG))
    assert at[-1, -4] not in (to_rgb(RIGHT), to_rgb(WRONG))


def test_boxes_are_outlined_where_they_are():
    box = np.array([[12.0, 3, -1, 4, 2, 1.5, np.pi / 2]])
    figure = box_figure(POINTS, box, ["car 0.9"], truth=box)
    above, ahead = figure.axes
    outlines = [line for line in above.lines if len(line.get_xdata()) == 5]
    assert len(outlines) == 2  # the label and the prediction
    x, y = outlines[-1].get_ydata(), -np.asarray(outlines[-1].get_xdata())
    assert (min(x), max(x)) == pytest.approx((11, 13))  # the length lies along y
    assert (min(y), max(y)) == pytest.approx((1, 5))
    assert len(ahead.lines) == 24
    assert [text.get_text() for text in above.texts] == ["car 0.9"]


def test_no_boxes_and_no_points():
    figure = box_figure(np.zeros((0, 3)), np.zeros((0, 7)))
    assert not figure.axes[0].lines
    assert segmentation_figure(np.zeros((0, 4)), np.zeros(0, int), NAMES).axes


def test_bars_are_sorted_and_leave_out_absent_classes():
    ax = iou_bars(np.array([0.2, np.nan, 0.9]), NAMES).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.2]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["person", "road"]
    assert ax.get_title(loc="left") == "mean 55.0 %"


def test_a_curve_for_each_overlap():
    recall = np.array([0.1, 0.5])
    curves = [("3-D", recall, 1 - recall), ("above", recall, recall)]
    ax = precision_recall(curves, "Car, 9 objects").axes[0]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), recall)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["3-D", "above"]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: segmentation_figure(POINTS, np.zeros(3, int), NAMES), "one integer for each of 4"),
        (lambda: segmentation_figure(POINTS, np.zeros(4), NAMES), "float64"),
        (lambda: box_figure(np.full((1, 3), np.nan), np.zeros((0, 7))), "points must be finite"),
        (lambda: box_figure(POINTS, np.ones((2, 7)), ["one"]), "one for each of 2 boxes"),
        (lambda: iou_bars(np.zeros(2), NAMES), "one number for each of 3 names"),
    ],
)
def test_wrong_arrays_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
