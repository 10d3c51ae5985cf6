"""Batches of a data set as a resumable grain iterator."""

from __future__ import annotations

import grain
import numpy as np

from .draws import epoch_order, sample_rng
from .source import FILL, Batch, Dataset, Source

_ENDLESS = 1 << 40


def steps_per_epoch(dataset: Dataset, batch_size: int, *, train: bool) -> int:
    """Steps of an epoch: training drops a partial last batch, evaluation pads it."""
    full, rest = divmod(len(dataset), batch_size)
    return full if train else full + (rest > 0)


def batches(
    dataset: Dataset,
    source: Source,
    batch_size: int,
    *,
    seed: int,
    train: bool,
    augment: bool | None = None,
    start_step: int = 0,
    epochs: int | None = None,
    prefetch: int = 0,
    rows: np.ndarray | None = None,
) -> grain.DatasetIterator:
    """Iterate over a split in batches, deterministically.

    Training reshuffles in every epoch and drops its last partial batch; evaluation keeps the
    order and fills the last batch with rows of zeros, weight 0 and index -1. The order depends on
    (seed, epoch) only, and the draws for one sample on (seed, epoch, its position) only, so the
    batch of a step does not depend on how the iterator got there. `get_state()` gives a JSON-able
    dict for `set_state()`.

    Args:
      dataset: the split. source: how its samples become a batch. batch_size: B.
      seed: seed of the run. train: shuffle, and drop the last partial batch.
      augment: make the random changes of training, different ones in every epoch; None makes them
        in training. In evaluation they give the copies of test-time augmentation.
      start_step: the first batch to produce. epochs: how many; None is endless in training, one in
        evaluation. prefetch: batches prepared ahead by one thread; 0 makes them on demand.
      rows: positions in a batch, ascending, that this process needs. The arrays of the source then
        hold these rows only, and no others are read; `weight` and `index` hold all. None takes all.

    Returns:
      a grain iterator of batches (see `snnjax.data.Batch`).

    >>> from snnjax.data.clouds import CloudSource
    >>> source = CloudSource("shapes3d", test_size=10, points=64)
    >>> it = batches(source.open("test"), source, 4, seed=0, train=False)
    >>> [float(b["weight"].sum()) for b in it]
    [4.0, 4.0, 2.0]
    """
    limits = {"batch_size": 1, "seed": 0, "prefetch": 0}
    given = {"batch_size": batch_size, "seed": seed, "prefetch": prefetch}
    if epochs is not None:
        limits["epochs"], given["epochs"] = 1, epochs
    for name, low in limits.items():
        value = given[name]
        if value < low:
            raise ValueError(f"`{name}` must be at least {low}; got {value}")
    augment = train if augment is None else augment
    steps = BatchSource(dataset, source, batch_size, seed, train, augment, epochs, rows)
    if not 0 <= start_step <= len(steps):
        raise ValueError(f"`start_step` must be in 0..{len(steps)}; got {start_step}")
    options = grain.ReadOptions(num_threads=int(prefetch > 0), prefetch_buffer_size=prefetch)
    iterator = iter(grain.MapDataset.source(steps).to_iter_dataset(options))
    if start_step:
        iterator.set_state({"next_index": start_step})
    return iterator


class BatchSource:
    """Random access to the batches of a run: element i is the batch of step i."""

    def __init__(
        self,
        dataset: Dataset,
        source: Source,
        batch_size: int,
        seed: int,
        train: bool,
        augment: bool,
        epochs: int | None,
        rows: np.ndarray | None = None,
    ):
        self.dataset, self.source, self.batch_size = dataset, source, batch_size
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

    def __getitem__(self, index: int) -> Batch:
        epoch, inside = divmod(int(index), self.steps)
        first = inside * self.batch_size
        samples = self._epoch_order(epoch)[first : first + self.batch_size]
        batch = self._read(epoch, first, samples)
        fill = self.batch_size - len(samples)
        batch["weight"] = _fill(np.ones(len(samples), np.float32), fill)
        batch["index"] = _fill(samples.astype(np.int32), fill, -1)
        return batch

    def _read(self, epoch: int, first: int, samples: np.ndarray) -> Batch:
        """The requested rows of a batch of `samples`, padded to their number."""
        rows = self.rows[self.rows < len(samples)]
        # where none of the requested rows has a sample, the first sample gives names and shapes
        read = rows if len(rows) else np.zeros(1, np.int64)
        rngs = None
        if self.augment:
            rngs = [sample_rng(self.seed, epoch, first + int(k)) for k in read]
        found = [
            self.dataset.sample(int(samples[k]), rngs[n] if rngs else None)
            for n, k in enumerate(read)
        ]
        batch = self.source.collate(found, rngs)
        _check(batch, len(found), self.source)
        short = len(self.rows) - len(rows)
        return {name: _fill(array[: len(rows)], short) for name, array in batch.items()}

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if not self.train:
            return self._order[1]
        known = self._order
        if known[0] != epoch:
            order = epoch_order(self.seed, epoch, len(self.dataset))
            known = self._order = (epoch, order)
        return known[1]


def _check(batch: Batch, size: int, source: Source) -> None:
    """Raise unless a source's `collate` returned a batch of `size` samples."""
    kind = type(source).__name__
    for name, array in batch.items():
        if name in FILL:
            raise ValueError(f"`{name}` is added to every batch; rename it in {kind}.collate.")
        found = getattr(array, "shape", None)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise TypeError(
                f"{kind}.collate must give NumPy arrays of numbers; `{name}` is "
                f"{getattr(array, 'dtype', type(array).__name__)}."
            )
        if not found or found[0] != size:
            raise ValueError(
                f"{kind}.collate must put the batch first; `{name}` of {size} samples has shape "
                f"{found}."
            )


def _fill(column: np.ndarray, more: int, value: int = 0) -> np.ndarray:
    """Append `more` rows of one value."""
    if not more:
        return column
    return np.concatenate([column, np.full((more, *column.shape[1:]), value, column.dtype)])
