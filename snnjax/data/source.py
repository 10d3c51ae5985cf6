"""The protocols of training data: a source, the data sets it opens, and their batch shapes.

A kind of data is one class that follows `Source`. `SourceBase` has defaults for everything except
`open`; the package docstring shows a complete source.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from jax import Array

from .checks import at_least_one

SPLITS = ("train", "test")
FILL = ("weight", "index")  # keys of a batch that the pipeline adds

Sample = dict[str, Any]
"""One sample: arrays by name, ragged ones too; `label` among them where there is one."""

Batch = dict[str, np.ndarray]
"""The source's arrays by name, batch first, and two added by the pipeline:

- `weight`, float32 [B]: 0 for a row that only fills the last batch of an evaluation, else 1;
- `index`, int32 [B]: position of the sample in its split, -1 for such a row.

Where several processes share a batch, `weight` and `index` describe all of its rows, and the
source's arrays hold the rows of this process only.
"""


class Dataset(Protocol):
    """One split, on the host.

    Attributes:
      class_names: names of the labels, in order; empty where there are no classes.
      in_channels: channels of a sample, as the first layer of a model counts them.
      skipped: samples that were left out while reading.
      sample_shape: shape of a sample if all have the same, else None.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def sample_shape(self) -> tuple[int, ...] | None: ...

    def __len__(self) -> int: ...

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """Sample i.

        Args:
          i: in 0..len - 1.
          rng: generator of random choices in training; None in evaluation, where equal calls
            return equal samples.
        """
        ...

    def name(self, i: int) -> str:
        """The name of sample i in messages and figures."""
        ...


@dataclass(frozen=True)
class DataInfo:
    """The facts about data that a model needs; enough to load and use it without the data.

    Attributes:
      class_names, in_channels, sample_shape: as in `Dataset`, equal in both splits.
      train_size, test_size: samples of the splits.
      skipped: samples of both that were left out while reading.
    """

    class_names: tuple[str, ...]
    in_channels: int
    train_size: int
    test_size: int
    skipped: int
    sample_shape: tuple[int, ...] | None = None

    @classmethod
    def of(cls, train: Dataset, test: Dataset) -> DataInfo:
        """The description of two splits that belong together.

        Raises:
          ValueError: a split is empty, or they differ in classes, channels or shape.
        """
        for name, split in (("train", train), ("test", test)):
            if len(split) == 0:
                raise ValueError(
                    f"the {name} split is empty; check data.path and data.{name}_size."
                )
        for field in ("class_names", "in_channels", "sample_shape"):
            a, b = getattr(train, field), getattr(test, field)
            if a != b:
                raise ValueError(f"train and test split differ in {field}: {a!r} and {b!r}.")
        return cls(
            tuple(train.class_names),
            train.in_channels,
            len(train),
            len(test),
            train.skipped + test.skipped,
            train.sample_shape,
        )


@dataclass(frozen=True)
class Layout:
    """How batches are divided over devices and micro-batches.

    Attributes:
      batch_size: samples of a batch, over all devices.
      devices: how many share a batch.
      accumulate: micro-batches that a training batch is divided into.
      seed: seed of the training order.
    """

    batch_size: int
    devices: int = 1
    accumulate: int = 1
    seed: int = 0


class Shapes(Protocol):
    """The static shapes (buckets) of a run's batches; one program is compiled for each."""

    def choose(self, batch: Batch, *, train: bool, largest: bool = False) -> Hashable | None:
        """The bucket of a batch; None if all batches have one shape.

        Args:
          batch: on the host. train: a training batch, or one of evaluation.
          largest: the largest bucket, whatever the batch; processes that share a batch take it,
            since none has the samples of the others.
        """
        ...

    def fit(self, batch: Batch) -> Hashable | None:
        """The tightest bucket for this batch, for a single prediction or figure."""
        ...

    def padding(self, batch: Batch, shape: Any) -> float:
        """Fraction of computed entries that is padding, in [0, 1]."""
        ...

    def serves(self, layout: Layout) -> bool:
        """Whether this layout of batches can use these buckets; if not, they are fitted again."""
        ...

    def to_json(self) -> dict[str, Any]:
        """JSON values from which `Source.shapes_from_json` restores equal shapes."""
        ...


@dataclass(frozen=True)
class Static:
    """Shapes for batches that all have one shape."""

    def choose(self, batch: Batch, *, train: bool, largest: bool = False) -> None:
        return None

    def fit(self, batch: Batch) -> None:
        return None

    def padding(self, batch: Batch, shape: Any) -> float:
        return 0.0

    def serves(self, layout: Layout) -> bool:
        return True

    def to_json(self) -> dict[str, Any]:
        return {}


