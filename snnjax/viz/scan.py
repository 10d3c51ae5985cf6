"""LiDAR scans: points coloured by class or value, from above and in perspective, with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snnjax.viz.style import BLACK, BLUE, PALETTE, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60_000
"""Points drawn in a panel; of more, an even selection."""

RIGHT, WRONG, UNKNOWN = "#BBBBBB", VERMILION, "#E8E8E8"
_EDGES = tuple(
    (a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1
)  # corners that differ in one sign


class Camera(NamedTuple):
    """A view in perspective from behind and above the sensor, which looks along +x.

    Attributes:
      back, up: of the eye, in metres behind and above the sensor.
      down: angle of the view below the horizon, in degrees.
      zoom: tangents of the view's half width that fit into the picture; smaller is closer.
    """

    back: float = 18.0
    up: float = 10.0
    down: float = 14.0
    zoom: float = 0.75

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Picture coordinates, right and up [..., 2], and the distance ahead of the eye [...]."""
        angle = np.deg2rad(self.down)
        moved = np.asarray(xyz, np.float64) - [-self.back, 0, self.up]
        ahead = np.cos(angle) * moved[..., 0] - np.sin(angle) * moved[..., 2]
        above = np.sin(angle) * moved[..., 0] + np.cos(angle) * moved[..., 2]
        depth = np.maximum(ahead, 0.1)[..., None]
        return np.stack([-moved[..., 1], above], -1) / depth, ahead


def class_colours(classes: np.ndarray, colours: Sequence[tuple[int, int, int]] = ()) -> np.ndarray:
    """A colour for each class number, [P, 3] in 0..1; light grey for -1.

    Args:
      classes: int [P]. colours: red, green and blue of each class in 0..255; empty takes a palette.
    """
    table = (
        np.array(colours, np.float64) / 255
        if len(colours)
        else _palette(int(classes.max(initial=0)) + 1)
    )
    grey = np.array([[0.91, 0.91, 0.91]])
    return np.concatenate([table, grey])[classes]


def segmentation_figure(
    points: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    *,
    label: np.ndarray | None = None,
    colours: Sequence[tuple[int, int, int]] = (),
) -> Figure:
    """The predicted classes of a scan; with labels, also these and the errors.

    Args:
      points: [P, >= 3], x forward, y left, z up, in metres.
      predicted: class of each point, int [P], -1 for none.
      class_names: K names. label: true class of each point, int [P], -1 ignored.
      colours: of the classes, in 0..255.
    """
    points, predicted = _checked(points, predicted=predicted)
    shown = {"prediction": class_colours(predicted, colours)}
    used = np.unique(predicted[predicted >= 0])
    if label is not None:
        (label,) = _checked(points, label=label)[1:]
        used = np.union1d(used, np.unique(label[label >= 0]))
        shown["labels"] = class_colours(label, colours)
        shown["errors"] = _errors(predicted, label)
    figure = new_figure(4.6 * max(len(shown), 1.6), 5.6)
    grid = figure.add_gridspec(2, len(shown), height_ratios=(1.0, 1.0))
    for column, (title, colour) in enumerate(shown.items()):
        _from_above(figure.add_subplot(grid[0, column]), points, colour, title)
        _in_perspective(figure.add_subplot(grid[1, column]), points, colour)
    shown_names = [
        (str(class_names[int(k)]), class_colours(np.array([k]), colours)[0]) for k in used
    ]
    if label is not None:
        shown_names += [("right", RIGHT), ("wrong", WRONG)]
    _legend(figure, shown_names)
    return figure


