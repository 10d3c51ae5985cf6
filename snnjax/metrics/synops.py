"""Synaptic operations and the energy they would take in 45 nm arithmetic.

Multiply-adds (MAC, real-valued input) and additions (AC, spikes) are counted separately, from the
kernel maps that ran. Norms, biases, neurons and memory traffic are not counted: this is the proxy
that papers report, not a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnjax.metrics.activity import Activity, LayerTotals, as_totals

MAC_PICOJOULE = 4.6
AC_PICOJOULE = 0.9
_MILLIJOULE = 1e-9  # one picojoule in millijoule


@dataclass(frozen=True)
class SynOps:
    """Mean operations and energy of one sample.

    Attributes:
      macs: multiply-adds, where layers receive real values.
      acs: additions, where layers receive spikes.
      dense_macs: multiply-adds of the equivalent ANN: the same layers on the same maps, run at each
        of the T steps, on real values.
      energy_mj: 4.6 pJ per MAC and 0.9 pJ per AC, in mJ.
      ann_energy_mj: 4.6 pJ per multiply-add of `dense_macs`, in mJ.
    """

    macs: float
    acs: float
    dense_macs: float
    energy_mj: float
    ann_energy_mj: float

    @property
    def total(self) -> float:
        """Operations of both kinds."""
        return self.macs + self.acs


@dataclass(frozen=True)
class LayerSynOps:
    """Operations of one layer, summed over samples, as exact Python integers."""

    name: str
    macs: int
    acs: int
    dense_macs: int


def energy_mj(macs: float, acs: float) -> float:
    """Energy in mJ of `macs` multiply-adds and `acs` additions, 32-bit arithmetic at 45 nm.

    Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014.

    >>> round(energy_mj(macs=1e9, acs=0), 6), round(energy_mj(macs=0, acs=1e9), 6)
    (4.6, 0.9)
    """
    return (macs * MAC_PICOJOULE + acs * AC_PICOJOULE) * _MILLIJOULE


def layer_synops(activity: Activity) -> tuple[LayerSynOps, ...]:
    """Operations of every layer, summed over the samples of `activity`."""
    return tuple(_layer(layer) for layer in as_totals(activity).layers)


def synops(activity: Activity) -> SynOps:
    """Mean synaptic operations and energy of one sample.

        AC    = sum over layers of fanout * C_out, fanout = sum_i outdeg(i) sum_c s[i, c] of spikes
        MAC   = sum over layers of pairs * C_in * C_out, of the samples with real-valued input
        dense = sum over layers of pairs * C_in * C_out, of all samples

    Sums are Python integers, so they are exact for any number of samples; the means are float64.

    Args:
      activity: `ActivityTotals` over batches, or the activities of one batch.

    Raises:
      ValueError: no sample was counted.
    """
    totals = as_totals(activity)
    if totals.samples == 0:
        raise ValueError("no sample was counted; add a batch with a non-zero weight first.")
    layers = layer_synops(totals)
    macs = sum(x.macs for x in layers) / totals.samples
    acs = sum(x.acs for x in layers) / totals.samples
    dense = sum(x.dense_macs for x in layers) / totals.samples
    return SynOps(macs, acs, dense, energy_mj(macs, acs), energy_mj(dense, 0))


def _layer(layer: LayerTotals) -> LayerSynOps:
    each = layer.in_channels * layer.out_channels
    additions = layer.fanout * layer.out_channels
    return LayerSynOps(layer.name, layer.real_pairs * each, additions, layer.pairs * each)
