"""Exact counts of the input to the weighted layers of a network, one row per sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.metrics.wide import wide_sum, wide_value

_LARGEST = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerActivity:
    """The input of one weighted layer, counted per sample.

    A layer is a map (which input row feeds which output row) and one weight of
    `in_channels x out_channels` per pair of the map, so a few integers fix its arithmetic exactly:
    `pairs * in_channels * out_channels` multiply-adds for real input, `fanout * out_channels`
    additions for spikes. T steps are summed.

    A sample whose input holds only integers, such as 0 and 1, -1 or integer spikes, counts as
    spikes; one with any other number counts as real. So no layer needs to declare its kind of
    input, and the count of a sample does not depend on the others in its batch.

    Attributes:
      counts: the counts named in `COUNTS`, int32 words [B, counts, W] that cannot wrap, see
        `snnjax.metrics.wide_sum`; `ActivityTotals` joins them on the host.
      name: name of the layer in tables (static).
      in_channels, out_channels: channels of the input and the output, or of a channel group
        (static).
      terms: the largest number of terms summed in a count (static).
    """

    counts: Array
    name: str = field(metadata={"static": True})
    in_channels: int = field(metadata={"static": True})
    out_channels: int = field(metadata={"static": True})
    terms: int = field(metadata={"static": True})

    def samples(self) -> dict[str, np.ndarray]:
        """The counts of each sample on the host, as Python integers [B].

        `sites`, `nonzero` and `pairs` as in `COUNTS`; `spikes` and `fanout`, 0 for a sample of real
        values; and `real`, bool.

        Raises:
          ValueError: the integers of a sample are too large to be counted.
        """
        words = wide_value(self.counts, self.terms).astype(object)
        of: dict[str, Any] = dict(zip(COUNTS, words.T, strict=True))
        real = (of["fractional"] > 0).astype(bool)
        if (of["uncounted"][~real] > 0).any():
            raise ValueError(
                f"layer '{self.name}': its spikes cannot be counted exactly, since its input holds "
                "integers above 2^31 / (T * C). Scale them down, or record fewer steps."
            )
        fanout = sum(of[f"fan{k}"] * 2 ** (_PART * k) for k in range(3))
        known = {name: of[name] for name in ("sites", "nonzero", "pairs")}
        spikes = {"spikes": of["spikes"] * ~real, "fanout": fanout * ~real}
        return {**known, **spikes, "real": real}


_PART = 11
"""Bits of each part of a spike count: its product with an out-degree below 2^20 fits int32."""

COUNTS = ("sites", "nonzero", "pairs", "spikes", "fan0", "fan1", "fan2", "uncounted", "fractional")
"""The counts taken for each sample, over valid rows and steps:

    sites       rows, times T
    nonzero     entries that are not 0
    pairs       (input row, output row) pairs of the map, times T
    spikes      magnitudes of integers
    fan0..2     sum_i outdeg(i) * sum_c s[i, c], with outdeg(i) the pairs that read row i, of the
                low, middle and high bits of the spikes
    uncounted   rows with entries too large to be counted
    fractional  rows with entries that are not integers
