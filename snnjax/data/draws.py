"""Random streams of a run, and choices among samples or rows."""

from __future__ import annotations

import numpy as np

_ORDER, _SAMPLE = 2, 3  # names of the two random streams of a run


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of `size` training samples in an epoch; int64 [size]."""
    return _stream(seed, _ORDER, epoch).permutation(size)


def sample_rng(seed: int, epoch: int, position: int) -> np.random.Generator:
    """The generator of all draws for the sample at a position of an epoch."""
    return _stream(seed, _SAMPLE, epoch, position)


def evaluation_rng(i: int) -> np.random.Generator:
    """The generator for draws in evaluation, such as points of a cloud; equal in every run."""
    return sample_rng(0, 0, i)


def _stream(seed: int, *key: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=key)
    return np.random.Generator(np.random.SFC64(sequence))


def subset(n: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of n rows, or of `limit` of them at random without replacement if that is fewer."""
    if n <= limit:
        return np.arange(n)
    return rng.choice(n, limit, replace=False, shuffle=False)


def spread(total: int, size: int | None) -> np.ndarray:
    """Indices of `size` of `total` samples, evenly spread to keep every class of a sorted set.

    >>> spread(10, 3).tolist()
    [1, 5, 8]
    """
    size = total if size is None else min(size, total)
    return (2 * np.arange(size, dtype=np.int64) + 1) * total // (2 * size)
