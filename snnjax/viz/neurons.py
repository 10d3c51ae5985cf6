"""What a population of neurons does over time: rasters, membranes, and their surrogates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.viz.style import BLACK, BLUE, GREY, PALETTE, VERMILION, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def spike_raster(
    spikes: np.ndarray | Array, *, title: str = "Spikes", groups: np.ndarray | None = None
) -> Figure:
    """Every spike as a mark at (step, neuron), and the population's rate below.

    Args:
      spikes: [T, N], binary or counts; a count above one is drawn darker.
      title: what the raster shows.
      groups: int [N]; neurons of one group share a colour.
    """
    spikes = _time_neuron("spikes", spikes)
    if np.any(spikes % 1):
        raise ValueError(
            "spikes must be 0, 1 or counts; got values between them, of which a raster would draw "
            "each as a spike. Draw membranes or real inputs with membrane_traces."
        )
    steps, neurons = spikes.shape
    figure = new_figure(7.2, min(max(1.9 + 0.05 * neurons, 3.2), 7.0))
    top, low = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    if groups is not None and np.shape(groups) != (neurons,):
        raise ValueError(f"groups must be [{neurons}], one per neuron; got {np.shape(groups)}.")
    t, n = np.nonzero(spikes)
    mark = float(np.clip(0.75 * 72 * 0.72 * figure.get_figheight() / max(neurons, 1), 1.2, 9))
    colours = _mark_colours(spikes[t, n], spikes.max(), None if groups is None else groups[n])
    top.scatter(t, n, s=mark**2, marker="|", c=colours, linewidths=1.2)
    top.set_ylim(-0.5, neurons - 0.5)
    rate = spikes.mean(axis=1)
    low.fill_between(np.arange(steps), rate, step="mid", color=BLUE, alpha=0.35, linewidth=0)
    low.plot(rate, color=BLUE, linewidth=1.2, drawstyle="steps-mid")
    low.set_xlim(-0.5, steps - 0.5)
    low.set_ylim(0)
    share = float((spikes != 0).mean())
    tidy(top, title=f"{title} ({share:.1%} of entries fire)", ylabel="neuron")
    tidy(low, xlabel="step", ylabel="mean", grid="y")
    return figure


def membrane_traces(
    v: np.ndarray | Array,
    *,
    spikes: np.ndarray | Array | None = None,
    threshold: float | None = None,
    neurons: Sequence[int] | None = None,
    title: str = "Membrane potential",
) -> Figure:
    """Membrane potentials over time, one row and one scale per neuron, with threshold and spikes.

    Args:
      v: [T, N], as recorded (after the reset, if the neuron records it so).
      spikes: [T, N]; a mark above the trace at every spike.
      threshold: drawn as a dashed line.
      neurons: which to draw; the first five by default.
      title: what the traces show.
    """
    v = _time_neuron("v", v)
    spikes = None if spikes is None else _time_neuron("spikes", spikes)
    if spikes is not None and spikes.shape != v.shape:
        raise ValueError(f"spikes must have the shape of v, {v.shape}; got {spikes.shape}.")
    chosen = list(range(min(5, v.shape[1]))) if neurons is None else list(neurons)
    if not chosen or not all(0 <= i < v.shape[1] for i in chosen):
        raise ValueError(f"neurons must be indices in [0, {v.shape[1]}); got {chosen}.")
    figure = new_figure(7.2, 1.2 + 0.85 * len(chosen))
    axes = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    for ax, i in zip(axes, chosen, strict=True):
        tidy(ax, ylabel=f"neuron {i}")
        _draw_trace(ax, v[:, i], None if spikes is None else spikes[:, i], threshold)
    tidy(axes[0], title=title, ylabel=f"neuron {chosen[0]}")
    axes[-1].set_xlabel("step", fontsize=10)
    return figure


def surrogate_figure(
    surrogates: Mapping[str, Callable[[Array], Array]], *, span: float = 3.0
) -> Figure:
    """The spike each function fires, and the derivative that the backward pass uses instead.

    Args:
      surrogates: name -> spike function of `v - threshold`, elementwise.
      span: the functions are drawn on [-span, span].
    """
    if not surrogates:
        raise ValueError("surrogates is empty; give at least one name -> spike function.")
    x = jnp.linspace(-span, span, 601)
    figure = new_figure(9.4, 3.4)
    left, right = figure.subplots(1, 2)
    peaks = []
    for i, (name, spike) in enumerate(surrogates.items()):
        y, slope = jax.jvp(spike, (x,), (jnp.ones_like(x),))
        style = {"color": PALETTE[i % len(PALETTE)], "linestyle": ("-", "--", "-.", ":")[i % 4]}
        left.plot(x, y, linewidth=1.8, **style)
        peaks.append(float(jnp.max(slope)))
        right.plot(x, slope, linewidth=1.8, label=f"{name} (peak {peaks[-1]:.3g})", **style)
    tidy(left, title="Forward", xlabel="v - threshold", ylabel="spike", grid="y")
    tidy(right, title="Surrogate derivative", xlabel="v - threshold", grid="y")
    right.set_ylim(0, 1.1 * max(min(max(peaks), 3 * float(np.median(peaks))), 1e-3))
    right.legend(fontsize=9, frameon=False, handlelength=1.4, loc="upper right")
    return figure


def _mark_colours(counts: np.ndarray, top: float, groups: np.ndarray | None) -> np.ndarray:
    """RGBA [M, 4] of the marks: the group's colour, fainter for a count below the largest."""
    from matplotlib.colors import to_rgba_array

    palette = to_rgba_array(PALETTE)
    colours = np.tile(to_rgba_array(BLACK), (len(counts), 1))
    if groups is not None:
        colours = palette[np.asarray(groups, int) % len(palette)]
    colours[:, 3] = 0.35 + 0.65 * counts / max(top, 1)
    return colours


def _draw_trace(
    ax: Axes, v: np.ndarray, spikes: np.ndarray | None, threshold: float | None
) -> None:
    ax.plot(v, color=BLUE, linewidth=1.3)
    ax.margins(x=0.01, y=0.2)
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linewidth=0.9, linestyle="--")
    if spikes is not None:
        at = np.flatnonzero(spikes)
        ax.plot(
            at, np.full(at.shape, 0.93), "|", color=VERMILION, markersize=7, markeredgewidth=1.4,
            transform=ax.get_xaxis_transform(),
        )  # fmt: skip


def _time_neuron(name: str, array: np.ndarray | Array) -> np.ndarray:
    array = np.asarray(array, np.float64)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be [T, N], one sample; got shape {array.shape}. "
            f"Pick a sample of [T, B, N] by {name}[:, 0]."
        )
    if not array.size or not np.isfinite(array).all():
        problem = "is empty" if not array.size else "holds NaN or infinity"
        raise ValueError(f"{name} {problem}; shape {array.shape}.")
    return array
