"""Capacities for batches of voxel grids, fixed by one scan of the data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from snnjax.sparse import (
    ArithmeticTable,
    Buckets,
    Capacities,
    Geometry,
    fit_buckets,
    packable,
)

from .source import Batch, Layout


class VoxelGrid(Protocol):
    """How the sites of a kind's batches are counted.

    Attributes:
      arrays: names of the arrays of a batch that they are counted from.
      box: voxels along z, y, x. depth: number of levels below the input.
      levels: those levels, as `snnjax.sparse.fit_buckets` takes them.
    """

    @property
    def arrays(self) -> tuple[str, ...]: ...
    @property
    def box(self) -> tuple[int, int, int]: ...
    @property
    def depth(self) -> int: ...
    @property
    def levels(self) -> int | Sequence[Geometry]: ...

    def counts(self, batch: Batch) -> np.ndarray:
        """Occupied sites of each sample at each level, int [B, depth + 1]."""
        ...

    def occupancy(self, batch: Batch) -> tuple[float, ...]:
        """Share of the 27 neighbours that are present at each level."""
        ...


@dataclass(frozen=True)
class VoxelShapes:
    """The capacities among which batches choose.

    Attributes:
      training: buckets of training batches.
      evaluation: the single bucket of the test split, fitted without headroom.
      grid: grid in which sites are counted.
      layout: how batches are divided.
    """

    training: Buckets
    evaluation: Buckets
    grid: VoxelGrid
    layout: Layout
    _counted: list[Any] = field(default_factory=list, init=False, compare=False, repr=False)

    def choose(self, batch: Batch, *, train: bool, largest: bool = False) -> Capacities:
        buckets = self.training if train else self.evaluation
        if largest:
            return buckets.choices[-1]
        counts = self._counts(batch)
        if train:
            share = self.layout.batch_size // self.layout.devices
            counts = by_micro_batch(counts, len(counts) // share, self.layout.accumulate)
        return buckets.choose(counts)

    def fit(self, batch: Batch) -> Capacities:
        counts = self._counts(batch).max(axis=0)
        return Capacities(tuple(max(int(n), 1) for n in counts))

    def padding(self, batch: Batch, shape: Capacities) -> float:
        return shape.padding(self._counts(batch))

    def serves(self, layout: Layout) -> bool:
        local = layout.batch_size // layout.devices
        pairs = ((self.training, local // layout.accumulate), (self.evaluation, local))
        return all(n % choice.samples == 0 for buckets, n in pairs for choice in buckets.choices)

    def to_json(self) -> dict[str, Any]:
        named = {"training": self.training, "evaluation": self.evaluation}
        return {name: json.loads(buckets.to_json()) for name, buckets in named.items()}

    def _counts(self, batch: Batch) -> np.ndarray:
        """Sites of a batch; the last result is cached for `choose` and `padding`."""
        arrays = [batch[name] for name in self.grid.arrays]
        known = self._counted[-1:]
        if known and all(a is b for a, b in zip(known[0][0], arrays, strict=True)):
            return known[0][1]
        counts = self.grid.counts(batch)
        self._counted[:] = [(arrays, counts)]
        return counts


def shapes_from_json(values: Any, grid: VoxelGrid, layout: Layout) -> VoxelShapes:
    """The inverse of `VoxelShapes.to_json`.

    Raises:
      ValueError: the values are not valid capacities, or belong to a model of another depth.
    """
    try:
        read = {name: Buckets.from_json(json.dumps(value)) for name, value in values.items()}
        shapes = VoxelShapes(**read, grid=grid, layout=layout)
        for buckets in (shapes.training, shapes.evaluation):
            _check_levels(buckets, grid.depth + 1)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"these are not the capacities of this model ({error!r}).") from error
    return shapes


def _check_levels(buckets: Buckets, levels: int) -> None:
    """Raise unless there is a choice, and each has a positive number of rows at every level."""
    sizes = [choice.rows for choice in buckets.choices]
    for rows in [*sizes, buckets.cells]:
        if len(rows) != levels or not all(type(n) is int and n > 0 for n in rows):
            raise ValueError(f"each bucket needs {levels} positive numbers; got {list(rows)}")
    if not sizes:
        raise ValueError("there are no buckets")


def fit_capacities(
    items: Iterable[Batch],
    grid: VoxelGrid,
    local: int,
    *,
    packed: bool = True,
    limit: int,
    table: ArithmeticTable | None,
    **options: Any,
) -> Buckets:
    """Buckets for the samples of some batches.

    Args:
      items: batches. grid: grid in which sites are counted.
      local: samples per device. packed: whether they share one grid, if its keys allow that.
      limit: maximum points of a sample. table: measured choices between the arithmetics.
      options: options of `snnjax.sparse.fit_buckets`.
    """
    rest = iter(items)
    first = next(rest)
    rows = [grid.counts(batch)[batch["weight"] > 0] for batch in itertools.chain([first], rest)]
    return fit_buckets(
        np.concatenate(rows),
        extent=grid.box,
        batch_size=local,
        packed=packed and packable(grid.box, local, grid.depth),
        depth=grid.levels,
        limit=limit,
        occupancy=grid.occupancy(first),
        table=table,
        **options,
    )


def by_micro_batch(rows: np.ndarray, devices: int, accumulate: int) -> np.ndarray:
    """Rows of a batch [B, ...], micro-batch after micro-batch of each device.

    >>> by_micro_batch(np.arange(8), 2, 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    parts = rows.reshape(devices, -1, accumulate, *rows.shape[1:])
    return parts.swapaxes(1, 2).reshape(rows.shape)
