"""Capacities of a run, fixed by one scan of its data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnjax.data import PointBatch, PointDataset, batches, steps_per_epoch
from snnjax.sparse import (
    ArithmeticTable,
    Buckets,
    Capacities,
    fit_buckets,
    level_counts,
    level_occupancy,
    packable,
)
from snnjax.train.errors import RunFolderError
from snnjax.train.experiment import DataConfig, Source, of_type
from snnjax.train.writer import read_json, write_json

_SCANNED = 20_000  # training clouds that a scan looks at


@dataclass(frozen=True)
class CapacityPlan:
    """What fits every batch of a run, as recorded in `buckets.json`.

    Attributes:
      training: the capacities among which a training batch chooses.
      evaluation: the one bucket of the test split, fitted without room.
    """

    training: Buckets
    evaluation: Buckets

    @property
    def depth(self) -> int:
        """Levels below the input grid."""
        return self.training.depth

    def serves(self, local: int, accumulate: int = 1) -> bool:
        """Whether a device that gets `local` samples of a batch can pack them as planned.

        In training it gets them in `accumulate` micro-batches.
        """
        kinds = ((self.training, local // accumulate), (self.evaluation, local))
        return all(n % choice.samples == 0 for buckets, n in kinds for choice in buckets.choices)


def site_counts(batch: PointBatch, extent: int, depth: int) -> np.ndarray:
    """Occupied sites of each cloud at each level, int32 [B, depth + 1], counted on the host."""
    return level_counts(batch.points, batch.count, **_grid(extent, depth))


def _grid(extent: int, depth: int) -> dict[str, Any]:
    """The cube [-1, 1]^3 and its levels, as `snnjax.sparse` takes them."""
    cube = {"extent": (extent,) * 3, "voxel_size": 2.0 / extent, "origin": (-1.0, -1.0, -1.0)}
    return {**cube, "depth": depth}


def scan(
    config: DataConfig,
    train_set: PointDataset,
    test_set: PointDataset,
    *,
    depth: int,
    seed: int,
    devices: int = 1,
    accumulate: int = 1,
    table: ArithmeticTable | None = None,
) -> CapacityPlan:
    """Fit buckets to one epoch of augmented training clouds, and one to all test clouds.

    Later epochs are augmented otherwise, so a batch may still need more than was seen; the
    fitted buckets leave room, and a batch that still does not fit gets a larger one.

    Args:
      config: grid, batch and augmentation.
      train_set: the training split. test_set: the test split.
      depth: levels below the input grid.
      seed: of the training order.
      devices: how many share a batch. accumulate: micro-batches of a training batch.
      table: of measured choices between the arithmetics; None takes the recorded one.
    """
    size = config.batch_size
    steps = min(steps_per_epoch(train_set, size, train=True), max(_SCANNED // size, 1))
    training = batches(
        train_set,
        size,
        points=config.points,
        seed=seed,
        train=True,
        augment=config.augment,
        epochs=1,
    )
    counts, occupancy = _survey(itertools.islice(training, steps), config, depth)
    return CapacityPlan(
        _fit(config, counts, devices * accumulate, occupancy=occupancy, table=table),
        fit_evaluation(config, test_set, depth=depth, devices=devices, table=table),
    )


def fit_evaluation(
    config: DataConfig,
    test_set: PointDataset,
    *,
    depth: int,
    devices: int = 1,
    table: ArithmeticTable | None = None,
) -> Buckets:
    """One bucket that holds every test cloud exactly."""
    counts, occupancy = _survey(evaluation_batches(config, test_set), config, depth)
    return _fit(config, counts, devices, occupancy=occupancy, table=table, margin=1.0, choices=1)


def _occupancy(batch: PointBatch, config: DataConfig, depth: int) -> tuple[float, ...]:
    """Share of the neighbours that are present at each level, in one batch."""
    return level_occupancy(batch.points, batch.count, **_grid(config.extent, depth))


def _fit(config: DataConfig, counts: np.ndarray, parts: int, **options: Any) -> Buckets:
    """Buckets for what a device gets at once, packed into one grid if its keys allow that."""
    grid, local = (config.extent, config.extent, config.extent), config.batch_size // parts
    packed = packable(grid, local, counts.shape[1] - 1)
    return fit_buckets(
        counts, extent=grid, batch_size=local, packed=packed, limit=config.points, **options
    )


def fitting_capacities(batch: PointBatch, extent: int, depth: int) -> Capacities:
    """The fewest rows that hold this very batch."""
    counts = site_counts(batch, extent, depth).max(axis=0)
    return Capacities(tuple(max(int(n), 1) for n in counts))


def evaluation_batches(
    config: Source, test_set: PointDataset, votes: int = 0, *, rows: np.ndarray | None = None
) -> Iterable[PointBatch]:
    """The test split in order; the last batch is filled with rows of weight 0.

    With `votes` the split comes so many times, its clouds augmented anew each time but whole.
    `rows` are those whose points are wanted, as in `batches`.
    """
    return batches(
        test_set,
        config.batch_size,
        points=config.rows,
        seed=0,
        train=False,
        augment=of_type(config, DataConfig).augment.whole if votes else None,
        epochs=max(votes, 1),
        rows=rows,
    )


def _survey(
    items: Iterable[PointBatch], config: DataConfig, depth: int
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Sites of all clouds at each level, and the occupancy of the first batch."""
    rest = iter(items)
    first = next(rest)
    rows = [
        site_counts(batch, config.extent, depth)[batch.weight > 0]
        for batch in itertools.chain([first], rest)
    ]
    return np.concatenate(rows), _occupancy(first, config, depth)


def write_plan(path: Path, plan: CapacityPlan) -> None:
    """Write `buckets.json`."""
    write_json(path, {name: json.loads(value.to_json()) for name, value in vars(plan).items()})


def read_plan(path: Path, *, depth: int) -> CapacityPlan:
    """Read `buckets.json`, written for a model of this depth.

    Raises:
      RunFolderError: it is damaged, or its capacities are those of another depth.
    """
    values: Any = read_json(path)
    try:
        read = {name: Buckets.from_json(json.dumps(value)) for name, value in values.items()}
        plan = CapacityPlan(**read)
        for buckets in vars(plan).values():
            _check_levels(buckets, depth + 1)
        return plan
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path} does not describe capacities ({error!r}). Restore it, or start a new run."
        ) from error


def _check_levels(buckets: Buckets, levels: int) -> None:
    """Raise unless there is a choice, and each has a positive number of rows at every level."""
    sizes = [choice.rows for choice in buckets.choices]
    for rows in [*sizes, buckets.cells]:
        if len(rows) != levels or not all(type(n) is int and n > 0 for n in rows):
            raise ValueError(f"needed are {levels} positive numbers; got {list(rows)}")
    if not sizes:
        raise ValueError("there are no choices")
