"""From host batches to device batches, ahead of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from snnjax.data import DataError, PointBatch, PointDataset, batches
from snnjax.sparse import Buckets, Capacities
from snnjax.train.experiment import DataConfig, Experiment, Source, of_type
from snnjax.train.forward import DeviceBatch
from snnjax.train.mesh import AXIS, local_rows, shard, shard_rows
from snnjax.train.plan import CapacityPlan, evaluation_batches, site_counts
from snnjax.train.prefetch import Prefetch


class Prepared(NamedTuple):
    """A batch on its devices, and what the host knows of it.

    Attributes:
      batch: the arrays of the step, sharded.
      host: the same batch on the host; of its points, the rows of this process.
      capacities: the bucket it takes; None for sequences.
      waste: share of the rows of all levels, or of the frames, that are padding.
      position: state of the data iterator after this batch; None in evaluation.
    """

    batch: DeviceBatch
    host: PointBatch
    capacities: Capacities | None
    waste: float
    position: dict[str, Any] | None


def train_feed(
    experiment: Experiment,
    dataset: PointDataset,
    plan: CapacityPlan | None,
    mesh: Mesh,
    position: dict[str, Any] | None,
) -> Prefetch[Prepared]:
    """Endless training batches from `position` on (None: from the first)."""
    config = experiment.data
    iterator = batches(
        dataset,
        config.batch_size,
        points=config.rows,
        seed=experiment.seed,
        train=True,
        augment=config.changes,
        rows=local_rows(config.batch_size, mesh),
    )
    if position is not None:
        iterator.set_state(position)

    def produce() -> Prepared:
        batch = _next(iterator, "training")
        position = iterator.get_state()
        check_batch(batch, "training", len(dataset.class_names))
        return _prepare(
            batch, config, plan and plan.training, mesh, position, experiment.accumulate
        )

    return Prefetch(produce)


def evaluation_feed(
    experiment: Experiment,
    dataset: PointDataset,
    evaluation: Buckets | None,
    mesh: Mesh,
    *,
    votes: int = 0,
) -> Prefetch[Prepared]:
    """The test split once, in order; or `votes` augmented copies of it."""
    config = experiment.data
    rows = local_rows(config.batch_size, mesh)
    iterator = iter(evaluation_batches(config, dataset, votes, rows=rows))

    def produce() -> Prepared:
        batch = _next(iterator, "test")
        check_batch(batch, "test", len(dataset.class_names))
        return _prepare(batch, config, evaluation, mesh, None)

    return Prefetch(produce)


def _next(iterator: Iterator[PointBatch], split: str) -> PointBatch:
    """The next batch; what goes wrong in making it is told as a fault of the data.

    Errors with a message for the user, such as those of the readers, pass as they are.
    """
    try:
        return next(iterator)
    except (StopIteration, ValueError, OSError):
        raise
    except Exception as error:
        raise DataError(
            f"a batch of the {split} split could not be made: {type(error).__name__}: {error}. "
            "Mend the data set, then resume the run; --debug shows where it happened."
        ) from error


def check_batch(batch: PointBatch, split: str, classes: int) -> None:
    """Raise if a label is no class, or a value is NaN or infinite.

    Inside a step the loss would be NaN, and not say where; and the weights would be lost.
    """
    check_labels(batch, classes)
    if not np.isfinite(batch.points.sum(dtype=np.float64)):  # as quick as it gets
        finite = np.isfinite(batch.points).all(axis=tuple(range(1, batch.points.ndim)))
        bad = ", ".join(str(int(i)) for i in batch.index[~finite][:10])
        if bad:
            raise ValueError(
                f"samples must hold numbers; of the {split} split these hold NaN or infinity, by "
                f"their index: {bad}. Correct or remove them, then resume the run."
            )


def check_labels(batch: PointBatch, classes: int) -> None:
    """Raise if a label is no class: inside a step its loss would be NaN, and not say where."""
    wrong = (batch.label < 0) | (batch.label >= classes)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"labels must be in 0..{classes - 1}; sample {int(batch.index[row])} has "
            f"{int(batch.label[row])}. Correct the data, or its class names."
        )


def _prepare(
    batch: PointBatch,
    config: Source,
    buckets: Buckets | None,
    mesh: Mesh,
    position: dict[str, Any] | None,
    accumulate: int = 1,
) -> Prepared:
    arrays = DeviceBatch._make((batch.points, batch.count, batch.label, batch.weight))
    shared = mesh.is_multi_process
    share = config.batch_size // mesh.shape[AXIS]
    capacities, waste = _capacities(batch, config, buckets, share, accumulate, largest=shared)
    placed = _shard_local(arrays, mesh) if shared else shard(arrays, mesh)
    return Prepared(placed, batch, capacities, waste, position)


def _shard_local(arrays: DeviceBatch, mesh: Mesh) -> DeviceBatch:
    """A batch of which this process has its own points and all labels."""
    size = len(arrays.label)
    own, every = local_rows(size, mesh), np.arange(size)
    return DeviceBatch(
        shard_rows(arrays.points, own, size, mesh),
        shard_rows(arrays.count, own, size, mesh),
        shard_rows(arrays.label, every, size, mesh),
        shard_rows(arrays.weight, every, size, mesh),
    )


def _capacities(
    batch: PointBatch,
    config: Source,
    buckets: Buckets | None,
    share: int,
    accumulate: int,
    *,
    largest: bool,
) -> tuple[Capacities | None, float]:
    """The bucket of a batch of clouds, none for sequences; and what share of it is padding.

    Processes that share a batch must take the same bucket, and none knows the clouds of the
    others: they take the largest one.
    """
    if buckets is None:
        return None, 1 - float(batch.count.sum()) / (len(batch.count) * config.rows)
    counts = site_counts(batch, of_type(config, DataConfig).extent, buckets.depth)
    counts = as_packed(counts, len(counts) // share, accumulate)
    capacities = buckets.choices[-1] if largest else buckets.choose(counts)
    return capacities, capacities.padding(counts)


def as_packed(rows: np.ndarray, devices: int, accumulate: int) -> np.ndarray:
    """Rows of a batch [B, ...], micro-batch after micro-batch of each device.

    >>> as_packed(np.arange(8), 2, 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    parts = rows.reshape(devices, -1, accumulate, *rows.shape[1:])
    return parts.swapaxes(1, 2).reshape(rows.shape)


def pipelined(
    feed: Prefetch[Prepared], launch: Callable[[Prepared], Any], *, ahead: int = 2
) -> Iterator[tuple[Prepared, Any]]:
    """Launch a step for every item of `feed`; yield (item, output) up to `ahead` steps late."""
    waiting: list[tuple[Prepared, Any]] = []
    for item in feed:
        waiting.append((item, launch(item)))
        if len(waiting) > ahead:
            first, output = waiting.pop(0)
            yield first, jax.device_get(output)
    for item, output in waiting:
        yield item, jax.device_get(output)
