"""What the data part hands to the trainer, and what it asks of a data set."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class PointBatch(NamedTuple):
    """B clouds of at most P points, or sequences of at most P frames, as arrays on the host.

    Of a cloud, columns 0..2 of `points` are x, y, z in [-1, 1], and further columns are features
    (normals); of a sequence, row t is frame t with its channels.
    Rows from `count` on are zero. `weight` is 0 for rows that only fill the last evaluation
    batch, else 1; `index` is the position of the sample in its split. Where several processes share
    a batch, `points` and `count` hold the rows of this one only.
    """

    points: np.ndarray  # float32 [B, P, C]
    count: np.ndarray  # int32 [B]
    label: np.ndarray  # int32 [B]
    weight: np.ndarray  # float32 [B]
    index: np.ndarray  # int32 [B]


class PointDataset(Protocol):
    """One split of a set of labelled point clouds.

    `points(i)` is the clean, normalised cloud float32 [n, C], and may be empty (n = 0) in a test
    split; `skipped` counts the samples left out while reading (bad ones, and empty training ones).
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def in_channels(self) -> int: ...

    @property
    def skipped(self) -> int: ...

    def __len__(self) -> int: ...

    def points(self, i: int) -> np.ndarray: ...

    def label(self, i: int) -> int: ...


def gather(
    dataset: PointDataset, index: np.ndarray, points: int, rngs: list[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of the samples `index`, at most `points` points each, zeros after their count.

    A cloud with more points loses a random subset (without replacement), drawn from its own
    generator; one with fewer keeps all of them and is not repeated up to `points`.

    Args:
      dataset: any `PointDataset`; its own `gather(index, points, rngs)` is used if it has one.
      index: int [B]. points: P. rngs: B generators.

    Returns:
      float32 [B, P, C] and the counts, int32 [B].
    """
    own = getattr(dataset, "gather", None)
    if own is not None:
        return own(index, points, rngs)
    out = np.zeros((len(index), points, dataset.in_channels), np.float32)
    count = np.zeros(len(index), np.int32)
    for row, (i, rng) in enumerate(zip(index, rngs, strict=True)):
        cloud = dataset.points(int(i))
        count[row] = min(len(cloud), points)
        out[row, : count[row]] = cloud[subset(len(cloud), points, rng)]
    return out, count


def subset(n: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Which of n rows to keep so that at most `points` stay, at random without replacement."""
    if n <= points:
        return np.arange(n)
    return rng.choice(n, points, replace=False, shuffle=False)