def box_figure(
    points: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str] = (),
    *,
    truth: np.ndarray | None = None,
) -> Figure:
    """Boxes in a scan, from above and in perspective; a line marks each heading.

    Args:
      points: [P, >= 3] in metres. boxes: [M, 7], centre, length, width, height, heading.
      names: a text for each box, such as its class and score.
      truth: labelled boxes, [L, 7], drawn in black.
    """
    points = _checked(points)[0]
    boxes = np.asarray(boxes, np.float64).reshape(-1, np.shape(boxes)[-1] if np.size(boxes) else 7)
    if len(names) not in (0, len(boxes)):
        raise ValueError(
            f"names must be empty or one for each of {len(boxes)} boxes; got {len(names)}."
        )
    colour = np.tile([[0.62, 0.62, 0.62]], (len(points), 1))
    figure = new_figure(10.5, 5.4)
    above, ahead = figure.subplots(1, 2)
    _from_above(above, points, colour, "from above", boxes)
    _in_perspective(ahead, points, colour, "in perspective")
    camera = Camera()
    groups = (
        [(np.asarray(truth, np.float64), "#222222", "labels")] if truth is not None else []
    ) + [(boxes, VERMILION, "prediction")]
    for group, ink, _ in groups:
        for box in group.reshape(-1, group.shape[-1] if group.size else 7):
            corners = _corners(box)
            low = corners[[0, 1, 3, 2, 0]]
            above.plot(-low[:, 1], low[:, 0], color=ink, linewidth=1.3)
            nose = np.stack(
                [box[:2], box[:2] + 0.7 * box[3] * np.array([np.cos(box[6]), np.sin(box[6])])]
            )
            above.plot(-nose[:, 1], nose[:, 0], color=ink, linewidth=1.3)
            flat, depth = camera.project(corners)
            if depth.min() > 1:
                for a, b in _EDGES:
                    ahead.plot(flat[[a, b], 0], flat[[a, b], 1], color=ink, linewidth=1.0)
    for text, box in zip(names, boxes, strict=False):
        above.annotate(
            text,
            (-box[1], box[0]),
            fontsize=7,
            color=BLACK,
            xytext=(4, 4),
            textcoords="offset points",
        )
    _legend(figure, [(name, ink) for _, ink, name in groups])
    return figure