"""


def _sum_rows(values: Array) -> Array:
    return jnp.sum(values, axis=1, dtype=values.dtype)


def sparse_activity(
    name: str,
    feats: ArrayLike,
    valid: ArrayLike,
    outdegree: ArrayLike,
    out_channels: int,
    *,
    sum_rows: Callable[[Array], Array] = _sum_rows,
) -> LayerActivity:
    """Count the input of a layer over rows.

    Args:
      name: the layer's name.
      feats: input rows [B, N, C] or [T, B, N, C].
      valid: bool [B, N], False for padding rows.
      outdegree: int [B, N], pairs of the map that read each row (ignored on padding).
      out_channels: channels the layer writes.
      sum_rows: function from values per row, [B, N, W], to sums per sample; for packed samples
        `SparseTensor.sum_rows`.

    Returns:
      The counts of every sample; traceable, so it can run inside a jitted step.

    >>> feats = jnp.array([[[1, 0], [2, 1], [9, 9]]])
    >>> a = sparse_activity("conv", feats, jnp.array([[True, True, False]]),
    ...                     jnp.array([[2, 3, 0]]), 4)
    >>> total = ActivityTotals().add([a]).layers[0]
    >>> total.spikes, total.nonzero, total.fanout
    (4, 3, 11)
    """
    feats, valid, outdegree = jnp.asarray(feats), jnp.asarray(valid), jnp.asarray(outdegree)
    feats = feats[None] if feats.ndim == 3 else feats
    if feats.ndim != 4 or valid.shape != feats.shape[1:3] or outdegree.shape != valid.shape:
        raise ValueError(
            "feats must be [B, N, C] or [T, B, N, C] with valid and outdegree [B, N]; got "
            f"feats {feats.shape}, valid {valid.shape}, outdegree {outdegree.shape}."
        )
    steps, _, rows, channels = feats.shape
    kept = jnp.where(valid[None, ..., None], feats, 0)
    degree = jnp.where(valid, outdegree, 0).astype(jnp.int32)
    spikes, uncounted, fractional = _row_spikes(kept)
    mask = 2**_PART - 1
    fans = [((spikes >> shift) & mask) * degree for shift in (0, _PART, 2 * _PART)]
    nonzero = jnp.sum(kept != 0, axis=(0, 3), dtype=jnp.int32)
    once = valid.astype(jnp.int32)
    columns = [steps * once, nonzero, steps * degree, spikes, *fans, uncounted, fractional]
    terms = steps * rows * channels
    words = wide_sum(jnp.stack(columns, -1)[:, :, None], 2, n=terms)  # of each row
    return LayerActivity(sum_rows(words), name, channels, out_channels, terms)


def _row_spikes(feats: Array) -> tuple[Array, Array, Array]:
    """Spikes of rows [T, B, N, C], whether they are too large to count, whether any is fractional.

    Each is int32 [B, N].
    """
    steps, _, _, channels = feats.shape
    size, few, integral = _sizes(feats, _LARGEST // (steps * channels))
    count = jnp.where(few, size, 0).astype(jnp.int32)
    over = (0, 3)
    return (
        count.sum(over, dtype=jnp.int32),
        jnp.any(~few, over).astype(jnp.int32),
        jnp.any(~integral, over).astype(jnp.int32),
    )


def _sizes(feats: Array, limit: int) -> tuple[Array, Array, Array]:
    """The magnitude of each number, whether it is within `limit`, and whether it is an integer."""
    if jnp.issubdtype(feats.dtype, jnp.inexact):
        integral, size = feats == jnp.round(feats), jnp.abs(feats)
        # a limit that rounds up in this float dtype is itself excluded
        return jnp.where(integral, size, 0), ~integral | (size < limit), integral
    if feats.dtype == jnp.bool_:
        feats = feats.astype(jnp.int32)
    bounds = jnp.iinfo(feats.dtype)
    few = (feats >= max(-limit, int(bounds.min))) & (feats <= min(limit, int(bounds.max)))
    return jnp.abs(feats.astype(jnp.int32)), few, jnp.ones_like(few)


def dense_activity(
    name: str, inputs: ArrayLike, out_channels: int, outdegree: ArrayLike | None = None
) -> LayerActivity:
    """Count the input of a dense layer.

    Args:
      name: the layer's name.
      inputs: [T, B, ..., C], or [B, C] for a single step.
      out_channels: channels that the layer writes for each pair of an input and an output place.
      outdegree: int [...], the number of outputs that read each position between batch and
        channels; None takes one, as for a linear layer.

    >>> a = dense_activity("fc", jnp.array([[[0, 1, 2]], [[1, 0, 0]]]), 5)
    >>> total = ActivityTotals().add([a]).layers[0]
    >>> total.sites, total.fanout * total.out_channels
    (2, 20)
    """
    x = jnp.asarray(inputs)
    x = x[None] if x.ndim == 2 else x
    if x.ndim < 3:
        raise ValueError(f"inputs must be [T, B, ..., C] or [B, C]; got shape {x.shape}.")
    steps, batch, *places, channels = x.shape
    rows = prod(places)
    degree = jnp.ones(rows, jnp.int32) if outdegree is None else jnp.asarray(outdegree)
    return sparse_activity(
        name,
        x.reshape(steps, batch, rows, channels),
        jnp.ones((batch, rows), bool),
        jnp.broadcast_to(degree.reshape(rows), (batch, rows)),
        out_channels,
    )


@dataclass(frozen=True)
class LayerTotals:
    """The counts of one layer over many samples, as Python integers (see `LayerActivity`)."""

    name: str
    in_channels: int
    out_channels: int
    sites: int = 0
    spikes: int = 0
    nonzero: int = 0
    pairs: int = 0
    fanout: int = 0
    real_pairs: int = 0
    real_samples: int = 0

    @property
    def spiking(self) -> bool:
        """Whether the input of every sample was spikes."""
        return self.real_samples == 0

    @property
    def entries(self) -> int:
        """Entries of the input: sites * in_channels."""
        return self.sites * self.in_channels


_SUMS = ("sites", "spikes", "nonzero", "pairs", "fanout", "real_pairs", "real_samples")


@dataclass(frozen=True)
class ActivityTotals:
    """Activity summed over batches on the host; exact, whatever the number of samples.

    >>> batch = (dense_activity("fc", jnp.ones((3, 2, 4)), 5),)
    >>> totals = ActivityTotals().add(batch).add(batch, weight=np.array([1.0, 0.0]))
    >>> totals.samples, totals.layers[0].spikes
    (3, 36)
    """

    layers: tuple[LayerTotals, ...] = ()
    samples: int = 0

    def add(
        self, activities: Sequence[LayerActivity], weight: np.ndarray | Array | None = None
    ) -> ActivityTotals:
        """The totals with one more batch added.

        Args:
          activities: records of the model, concrete arrays (not inside `jax.jit`).
          weight: [B], 1 for a sample and 0 for a row that only pads the batch; None counts all.
        """
        if not activities:
            raise ValueError("activities is empty; run the model with record=True.")
        keep = _keep(weight, activities[0].counts.shape[:1])
        batch = tuple(_layer_totals(layer, keep) for layer in activities)
        return self.merge(ActivityTotals(batch, int(keep.sum())))

    def merge(self, other: ActivityTotals) -> ActivityTotals:
        """The sum of both totals, which must be of the same network."""
        if not self.layers or not other.layers:
            return ActivityTotals(self.layers or other.layers, self.samples + other.samples)
        mine, theirs = map(_signature, self.layers), map(_signature, other.layers)
        if list(mine) != list(theirs):
            raise ValueError(
                "totals of different networks cannot be merged; got layers "
                f"{[x.name for x in self.layers]} and {[x.name for x in other.layers]}. "
                "Start a new ActivityTotals() for each model."
            )
        layers = tuple(_sum(a, b) for a, b in zip(self.layers, other.layers, strict=True))
        return ActivityTotals(layers, self.samples + other.samples)


Activity = ActivityTotals | Sequence[LayerActivity]


def as_totals(activity: Activity) -> ActivityTotals:
    """`activity` itself if it is a total, else the total of this one batch."""
    if isinstance(activity, ActivityTotals):
        return activity
    return ActivityTotals().add(activity)


def _keep(weight: np.ndarray | Array | None, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) != 1:
        raise ValueError(f"activity must hold one count per sample; got shape {shape}.")
    if weight is None:
        return np.ones(shape, bool)
    weight = np.asarray(weight)
    if weight.shape != shape or not np.isin(weight, (0, 1)).all():
        raise ValueError(
            f"weight must be {shape} of zeros and ones, 1 for each sample that counts; "
            f"got shape {weight.shape}, values {np.unique(weight)[:4].tolist()}."
        )
    return weight.astype(bool)


def _layer_totals(layer: LayerActivity, keep: np.ndarray) -> LayerTotals:
    if layer.counts.shape[0] != len(keep):
        raise ValueError(
            f"layer '{layer.name}': counts must have {len(keep)} samples; got "
            f"{layer.counts.shape[0]}."
        )
    counts = {name: count[keep] for name, count in layer.samples().items()}
    real = counts.pop("real")
    return LayerTotals(
        layer.name,
        layer.in_channels,
        layer.out_channels,
        **{name: int(count.sum()) for name, count in counts.items()},
        real_pairs=int(counts["pairs"][real].sum()),
        real_samples=int(real.sum()),
    )


def _signature(layer: LayerTotals) -> tuple[str, int, int]:
    return layer.name, layer.in_channels, layer.out_channels


def _sum(a: LayerTotals, b: LayerTotals) -> LayerTotals:
    return LayerTotals(*_signature(a), **{k: getattr(a, k) + getattr(b, k) for k in _SUMS})
