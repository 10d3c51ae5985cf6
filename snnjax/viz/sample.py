"""What a network receives, drawn by the form of the array: voxels, a raster, frames, an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snnjax.sparse import SparseTensor
from snnjax.viz.cloud import cloud_levels, voxel_cloud
from snnjax.viz.neurons import spike_raster
from snnjax.viz.style import new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {1: "gray", 2: "event", 3: "rgb"}
"""Image modes by number of channels."""


def input_figure(x: Any, spikes: Mapping[str, Any] | None = None, *, title: str) -> Figure | None:
    """A figure of the first sample of a model's input; None for an unsupported shape.

    Args:
      x: voxels; or [T, B, C] (channels over time), [B, H, W, C] (an image) or [T, B, H, W, C]
        (frames, of which the sum and the first are shown).
      spikes: spikes by layer; those on voxels are drawn next to the input, one layer per
        resolution.
      title: title of the figure.
    """
    if isinstance(x, SparseTensor):
        every = [(name, s) for name, s in (spikes or {}).items() if isinstance(s, SparseTensor)]
        first = {s.stride: (name, s) for name, s in reversed(every)}
        named = [(f"spikes of {name}", s) for name, s in first.values()]
        named.sort(key=lambda pair: pair[1].stride)
        return voxel_cloud(cloud_levels(x, named[:3]), title=title)
    if not hasattr(x, "shape"):
        return None
    array = np.asarray(x, np.float32)
    if array.ndim == 3:
        return _channels(array[:, 0], title)
    if array.ndim == 4:
        return _images([("", array[0])], title)
    if array.ndim == 5:
        frames = array[:, 0]
        return _images([("first frame", frames[0]), ("sum", frames.sum(0))], title)
    return None


def spikes_figure(x: Any, spikes: Mapping[str, Any], *, title: str) -> Figure | None:
    """A raster of the first layer whose spikes are [T, B, ...]; None without one.

    Args:
      x: the input, unused. spikes: spikes by layer. title: title of the sample.
    """
    del x
    for name, found in spikes.items():
        if hasattr(found, "ndim") and found.ndim >= 3:
            counts = np.asarray(found, np.float32)[:, 0].reshape(len(found), -1)
            if not np.any(counts % 1):
                return spike_raster(np.abs(counts), title=f"{name}: {title}")
    return None


def _channels(x: np.ndarray, title: str) -> Figure:
    """A raster of counts [T, C]; real values as shades."""
    if not np.any(x % 1) and x.min() >= 0:
        return spike_raster(x, title=title)
    figure = new_figure(7.2, 3.2)
    ax = figure.add_subplot()
    shade = ax.imshow(x.T, aspect="auto", cmap="Greys", origin="lower", interpolation="nearest")
    figure.colorbar(shade, ax=ax, label="value")
    tidy(ax, title=title, xlabel="step", ylabel="channel")
    return figure


def _images(named: list[tuple[str, np.ndarray]], title: str) -> Figure | None:
    if named[0][1].shape[-1] not in COLOURS:
        return None
    figure = new_figure(3.4 * len(named) + 0.6, 3.6)
    for place, (name, image) in enumerate(named, 1):
        ax = figure.add_subplot(1, len(named), place)
        ax.imshow(_rgb(image), interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(name, fontsize=9)
    figure.suptitle(title)
    return figure


def _rgb(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] with three channels; two polarities become red and blue."""
    low, high = float(image.min()), float(image.max())
    image = (image - low) / max(high - low, 1e-9)
    kind = COLOURS[image.shape[-1]]
    if kind == "gray":
        return np.repeat(image, 3, axis=-1)
    if kind == "event":
        return 1 - np.stack([image[..., 1], image.max(-1), image[..., 0]], axis=-1)
    return image