def iou_bars(iou: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Intersection over union of each class as bars, the best first; those without are left out.

    Args:
      iou: in 0..1, [K], NaN for classes that do not occur. class_names: K names.
    """
    iou = np.asarray(iou, np.float64)
    if iou.shape != (len(class_names),):
        raise ValueError(
            f"iou must be one number for each of {len(class_names)} names; got {iou.shape}."
        )
    order = [k for k in np.argsort(-iou, kind="stable") if not np.isnan(iou[k])]
    figure = new_figure(6.4, 0.8 + 0.3 * max(len(order), 1))
    ax = figure.add_subplot()
    ax.barh(range(len(order)), iou[order], color=BLUE, height=0.72)
    for row, k in enumerate(order):
        ax.text(
            min(float(iou[k]) + 0.01, 1.0), row, f"{100 * iou[k]:.0f} %", va="center", fontsize=9
        )
    ax.set_yticks(range(len(order)), [str(class_names[int(k)]) for k in order])
    ax.set_xlim(0, 1.08)
    ax.invert_yaxis()
    _plain(ax, f"mean {100 * np.mean(iou[order]):.1f} %" if order else "no class occurs")
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    return figure


def precision_recall(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str = ""
) -> Figure:
    """Precision over recall, one line each.

    Args:
      curves: name, recall and precision, [N] each, recall rising. title: above the figure.
    """
    figure = new_figure(5.4, 4.4)
    ax = figure.add_subplot()
    for i, (name, recall, precision) in enumerate(curves):
        ax.step(
            recall,
            precision,
            where="pre",
            label=name,
            color=PALETTE[i % len(PALETTE)],
            linewidth=1.8,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    _plain(ax, title)
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    if curves:
        ax.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def _errors(predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
    from matplotlib.colors import to_rgb

    table = np.array([to_rgb(RIGHT), to_rgb(WRONG), to_rgb(UNKNOWN)])
    return table[np.where(label < 0, 2, predicted != label)]


def _from_above(
    ax: Axes,
    points: np.ndarray,
    colour: np.ndarray,
    title: str = "",
    boxes: np.ndarray | None = None,
) -> None:
    """The x axis upwards and y to the left, the highest points on top."""
    chosen = _chosen(points)
    chosen = chosen[np.argsort(points[chosen, 2], kind="stable")]
    x, y = points[chosen, 0], points[chosen, 1]
    ax.scatter(-y, x, s=_size(len(chosen)), c=colour[chosen], linewidths=0, rasterized=True)
    reach = np.quantile(np.abs(points[:, :2]), 0.985) if len(points) else 1.0
    if boxes is not None and boxes.size:
        reach = max(reach, np.abs(boxes[:, :2]).max() + 3)
    low = -reach if (points[:, 0] < -0.1 * reach).any() else 0.0
    ax.set_xlim(-reach, reach)
    ax.set_ylim(low, reach)
    ax.set_aspect("equal")
    _plain(ax, title)
    ax.set_xlabel("right of the sensor (m)", fontsize=8)
    ax.set_ylabel("ahead (m)", fontsize=8)


def _in_perspective(ax: Axes, points: np.ndarray, colour: np.ndarray, title: str = "") -> None:
    """Points in the view of a camera, the nearest on top and largest."""
    camera = Camera()
    flat, depth = camera.project(points[:, :3])
    inside = (depth > 2) & (np.abs(flat[:, 0]) < camera.zoom) & (np.abs(flat[:, 1]) < camera.zoom)
    chosen = np.flatnonzero(inside)
    chosen = chosen[_chosen(chosen)]
    chosen = chosen[np.argsort(-depth[chosen], kind="stable")]
    size = np.clip(60 / depth[chosen], 0.35, 5)
    ax.scatter(*flat[chosen].T, s=size, c=colour[chosen], linewidths=0, rasterized=True)
    ax.set_xlim(-camera.zoom, camera.zoom)
    ax.set_ylim(-0.55, 0.28)
    ax.set_aspect("equal")
    _plain(ax, title)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _plain(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold", color=BLACK)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _legend(figure: Figure, names: Sequence[tuple[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], marker="s", linestyle="", color=ink, markersize=6) for _, ink in names]
    figure.legend(
        marks, [name for name, _ in names], loc="outside lower center", frameon=False, fontsize=8,
        ncols=min(max(len(names), 1), 9), handletextpad=0.1, columnspacing=1.0,
    )  # fmt: skip


def _corners(box: np.ndarray) -> np.ndarray:
    """The eight corners of a box, [8, 3]: bottom and top of each of four sides in turn."""
    x, y, z, length, width, height, yaw = box[:7]
    signs = np.array([[a, b, c] for c in (-1, 1) for a in (-1, 1) for b in (-1, 1)]) / 2
    at = signs * [length, width, height]
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = np.stack(
        [cos * at[:, 0] - sin * at[:, 1], sin * at[:, 0] + cos * at[:, 1], at[:, 2]], 1
    )
    return turned + [x, y, z]


def _palette(count: int) -> np.ndarray:
    from matplotlib import colormaps

    return np.array([colormaps["tab20"](k % 20)[:3] for k in range(count)])


def _chosen(points: np.ndarray) -> np.ndarray:
    """Indices of at most MOST of the points."""
    step = -(-len(points) // MOST)
    return np.arange(0, len(points), max(step, 1))


def _size(count: int) -> float:
    return float(np.clip(30_000 / max(count, 1), 0.5, 6))


def _checked(points: np.ndarray, **classes: np.ndarray) -> tuple[np.ndarray, ...]:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] < 3 or not np.isfinite(points[:, :3]).all():
        raise ValueError(f"points must be finite and [P, 3] or wider; got {points.shape}.")
    for name, given in classes.items():
        given = np.asarray(given)
        if given.shape != points.shape[:1] or given.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be one integer for each of {len(points)} points; got {given.dtype} "
                f"{given.shape}."
            )
    return points, *(np.asarray(given) for given in classes.values())
