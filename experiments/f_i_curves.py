"""Firing rates by drive, and potentials over time, of the non-linear neurons.

    python -m experiments.f_i_curves

Writes `f-i-curves.png` and `voltage-traces.png` to `experiments/results/`, and prints where each
neuron starts to fire; 20 seconds on two cores. Needs the extra `viz`.

Expected: Hodgkin-Huxley jumps from silence to above 50 Hz between 6 and 6.5 uA/cm2, the others
start below 30 Hz; RS and AdEx adapt, IB and CH burst, FS is fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.neurons import (
    ADEX_2005,
    IZHIKEVICH_PRESETS,
    EIFParams,
    HodgkinHuxleyParams,
    QIFParams,
    adex_init,
    adex_step,
    eif_init,
    eif_step,
    hodgkin_huxley_init,
    hodgkin_huxley_step,
    izhikevich_init,
    izhikevich_step,
    qif_init,
    qif_step,
)
from snnjax.unroll import unroll
from snnjax.viz.style import BLACK, BLUE, PALETTE, new_figure, save_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
SECOND = 1_000.0  # ms
UNIT_QIF = QIFParams(tau=10.0, v_rest=0.0, v_c=0.8, a0=1.0, threshold=1.0, v_reset=-0.1)
UNIT_EIF = EIFParams(tau=10.0, v_rest=0.0, delta=0.2, v_rh=0.8, threshold=2.0, v_reset=-0.1)


class Cell(NamedTuple):
    """A neuron to draw: its step with everything bound, and how hard to drive it."""

    name: str
    panel: str  # neurons of one panel share axes
    step: Callable[..., Any]
    init: Callable[..., Any]
    dt: float  # ms
    highest: float  # drive
    shown: float  # drive of the trace
    peak: float | None  # value drawn at a spike; None leaves the trace unchanged
    unit: str


def cells() -> list[Cell]:
    """All neurons, in the order of the pictures."""
    axon = partial(hodgkin_huxley_step, HodgkinHuxleyParams(), dt=0.02)
    found = [
        Cell("HH", "Hodgkin-Huxley", axon, hodgkin_huxley_init, 0.02, 40.0, 10.0, None, "uA/cm2")
    ]
    for name, params in IZHIKEVICH_PRESETS.items():
        step = partial(izhikevich_step, params, dt=0.25)
        init = partial(izhikevich_init, params=params)
        found.append(Cell(name, "Izhikevich", step, init, 0.25, 20.0, 10.0, 30.0, "mV/ms"))
    adex = partial(adex_step, ADEX_2005, dt=0.05)
    init = partial(adex_init, v0=ADEX_2005.v_rest)
    found.append(Cell("AdEx", "AdEx", adex, init, 0.05, 80.0, 40.0, 20.0, "mV"))
    eif = partial(eif_step, UNIT_EIF, dt=0.1)
    found.append(Cell("EIF", "EIF", eif, eif_init, 0.1, 3.0, 1.0, 2.0, "unit of v"))
    qif = partial(qif_step, UNIT_QIF, dt=0.1)
    found.append(Cell("QIF", "QIF", qif, qif_init, 0.1, 1.0, 0.3, 1.0, "unit of v"))
    return found


def rates(cell: Cell, drives: np.ndarray) -> np.ndarray:
    """Spikes per second at each constant drive, over the second half of two seconds."""
    steps = round(SECOND / cell.dt)

    @jax.jit
    @jax.vmap
    def count(drive: jax.Array) -> jax.Array:
        def body(carry: Any, _: None) -> tuple[Any, None]:
            state, total = carry
            state, z = cell.step(state, drive)
            return (state, total + z), None

        state, _ = jax.lax.scan(body, (cell.init(()), jnp.zeros(())), length=steps)[0]
        return jax.lax.scan(body, (state, jnp.zeros(())), length=steps)[0][1]

    return np.asarray(count(jnp.asarray(drives, jnp.float32)))


def trace(cell: Cell, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in ms and potentials at the cell's drive, switched on after a tenth of the time."""
    t = np.arange(round(duration / cell.dt)) * cell.dt
    drive = jnp.asarray(np.where(t >= 0.1 * duration, cell.shown, 0.0), jnp.float32)
    run = jax.jit(lambda drive: unroll(cell.step, cell.init(()), drive, record=("v",))[1])
    spikes, record = run(drive)
    v = np.array(record["v"])
    if cell.peak is not None:
        v[np.asarray(spikes) > 0] = cell.peak
    return t, v


def draw_rates(found: Sequence[Cell]) -> Figure:
    """One panel per model: rate by drive."""
    panels = list(dict.fromkeys(cell.panel for cell in found))
    figure = new_figure(3.4 * len(panels), 3.3)
    axes = dict(zip(panels, figure.subplots(1, len(panels)), strict=True))
    for cell in found:
        ax, drives = axes[cell.panel], np.linspace(0.0, cell.highest, 121)
        hz = rates(cell, drives)
        colour = PALETTE[len(ax.lines) % len(PALETTE)]
        ax.plot(drives, hz, color=colour, linewidth=1.8, label=cell.name)
        first = int(np.argmax(hz > 0))
        print(
            f"{cell.name:5s} {hz[first]:3.0f} Hz at {drives[first]:5.2f}, "
            f"{hz[-1]:3.0f} Hz at {drives[-1]:5.2f} {cell.unit}"
        )
        tidy(ax, title=cell.panel, xlabel=f"drive ({cell.unit})", grid="y")
    axes[panels[0]].set_ylabel("rate (Hz)", fontsize=10)
    axes["Izhikevich"].legend(fontsize=9, frameon=False, handlelength=1.4)
    return figure


def draw_traces(found: Sequence[Cell], duration: float) -> Figure:
    """One row per neuron: its potential."""
    figure = new_figure(9.4, 1.05 * len(found) + 0.5)
    axes = figure.subplots(len(found), 1, sharex=True)
    for ax, cell in zip(axes, found, strict=True):
        t, v = trace(cell, duration)
        ax.plot(t, v, color=BLUE, linewidth=0.9)
        ax.margins(x=0.0)
        ax.text(
            1.01, 0.5, f"{cell.name}\n{cell.shown:g} {cell.unit}", transform=ax.transAxes,
            fontsize=9, color=BLACK, va="center",
        )  # fmt: skip
        tidy(ax)
    tidy(axes[0], title=f"Potential, drive from {0.1 * duration:g} ms on")
    axes[-1].set_xlabel("time (ms)", fontsize=10)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--duration", type=float, default=250.0, help="length of the traces, in ms")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the pictures")
    options = parser.parse_args(arguments)
    found = cells()
    print(save_figure(draw_rates(found), options.results / "f-i-curves.png"))
    print(save_figure(draw_traces(found, options.duration), options.results / "voltage-traces.png"))


if __name__ == "__main__":
    main()