class Source(Protocol):
    """A kind of data with its settings: a frozen dataclass whose fields are options."""

    @property
    def path(self) -> str: ...
    @property
    def train_size(self) -> int | None: ...
    @property
    def test_size(self) -> int | None: ...
    @property
    def skip_bad(self) -> bool: ...

    def open(self, split: str) -> Dataset:
        """The split "train" or "test"."""
        ...

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """Samples to arrays with the batch first; ragged ones are padded.

        Args:
          samples: at least one.
          rngs: one for each sample, with which the random changes of training are drawn (after
            `Dataset.sample` has drawn from the same); None leaves the samples as they are.
        """
        ...

    def shapes(self, train: Dataset | None, test: Dataset, model: Any, layout: Layout) -> Shapes:
        """Shapes that fit every batch of a run; of an evaluation only, if `train` is None.

        Raises:
          ValueError, TypeError: the model cannot process such data.
        """
        ...

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> Shapes:
        """The shapes that `Shapes.to_json` wrote, for batches of this layout.

        Raises:
          ValueError: the values are not valid shapes, or belong to another model.
        """
        ...

    def encode(
        self, batch: dict[str, Array], shape: Any, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """The model's inputs by name (`x`, ...) and `label`, on the device, inside the step.

        Args:
          batch: the source's arrays. shape: the bucket of the batch, static. key: random key for
            changes on the device; None in evaluation. train: whether to make them.

        Returns:
          Arrays and pytrees of arrays; also hashable static values, which are not traced.
        """
        ...

    def read(self, path: str | Path) -> Sample:
        """One file as a sample of an evaluation, without a label."""
        ...

    def for_voting(self) -> Self:
        """The source whose random changes make the copies of test-time augmentation.

        Raises:
          ValueError: it has no random changes, so all copies would be equal.
        """
        ...

    def for_testing(self) -> Self:
        """The source that tests on the test part, where this one tests on a validation part.

        Raises:
          ValueError: it tests on the test part already.
        """
        ...

    def notices(self, *splits: Dataset) -> list[str]:
        """Notices about these splits for the user before training, one sentence each."""
        ...


@dataclass(frozen=True)
class SourceBase:
    """Fields that all sources have, and defaults for everything but `open`.

    The defaults suit samples of one shape whose arrays a model reads as they are.
    """

    path: str = ""
    """File or folder of the data."""
    train_size: int | None = None
    """Samples of the training split; None takes all."""
    test_size: int | None = None
    """Samples of the test split; None takes all."""
    skip_bad: bool = False
    """Skip samples that cannot be read and count them, instead of stopping at the first."""

    def __post_init__(self) -> None:
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                at_least_one(f"data.{name}", getattr(self, name))

    def size(self, split: str) -> int | None:
        """The requested number of samples of a split; None for all.

        Raises:
          ValueError: the split is neither "train" nor "test".
        """
        if split not in SPLITS:
            raise ValueError(f"`split` must be 'train' or 'test'; got {split!r}")
        return self.train_size if split == "train" else self.test_size

    @abstractmethod
    def open(self, split: str) -> Dataset:
        raise NotImplementedError(f"{type(self).__name__} must define open(split) -> Dataset")

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """Stack arrays of equal shapes."""
        return stack(samples)

    def shapes(self, train: Dataset | None, test: Dataset, model: Any, layout: Layout) -> Shapes:
        return Static()

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> Shapes:
        if values != {}:
            raise ValueError(
                f"batches of {type(self).__name__} all have one shape; got {values!r}."
            )
        return Static()

    def encode(
        self, batch: dict[str, Array], shape: Any, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """The arrays of `collate`, unchanged."""
        return {name: array for name, array in batch.items() if name not in FILL}

    def read(self, path: str | Path) -> Sample:
        raise ValueError(f"{type(self).__name__} cannot read single files; define read(path).")

    def for_voting(self) -> Self:
        raise ValueError(
            f"votes are over randomly changed copies, and {type(self).__name__} has no random "
            "changes for them. Evaluate it without votes."
        )

    def for_testing(self) -> Self:
        raise ValueError(
            f"{type(self).__name__} has no validation part: it tests on its test split already."
        )

    def notices(self, *splits: Dataset) -> list[str]:
        return []


def stack(samples: list[Sample]) -> Batch:
    """Stack samples whose arrays have equal names and shapes into one batch.

    Raises:
      ValueError: names or shapes differ.

    >>> stack([{"x": np.ones(2), "label": 1}, {"x": np.zeros(2), "label": 0}])["label"]
    array([1, 0], dtype=int32)
    """
    names = samples[0].keys()
    batch = {}
    for other in samples:
        if other.keys() != names:
            raise ValueError(
                f"samples must hold the same arrays; got {sorted(names)} and {sorted(other)}."
            )
    for name in names:
        arrays = [np.asarray(sample[name]) for sample in samples]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"`{name}` of the samples of a batch must have one shape; got {shapes[0]} and "
                f"{shapes[-1]}. Pad them in the source's `collate`."
            )
        batch[name] = np.stack(arrays)
        if name == "label" and batch[name].dtype.kind in "iub":
            batch[name] = batch[name].astype(np.int32)
    return batch
