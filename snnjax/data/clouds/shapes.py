"""Capacities for batches of clouds, fixed by one scan of the data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from snnjax.data.source import Batch, Layout
from snnjax.sparse import (
    ArithmeticTable,
    Buckets,
    Capacities,
    fit_buckets,
    level_counts,
    level_occupancy,
    packable,
)


class Grid(NamedTuple):
    """The voxels over the cube [-1, 1]^3, and how often a model halves them.

    Attributes:
      extent: voxels along each side. depth: levels below the input.
    """

    extent: int
    depth: int

    @property
    def cube(self) -> dict[str, Any]:
        """The grid in the form that `snnjax.sparse` takes."""
        n = self.extent
        return {"extent": (n, n, n), "voxel_size": 2.0 / n, "origin": (-1.0, -1.0, -1.0)}

    def counts(self, batch: Batch) -> np.ndarray:
        """Occupied sites of each cloud at each level, int [B, depth + 1], counted on the host."""
        return level_counts(batch["points"], batch["count"], **self.cube, depth=self.depth)

    def occupancy(self, batch: Batch) -> tuple[float, ...]:
        """Share of the neighbours that are present at each level."""
        return level_occupancy(batch["points"], batch["count"], **self.cube, depth=self.depth)

    def check(self) -> None:
        """Raise if a halving would drop the last plane of the grid and its contents."""
        step = 2**self.depth
        if self.extent % step:
            below = self.extent // step * step
            near = f"{below} or {below + step}" if below else str(step)
            raise ValueError(
                f"data.extent must be a multiple of {step}, since the model halves the grid "
                f"{self.depth} times; got {self.extent}. Use {near}."
            )


@dataclass(frozen=True)
class CloudShapes:
    """The capacities among which batches of clouds choose.

    Attributes:
      training: buckets of training batches.
      evaluation: the single bucket of the test split, fitted without headroom.
      grid: grid in which sites are counted.
      layout: how batches are divided.
    """

    training: Buckets
    evaluation: Buckets
    grid: Grid
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
        known = self._counted[-1:]
        if known and known[0][0] is batch["points"] and known[0][1] is batch["count"]:
            return known[0][2]
        counts = self.grid.counts(batch)
        self._counted[:] = [(batch["points"], batch["count"], counts)]
        return counts


def shapes_from_json(values: Any, grid: Grid, layout: Layout) -> CloudShapes:
    """The inverse of `CloudShapes.to_json`.

    Raises:
      ValueError: the values are not valid capacities, or belong to a model of another depth.
    """
    try:
        read = {name: Buckets.from_json(json.dumps(value)) for name, value in values.items()}
        shapes = CloudShapes(**read, grid=grid, layout=layout)
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
    grid: Grid,
    local: int,
    *,
    limit: int,
    table: ArithmeticTable | None,
    **options: Any,
) -> Buckets:
    """Buckets for the clouds of some batches.

    Args:
      items: batches. grid: grid in which sites are counted.
      local: samples per device; packed into one grid if its keys allow that.
      limit: maximum points of a cloud. table: measured choices between the arithmetics.
      options: options of `snnjax.sparse.fit_buckets`.
    """
    rest = iter(items)
    first = next(rest)
    rows = [grid.counts(batch)[batch["weight"] > 0] for batch in itertools.chain([first], rest)]
    extent = grid.cube["extent"]
    return fit_buckets(
        np.concatenate(rows),
        extent=extent,
        batch_size=local,
        packed=packable(extent, local, grid.depth),
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
