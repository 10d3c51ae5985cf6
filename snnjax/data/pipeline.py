"""Batches of a point data set as a resumable grain iterator."""

from __future__ import annotations

import grain
import numpy as np

from .batch import PointBatch, PointDataset, gather
from .clouds.augment import Augment

_ORDER, _SAMPLE = 2, 3  # names of the two random streams of a run
_ENDLESS = 1 << 40


def steps_per_epoch(dataset: PointDataset, batch_size: int, *, train: bool) -> int:
    """Training leaves out the last, partial batch; evaluation fills it up."""
    whole, rest = divmod(len(dataset), batch_size)
    return whole if train else whole + (rest > 0)


def batches(
    dataset: PointDataset,
    batch_size: int,
    *,
    points: int,
    seed: int,
    train: bool,
    augment: Augment | None = None,
    start_step: int = 0,
    epochs: int | None = None,
    prefetch: int = 0,
    rows: np.ndarray | None = None,
) -> grain.DatasetIterator:
    """Iterate over a split in batches, deterministically.

    Training shuffles every epoch anew and drops its last partial batch; evaluation keeps the order
    and fills the last batch with empty clouds of weight 0 and index -1. `augment` changes every
    cloud anew in every epoch, of an evaluation too, which gives the copies that vote. The order
    depends on (seed, epoch) only, and the draws for one sample on (seed, epoch, its position) only,
    so the batch of a step is the same however the iterator got there. `get_state()` gives a
    JSON-able dict for `set_state()`.

    Args:
      dataset: the split. batch_size: B. points: P, at most so many points are kept of a cloud.
      seed: of the run. train: shuffle, and leave the rest out. augment: None leaves clouds as
        they are.
      start_step: the first batch to produce. epochs: how many; None is endless in training, one in
        evaluation. prefetch: batches made ahead by one thread; 0 makes them when asked.
      rows: positions in a batch, ascending, whose points are wanted here; `points` and `count` of
        a batch then hold these rows only, and nothing else is read. None takes all.

    Returns:
      a grain iterator of `PointBatch`.

    >>> from snnjax.data.clouds import load_dataset
    >>> test = load_dataset("shapes3d", "test", points=64, size=10)
    >>> it = batches(test, 4, points=64, seed=0, train=False)
    >>> [float(b.weight.sum()) for b in it]
    [4.0, 4.0, 2.0]
    """
    limits = {"batch_size": 1, "points": 1, "seed": 0, "prefetch": 0}
    given = {"batch_size": batch_size, "points": points, "seed": seed, "prefetch": prefetch}
    if epochs is not None:
        limits["epochs"], given["epochs"] = 1, epochs
    for name, low in limits.items():
        value = given[name]
        if value < low:
            raise ValueError(f"`{name}` must be at least {low}; got {value}")
    source = BatchSource(dataset, batch_size, points, seed, train, augment, epochs, rows)
    if not 0 <= start_step <= len(source):
        raise ValueError(f"`start_step` must be in 0..{len(source)}; got {start_step}")
    options = grain.ReadOptions(num_threads=int(prefetch > 0), prefetch_buffer_size=prefetch)
    iterator = iter(grain.MapDataset.source(source).to_iter_dataset(options))
    if start_step:
        iterator.set_state({"next_index": start_step})
    return iterator


class BatchSource:
    """Random access to the batches of a run: element i is the whole batch of step i."""

    def __init__(
        self,
        dataset: PointDataset,
        batch_size: int,
        points: int,
        seed: int,
        train: bool,
        augment: Augment | None,
        epochs: int | None,
        rows: np.ndarray | None = None,
    ):
        self.dataset, self.batch_size, self.points = dataset, batch_size, points
        self.seed, self.train, self.augment = seed, train, augment
        self.rows = np.arange(batch_size) if rows is None else np.asarray(rows)
        self.steps = steps_per_epoch(dataset, batch_size, train=train)
        if self.steps == 0:
            raise ValueError(
                f"a split of {len(dataset)} samples fills no batch of {batch_size}; "
                f"lower the batch size or add data"
            )
        endless = _ENDLESS if train else self.steps
        self.length = endless if epochs is None else epochs * self.steps
        self._order: tuple[int, np.ndarray] = (-1, np.arange(len(dataset)))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> PointBatch:
        epoch, inside = divmod(int(index), self.steps)
        first = inside * self.batch_size
        samples = self._epoch_order(epoch)[first : first + self.batch_size]
        points, count = self._read(epoch, first, samples)
        label = np.array([self.dataset.label(int(i)) for i in samples], np.int32)
        weight = np.ones(len(samples), np.float32)
        fill = self.batch_size - len(samples)
        return PointBatch(
            _fill(points, len(self.rows) - len(points)),
            _fill(count, len(self.rows) - len(count)),
            _fill(label, fill),
            _fill(weight, fill),
            _fill(samples.astype(np.int32), fill, -1),
        )

    def _read(self, epoch: int, first: int, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points and counts of the wanted rows that a batch of `samples` has."""
        rows = self.rows[self.rows < len(samples)]
        if not len(rows):
            shape = (0, self.points, self.dataset.in_channels)
            return np.zeros(shape, np.float32), np.zeros(0, np.int32)
        rngs = [self._stream(_SAMPLE, epoch, first + int(k)) for k in rows]
        points, count = gather(self.dataset, samples[rows], self.points, rngs)
        return (points, count) if self.augment is None else self.augment(points, count, rngs)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if not self.train:
            return self._order[1]
        known = self._order
        if known[0] != epoch:
            order = self._stream(_ORDER, epoch).permutation(len(self.dataset))
            known = self._order = (epoch, order)
        return known[1]

    def _stream(self, *key: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=key)
        return np.random.Generator(np.random.SFC64(sequence))


def _fill(column: np.ndarray, more: int, value: int = 0) -> np.ndarray:
    """Append so many rows of one value."""
    if not more:
        return column
    return np.concatenate([column, np.full((more, *column.shape[1:]), value, column.dtype)])
