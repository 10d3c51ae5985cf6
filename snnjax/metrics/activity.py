"""What the weighted layers of a network received: exact integers, one row a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerActivity:
    """The input of one weighted layer, counted per sample.

    Every count is an int32 of shape [B]; T steps are summed. A layer is a kernel map (which input
    row feeds which output row) and one weight of `in_channels x out_channels` per pair of the map,
    so these few integers fix its arithmetic exactly: `pairs * in_channels * out_channels`
    multiply-adds for real input, `fanout * out_channels` additions for spikes.

    Attributes:
      sites: valid input rows, times T.
      spikes: sum of the integer spikes over rows and channels; 0 for real-valued input.
      nonzero: non-zero entries of the input.
      pairs: (input row, output row) pairs of the kernel map, times T.
      fanout: `sum_i outdeg(i) * sum_c s[i, c]`, with `outdeg(i)` the pairs that read row i.
      name: what the layer is called in tables (static).
      in_channels: channels of the input (static).
      out_channels: channels of the output (static).
      spiking: True for spikes (additions), False for real values (multiply-adds) (static).
    """

    sites: Array
    spikes: Array
    nonzero: Array
    pairs: Array
    fanout: Array
    name: str = field(metadata={"static": True})
    in_channels: int = field(metadata={"static": True})
    out_channels: int = field(metadata={"static": True})
    spiking: bool = field(metadata={"static": True})


def _sum_rows(values: Array) -> Array:
    return jnp.sum(values, axis=1, dtype=values.dtype)


def sparse_activity(
    name: str,
    feats: Array,
    valid: Array,
    outdegree: Array,
    out_channels: int,
    *,
    spiking: bool,
    sum_rows: Callable[[Array], Array] = _sum_rows,
) -> LayerActivity:
    """Count what a sparse layer received.

    Args:
      name: the layer's name.
      feats: input rows [B, N, C] or [T, B, N, C]; integers in any dtype if `spiking`.
      valid: bool [B, N], False for padding rows.
      outdegree: int [B, N], pairs of the kernel map that read each row (ignored on padding).
      out_channels: channels the layer writes.
      spiking: whether `feats` are spike counts.
      sum_rows: from values of each row, [B, N], to sums of each sample; for packed samples
        `SparseTensor.sum_rows`.

    Returns:
      The counts of every sample; traceable, so it can run inside a jitted step.

    >>> feats = jnp.array([[[1, 0], [2, 1], [9, 9]]])
    >>> a = sparse_activity("conv", feats, jnp.array([[True, True, False]]),
    ...                     jnp.array([[2, 3, 0]]), 4, spiking=True)
    >>> int(a.spikes[0]), int(a.nonzero[0]), int(a.fanout[0])
    (4, 3, 11)
    """
    if feats.ndim == 3:
        feats = feats[None]
    if feats.ndim != 4 or valid.shape != feats.shape[1:3] or outdegree.shape != valid.shape:
        raise ValueError(
            "feats must be [B, N, C] or [T, B, N, C] with valid and outdegree [B, N]; got "
            f"feats {feats.shape}, valid {valid.shape}, outdegree {outdegree.shape}."
        )
    steps = feats.shape[0]
    degree = jnp.where(valid, outdegree, 0).astype(jnp.int32)
    counts = jnp.where(valid[None, ..., None], feats, 0)
    nonzero = jnp.sum(counts != 0, axis=(0, 3), dtype=jnp.int32)
    row = (
        jnp.sum(counts.astype(jnp.int32), axis=(0, 3), dtype=jnp.int32)
        if spiking
        else jnp.zeros_like(degree)
    )
    return LayerActivity(
        sites=steps * sum_rows(valid.astype(jnp.int32)),
        spikes=sum_rows(row),
        nonzero=sum_rows(nonzero),
        pairs=steps * sum_rows(degree),
        fanout=sum_rows(row * degree),
        name=name,
        in_channels=feats.shape[-1],
        out_channels=out_channels,
        spiking=spiking,
    )


def linear_activity(
    name: str, inputs: Array, out_features: int, *, spiking: bool = True
) -> LayerActivity:
    """Count what a linear layer received: one row a step, each read once.

    Args:
      name: the layer's name.
      inputs: [T, B, N]; spike counts if `spiking`.
      out_features: features the layer writes.
      spiking: whether `inputs` are spike counts.

    >>> a = linear_activity("fc", jnp.array([[[0, 1, 2]], [[1, 0, 0]]]), 5)
    >>> int(a.sites[0]), int(a.fanout[0]) * a.out_channels
    (2, 20)
    """
    if inputs.ndim != 3:
        raise ValueError(f"inputs must be [T, B, N]; got shape {inputs.shape}.")
    rows = jnp.ones((inputs.shape[1], 1), bool)
    degree = rows.astype(jnp.int32)
    return sparse_activity(name, inputs[:, :, None], rows, degree, out_features, spiking=spiking)


@dataclass(frozen=True)
class LayerTotals:
    """The counts of one layer over many samples, as Python integers (see `LayerActivity`)."""

    name: str
    in_channels: int
    out_channels: int
    spiking: bool
    sites: int = 0
    spikes: int = 0
    nonzero: int = 0
    pairs: int = 0
    fanout: int = 0

    @property
    def entries(self) -> int:
        """Entries of the input: sites * in_channels."""
        return self.sites * self.in_channels


_COUNTS = ("sites", "spikes", "nonzero", "pairs", "fanout")


@dataclass(frozen=True)
class ActivityTotals:
    """Activity summed over batches on the host; exact, whatever the number of samples.

    >>> batch = (linear_activity("fc", jnp.ones((3, 2, 4)), 5),)
    >>> totals = ActivityTotals().add(batch).add(batch, weight=np.array([1.0, 0.0]))
    >>> totals.samples, totals.layers[0].spikes
    (3, 36)
    """

    layers: tuple[LayerTotals, ...] = ()
    samples: int = 0

    def add(
        self, activities: Sequence[LayerActivity], weight: np.ndarray | Array | None = None
    ) -> ActivityTotals:
        """These totals and one more batch.

        Args:
          activities: what the model recorded, concrete arrays (not inside `jax.jit`).
          weight: [B], 1 for a sample and 0 for a row that only fills the batch; None counts all.
        """
        if not activities:
            raise ValueError("activities is empty; run the model with record=True.")
        rows = np.asarray(activities[0].sites).shape
        keep = _keep(weight, rows)
        batch = tuple(_layer_totals(layer, keep) for layer in activities)
        return self.merge(ActivityTotals(batch, int(keep.sum())))

    def merge(self, other: ActivityTotals) -> ActivityTotals:
        """The totals of both, for the same network."""
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
        raise ValueError(f"activity counts must be [B], one a sample; got shape {shape}.")
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
    sums = {}
    for name in _COUNTS:
        count = np.asarray(getattr(layer, name))
        if count.shape != keep.shape:
            raise ValueError(
                f"layer '{layer.name}': {name} must be {keep.shape}; got {count.shape}."
            )
        sums[name] = int(count[keep].astype(np.int64).sum())
    return LayerTotals(layer.name, layer.in_channels, layer.out_channels, layer.spiking, **sums)


def _signature(layer: LayerTotals) -> tuple[str, int, int, bool]:
    return layer.name, layer.in_channels, layer.out_channels, layer.spiking


def _sum(a: LayerTotals, b: LayerTotals) -> LayerTotals:
    return LayerTotals(*_signature(a), **{k: getattr(a, k) + getattr(b, k) for k in _COUNTS})
