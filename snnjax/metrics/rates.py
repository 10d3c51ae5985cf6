"""Firing rates of layers, and alarms for layers that are silent or saturated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from snnjax.metrics.activity import Activity, as_totals

RATE_BAND = (0.02, 0.55)


class LayerRate(NamedTuple):
    """Firing statistics of a layer's input, over all rows, channels, steps and samples.

    Attributes:
      name: the layer.
      rate: non-zero entries / entries.
      mean_count: spikes / entries.
      entries: how many entries were seen.
      alarm: "" inside the band, else "silent" or "saturated".
    """

    name: str
    rate: float
    mean_count: float
    entries: int
    alarm: str


class PopulationRate(NamedTuple):
    """Firing statistics of a population of neurons, over all steps and samples.

    Attributes:
      name: the layer.
      rate: non-zero outputs / outputs.
      silent: the fraction of its neurons that never fire.
      saturated: the fraction of its neurons whose rate is above the band.
      alarm: "non-finite" where a NaN or an infinity was found; else "silent" or "saturated" where
        `rate` is outside the band; "uneven" where it is inside and half of the neurons, or more,
        are silent or saturated; else "".
      non_finite: how many of the outputs and of the values of the last states are NaN or infinite.
    """

    name: str
    rate: float
    silent: float
    saturated: float
    alarm: str
    non_finite: int = 0


def population_rate(
    name: str, spikes: ArrayLike, *, band: tuple[float, float] = RATE_BAND, state: Any = ()
) -> PopulationRate:
    """The firing rate of a population, and its distribution over the neurons.

    A NaN in a membrane stays there and never fires; from the outputs alone it would look silent.

    Args:
      name: name of the layer.
      spikes: its outputs [T, B, ..., N], concrete; binary, ternary or graded.
      band: healthy rates, as for `firing_rates`.
      state: a pytree of arrays to check for NaN and infinity, in addition to the outputs.

    Raises:
      ValueError: `spikes` has less than three axes, or `band` is not an interval in [0, 1].

    >>> row = population_rate("cells", np.array([[[1, 0, 0]], [[1, 1, 0]]]), band=(0.1, 0.8))
    >>> row.rate, round(row.silent, 3), round(row.saturated, 3), row.alarm
    (0.5, 0.333, 0.333, 'uneven')
    """
    _check_band(band)
    spikes = np.asarray(spikes)
    fired = spikes != 0
    if fired.ndim < 3:
        raise ValueError(f"spikes must be [T, B, ..., N]; got shape {fired.shape}.")
    neurons = fired.mean(axis=(0, 1))
    rate, silent = float(neurons.mean()), float((neurons == 0).mean())
    saturated = float((neurons > band[1]).mean())
    alarm = _alarm(rate, band) or ("uneven" if silent + saturated >= 0.5 else "")
    leaves = (np.asarray(leaf) for leaf in (spikes, *jax.tree.leaves(state)))
    wrong = sum(int((~np.isfinite(leaf)).sum()) for leaf in leaves)
    return PopulationRate(name, rate, silent, saturated, "non-finite" if wrong else alarm, wrong)


def firing_rates(
    activity: Activity, *, band: tuple[float, float] = RATE_BAND
) -> tuple[LayerRate, ...]:
    """The firing rate of every layer with spiking input, in network order.

    Args:
      activity: `ActivityTotals` over batches, or the activities of one batch.
      band: healthy non-zero fractions; a layer outside them carries an alarm.

    Raises:
      ValueError: `band` is not an interval in [0, 1].
    """
    _check_band(band)
    rows = []
    for layer in as_totals(activity).layers:
        if not layer.spiking:
            continue
        entries = max(layer.entries, 1)
        rate, mean = layer.nonzero / entries, layer.spikes / entries
        alarm = _alarm(rate, band)
        rows.append(LayerRate(layer.name, rate, mean, layer.entries, alarm))
    return tuple(rows)


def mean_firing_rate(rates: Sequence[LayerRate]) -> float:
    """The mean of the layers' rates, each layer counted once; 0 without spiking layers."""
    return sum(row.rate for row in rates) / max(len(rates), 1)


def rate_alarms(rates: Sequence[LayerRate | PopulationRate]) -> tuple[str, ...]:
    """One message for each layer with an alarm: the symptom, and the usual remedies.

    >>> rate_alarms([LayerRate("stem.2", 0.0, 0.0, 512, "silent")])[0][:44]
    "layer 'stem.2' is silent: 0.0 % of its input"
    """
    return tuple(_sentence(row) for row in rates if row.alarm)


_FIX = {
    "silent": (
        "Lower the threshold, raise the scale or bias of the norm before the neuron, give the "
        "leak a longer time constant, or use a wider surrogate so that gradients reach it."
    ),
    "saturated": (
        "Raise the threshold or the number of levels D, lower the bias of the norm before the "
        "neuron, or add a firing-rate penalty or weight decay."
    ),
    "uneven": (
        "Put a norm before the neurons, let each have a threshold that learns, or add "
        "snnjax.losses.rate_band, which judges every neuron by its own rate."
    ),
    "non-finite": (
        "Look at the first layer with this warning: check its weights and the norm before it for "
        "NaN or infinity, then for a learning rate that is too high or a loss that overflows; "
        "jax.config.update('jax_debug_nans', True) stops where the first NaN appears."
    ),
}
_GAIN = " Or multiply the weights before it by the result of snnjax.nn.gain_for_rate."


def _alarm(rate: float, band: tuple[float, float]) -> str:
    if rate < band[0]:
        return "silent"
    return "saturated" if rate > band[1] else ""


def _check_band(band: tuple[float, float]) -> None:
    if not 0 <= band[0] < band[1] <= 1:
        raise ValueError(f"band must be 0 <= low < high <= 1; got {band}.")


def _sentence(row: LayerRate | PopulationRate) -> str:
    fix = _FIX[row.alarm]
    if isinstance(row, PopulationRate) and row.non_finite:
        count = f"{row.non_finite} values of its outputs and its last state"
        return f"layer '{row.name}' is non-finite: {count} are NaN or infinite. {fix}"
    if isinstance(row, LayerRate):
        share = f"{100 * row.rate:.1f} % of its input is non-zero"
    else:
        share = (
            f"{100 * row.rate:.1f} % of its outputs are non-zero, {100 * row.silent:.0f} % of its "
            f"neurons never fire, {100 * row.saturated:.0f} % fire too often"
        )
        fix += "" if row.alarm == "uneven" else _GAIN
    return f"layer '{row.name}' is {row.alarm}: {share}. {fix}"
