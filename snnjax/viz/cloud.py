"""A voxel cloud in 3D, and the spikes that travel through the levels of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from snnjax.viz.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D

    from snnjax.sparse import SparseTensor

_SILENT = "#D9D9D9"
_LIGHT = np.array([0.35, -0.75, 0.56])  # towards the light, in (x, y, z)


class CloudLevel(NamedTuple):
    """The voxels of one level of a network, for one sample.

    Attributes:
      title: title above the picture.
      coords: int [n, 3], (z, y, x) in units of this level's voxels.
      counts: int [n] spikes of each voxel; None for a level without spikes.
      stride: edge of this level's voxels in voxels of the input, one integer or (z, y, x).
    """

    title: str
    coords: np.ndarray
    counts: np.ndarray | None = None
    stride: int | tuple[int, int, int] = 1


def cloud_levels(
    x: SparseTensor, spikes: Sequence[tuple[str, SparseTensor]] = (), *, sample: int = 0
) -> tuple[CloudLevel, ...]:
    """One sample's input voxels, then its spike counts level by level, for `voxel_cloud`.

    The count of a voxel is the sum of its integer spikes over time and channels.

    Args:
      x: the network's input.
      spikes: (title, spikes) of each level to show; features [T?, B, N, C].
      sample: which row of the batch.
    """
    levels = [CloudLevel("input voxels", _coords(x, sample))]
    for title, level in spikes:
        feats = np.asarray(level.feats)
        rows = feats.reshape(-1, *feats.shape[-3:])[:, sample].sum(axis=(0, 2), dtype=np.float64)
        coords = _coords(level, sample)
        counts = np.rint(rows[: len(coords)]).astype(np.int64)
        levels.append(CloudLevel(title, coords, counts, level.stride))
    return tuple(levels)


def voxel_cloud(levels: Sequence[CloudLevel], *, title: str = "") -> Figure:
    """Render levels side by side as cubes, coloured by spike count; silent voxels are grey.

    Args:
      levels: as from `cloud_levels`; each is drawn at its own voxel size in one common frame.
      title: title of the figure.
    """
    if not levels:
        raise ValueError("levels is empty; give at least the input's CloudLevel.")
    for level in levels:
        _check(level)
    columns = 2 if len(levels) == 4 else min(len(levels), 3)
    lines = -(-len(levels) // columns)
    figure = new_figure(4.4 * columns, 3.7 * lines + (0.35 if title else 0))
    low, high = _frame(levels)
    for i, level in enumerate(levels):
        ax = figure.add_subplot(lines, columns, i + 1, projection="3d")
        _draw_level(figure, ax, level, low, high)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    return figure


def _coords(x: SparseTensor, sample: int) -> np.ndarray:
    batch = np.asarray(x.n).shape[0]
    if not 0 <= sample < batch:
        raise ValueError(f"sample must be in [0, {batch}); got {sample}.")
    return np.asarray(x.coords)[sample, : int(np.asarray(x.n)[sample])]


def _check(level: CloudLevel) -> None:
    if level.coords.ndim != 2 or level.coords.shape[1] != 3:
        raise ValueError(f"'{level.title}': coords must be [n, 3]; got {level.coords.shape}.")
    if level.counts is not None and level.counts.shape != level.coords.shape[:1]:
        raise ValueError(
            f"'{level.title}': counts must be [{len(level.coords)}]; got {level.counts.shape}."
        )


def _frame(levels: Sequence[CloudLevel]) -> tuple[np.ndarray, np.ndarray]:
    """A cube, in input voxels as (x, y, z), that holds every level."""
    held = [(level.coords, np.array(level.stride)) for level in levels if len(level.coords)]
    lows = [coords.min(0) * stride for coords, stride in held]
    highs = [(coords.max(0) + 1) * stride for coords, stride in held]
    if not lows:
        return np.zeros(3), np.ones(3)
    low, high = np.min(lows, axis=0)[::-1], np.max(highs, axis=0)[::-1]
    centre, half = (low + high) / 2, float((high - low).max()) / 2
    return centre - half, centre + half


def _draw_level(
    figure: Figure, ax: Axes3D, level: CloudLevel, low: np.ndarray, high: np.ndarray
) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    if len(level.coords):
        quads, owner, normal = cube_faces(level.coords, level.stride)
        colours = _colours(figure, ax, level)[owner]
        shade = 0.62 + 0.38 * np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
        colours[:, :3] *= shade[:, None]
        edges = np.concatenate([colours[:, :3] * 0.8, colours[:, 3:]], axis=1)
        ax.add_collection3d(
            Poly3DCollection(quads, facecolors=colours, edgecolors=edges, linewidths=0.3)
        )
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set_box_aspect((1, 1, 1), zoom=1.2)  # pyright: ignore[reportArgumentType] (typed as int)
    ax.view_init(elev=22, azim=-60)
    ax.set_axis_off()
    text = f"{level.title}\n{len(level.coords)} voxels"
    if level.counts is not None:
        fire = float((level.counts > 0).mean()) if len(level.counts) else 0.0
        text += f", {int(level.counts.sum())} spikes, in {fire:.0%} of the voxels"
    ax.set_title(text, fontsize=10, y=1.03)


def cube_faces(
    coords: np.ndarray, stride: int | tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The faces between an occupied and an empty voxel.

    Args:
      coords: int [n, 3], (z, y, x).
      stride: edge of a voxel, one integer or (z, y, x).

    Returns:
      Corners float [f, 4, 3] as (x, y, z), the voxel of each face int [f], its normal [f, 3].

    >>> [len(cube_faces(np.array(c), 1)[0]) for c in ([[0, 0, 0]], [[0, 0, 0], [0, 0, 1]])]
    [6, 10]
    """
    places = np.asarray(coords, np.int64)[:, ::-1]
    edges = np.broadcast_to(stride, 3)[::-1]
    taken = {tuple(p) for p in places.tolist()}
    quads, owner, normals = [], [], []
    for axis in range(3):
        u, w = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        square = np.stack([0 * u, u, u + w, w])
        for side in (0, 1):
            step = np.eye(3, dtype=np.int64)[axis] * (2 * side - 1)
            open_ = [tuple(p) not in taken for p in (places + step).tolist()]
            index = np.flatnonzero(open_)
            corner = places[index] + side * np.eye(3)[axis]
            quads.append((corner[:, None] + square) * edges)
            owner.append(index)
            normals.append(np.broadcast_to(step.astype(float), (len(index), 3)))
    return np.concatenate(quads), np.concatenate(owner), np.concatenate(normals)


def _colours(figure: Figure, ax: Axes3D, level: CloudLevel) -> np.ndarray:
    """RGBA [n, 4] of the voxels; draws the colour bar of a level with spikes."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, Normalize, to_rgba
    from matplotlib.ticker import MaxNLocator

    if level.counts is None:  # colour by height, to show the shape
        height = level.coords[:, 0] - level.coords[:, 0].min()
        return colormaps["Blues_r"](0.2 + 0.5 * height / max(height.max(), 1))
    top = max(int(level.counts.max()), 1)
    norm: Normalize = Normalize(1, max(top, 2))
    if top <= 10:
        norm = BoundaryNorm(np.arange(top + 1) + 0.5, 256)
    shades = ScalarMappable(norm, "viridis")
    bar = figure.colorbar(shades, ax=ax, shrink=0.6, pad=0.0, aspect=14)
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    bar.set_label("spikes of a voxel (grey: none)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    colours = np.asarray(shades.to_rgba(level.counts)).reshape(-1, 4)
    colours[level.counts <= 0] = to_rgba(_SILENT)
    return colours
