"""Static capacities, chosen on the host: the number of rows of each level of a network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from snnjax.sparse.arithmetic import TYPICAL_OCCUPANCY, ArithmeticTable
from snnjax.sparse.tensor import one_number

MARKS = 1 << 24  # sites are counted by a byte per cell up to this number of cells in a batch


@dataclass(frozen=True)
class Capacities:
    """Rows of every level, and the arithmetic of its submanifold maps. Hashable.

    Attributes:
      rows: capacity of the input and of each strided level below it, for each grid.
      arithmetic: "pairs" or "table" for each level; if empty, every map chooses by its shapes.
      samples: number of consecutive samples that share a grid and its rows (see `pack`).
    """

    rows: tuple[int, ...]
    arithmetic: tuple[str, ...] = ()
    samples: int = 1

    def need(self, counts: np.ndarray) -> np.ndarray:
        """Rows needed at each level, [levels], by samples with site counts [B, levels]."""
        return _grouped(np.asarray(counts), self.samples).max(axis=0)

    def padding(self, counts: np.ndarray) -> float:
        """The fraction of the rows of all levels that such a batch leaves empty."""
        grids = _grouped(np.asarray(counts), self.samples)
        held = np.minimum(grids, self.rows).sum()
        return 1.0 - float(held) / (len(grids) * sum(self.rows))


@dataclass(frozen=True)
class Buckets:
    """A few capacities, from small to large; a training run compiles once for each one used."""

    choices: tuple[Capacities, ...]
    cells: tuple[int, ...]  # sites a level can have at most

    @property
    def depth(self) -> int:
        """Levels below the input."""
        return len(self.cells) - 1

    def choose(self, counts: np.ndarray) -> Capacities:
        """The smallest capacities that hold a batch.

        For a batch larger than all choices the last one is enlarged by factors of 1.5, depending
        only on the batch: nothing is lost, at the cost of one more compilation.

        Args:
          counts: occupied sites of each sample and level, [B, levels], from `level_counts`.
        """
        need = self.choices[-1].need(counts)
        for choice in self.choices:
            if np.all(need <= choice.rows):
                return choice
        if np.any(need > self.cells):
            raise ValueError(
                f"a batch has {need.tolist()} sites in its levels, but these buckets were fitted "
                f"for at most {list(self.cells)}. Fit them with a larger `limit` or extent."
            )
        largest = self.choices[-1]
        rows = largest.rows
        while np.any(need > rows):
            rows = tuple(
                min(math.ceil(1.5 * r / 8) * 8, c) for r, c in zip(rows, self.cells, strict=True)
            )
        return Capacities(rows, largest.arithmetic, largest.samples)

    def to_json(self) -> str:
        """The buckets as JSON, for the run folder."""
        choices = [vars(choice) for choice in self.choices]
        return json.dumps({"choices": choices, "cells": self.cells}, indent=1)

    @staticmethod
    def from_json(text: str) -> Buckets:
        """The inverse of `to_json`."""
        data = json.loads(text)
        choices = tuple(
            Capacities(tuple(c["rows"]), tuple(c["arithmetic"]), c["samples"])
            for c in data["choices"]
        )
        return Buckets(choices, tuple(data["cells"]))


def fit_buckets(
    counts: np.ndarray,
    *,
    extent: tuple[int, int, int],
    batch_size: int,
    packed: bool = False,
    limit: int | None = None,
    margin: float = 1.1,
    choices: int = 2,
    occupancy: tuple[float, ...] | None = None,
    table: ArithmeticTable | None = None,
    backend: str | None = None,
) -> Buckets:
    """Buckets of capacities, fitted to the site counts of scanned batches.

    The last bucket holds the largest sample of the scan with a margin (the largest batch, if
    samples are packed). A smaller one is added if half of the batches would fit into four fifths
    of its rows. Rows are multiples of 8, at most the cells of the level.

    Args:
      counts: occupied sites of each scanned sample and level, [S, levels], batch after batch.
      extent: grid size of the input; level l has extent // 2^l.
      batch_size: samples on one device.
      packed: whether those samples share the rows of one grid (see `pack`).
      limit: maximum number of sites of a sample, usually its number of points.
      margin: relative margin above the scanned maximum.
      choices: 1 for a single bucket.
      occupancy: expected fraction of the 27 neighbours present at each level; None assumes
        surfaces.
      table: measured choice of the arithmetic. backend: as in `ArithmeticTable.choose`.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not len(counts):
        raise ValueError(f"counts must be [S, levels] with S >= 1; got shape {counts.shape}.")
    levels = counts.shape[1]
    most = math.prod(extent) if limit is None else limit
    samples = batch_size if packed else 1
    cells = tuple(
        samples * min(math.prod(max(e >> level, 1) for e in extent), most)
        for level in range(levels)
    )
    expected = occupancy or (TYPICAL_OCCUPANCY,) * levels
    chooser = table or ArithmeticTable()
    grids = _grouped(counts, samples)
    batches = grids if packed else _grouped(counts, batch_size, np.max)
    peak, typical = grids.max(axis=0), np.median(batches, axis=0)
    fitted = []
    for size in [typical, peak] if choices > 1 and typical[0] <= 0.8 * peak[0] else [peak]:
        rows = tuple(
            min(max(math.ceil(s * margin / 8) * 8, 8), c) for s, c in zip(size, cells, strict=True)
        )
        arithmetic = tuple(
            chooser.choose(batch_size // samples * r, 27, o, backend)
            for r, o in zip(rows, expected, strict=True)
        )
        fitted.append(Capacities(rows, arithmetic, samples))
    return Buckets(tuple(fitted), cells)


def _grouped(
    counts: np.ndarray, size: int, reduce: Callable[..., np.ndarray] = np.sum
) -> np.ndarray:
    """Sums (or another reduction) over groups of `size` consecutive rows; the last may be short."""
    short = -len(counts) % size
    padded = np.concatenate([counts, np.zeros((short, counts.shape[1]), counts.dtype)])
    return reduce(padded.reshape(-1, size, counts.shape[1]), axis=1)


def level_counts(
    points: np.ndarray,
    count: np.ndarray,
    *,
    extent: tuple[int, int, int],
    voxel_size: float,
    origin: tuple[float, float, float] | None = None,
    depth: int,
) -> np.ndarray:
    """Occupied sites of each cloud at the input and after each of `depth` halvings, on the host.

    The same arithmetic as `voxelize`, then p -> p // 2 for each strided level (kernel 2, stride 2).

    Args:
      points: float [B, P, C], x, y, z first. count: valid points, int [B].
      extent, voxel_size, origin: as in `voxelize`.
      depth: strided levels below the input.

    Returns:
      int64 [B, depth + 1].

    >>> cloud = np.array([[[0.1, 0.1, 0.1], [0.6, 0.5, 0.5], [3.5, 0.5, 0.5]]], np.float32)
    >>> grid = {"extent": (4, 4, 4), "voxel_size": 1.0, "origin": (0, 0, 0)}
    >>> level_counts(cloud, np.array([3]), **grid, depth=2)
    array([[2, 2, 1]])
    """
    grid = (extent, voxel_size, origin)
    sites = [
        np.bincount(level.sample, minlength=len(points))
        for level in _levels(points, count, *grid, depth)
    ]
    return np.stack(sites, axis=1)


def level_occupancy(
    points: np.ndarray,
    count: np.ndarray,
    *,
    extent: tuple[int, int, int],
    voxel_size: float,
    origin: tuple[float, float, float] | None = None,
    depth: int,
) -> tuple[float, ...]:
    """The mean fraction of the 27 neighbours (including the site itself) present at each level.

    Args: as in `level_counts`.

    Returns:
      depth + 1 numbers between 1/27 and 1; 1 for a level without a site.

    >>> line = np.array([[[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [2.5, 0.5, 0.5]]], np.float32)
    >>> grid = {"extent": (4, 4, 4), "voxel_size": 1.0, "origin": (0, 0, 0)}
    >>> share, _ = level_occupancy(line, np.array([3]), **grid, depth=1)
    >>> round(27 * share * 3)  # two ends of 2, a middle of 3
    7
    """
    shares = []
    for level in _levels(points, count, extent, voxel_size, origin, depth):
        z_size, y_size, x_size = (int(e) + 2 for e in level.size)  # padded by the radius
        plane = np.array([y_size * x_size, x_size, 1])
        key = level.sample * z_size * plane[0] + plane @ (level.cell + 1)  # ascending
        steps = [plane @ step for step in product((-1, 0, 1), repeat=3)]
        pairs = 2 * sum(_present(key + step, key) for step in steps if step > 0) + len(key)
        shares.append(pairs / (27 * len(key)) if len(key) else 1.0)
    return tuple(shares)


def _present(wanted: np.ndarray, keys: np.ndarray) -> int:
    """How many of `wanted` are among the ascending `keys`."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return int((keys[place] == wanted).sum()) if len(keys) else 0


class _Level(NamedTuple):
    """The occupied sites of a batch at one level: sample [M], cell z, y, x [3, M], grid size."""

    sample: np.ndarray
    cell: np.ndarray
    size: np.ndarray


def _levels(points, count, extent, voxel_size, origin, depth: int) -> Iterator[_Level]:
    """The input level and `depth` halvings, sites in ascending order of sample and key."""
    batch = len(points)
    voxel_size = one_number("voxel_size", voxel_size)
    sample, cell = _cells(points, count, extent, voxel_size, origin)
    size = np.array(extent, np.int64)
    for _ in range(depth + 1):
        inside = (cell < size[:, None]).all(axis=0)  # an odd extent loses its last plane
        sample, (z, y, x) = sample[inside], cell[:, inside]
        if size.all():
            key = ((sample * size[0] + z) * size[1] + y) * size[2] + x
            key = _distinct(key, batch * int(size.prod()))
            sample, z, y, x = np.unravel_index(key, (batch, *size))
        cell = np.stack([z, y, x])
        yield _Level(sample, cell, size)
        cell, size = cell >> 1, size // 2


def _distinct(keys: np.ndarray, bound: int) -> np.ndarray:
    """The distinct keys in [0, bound), ascending; by marking in a small range, else by sorting."""
    if bound > MARKS:
        return np.unique(keys)
    seen = np.zeros(bound, bool)
    seen[keys] = True
    return np.flatnonzero(seen)


def _cells(points, count, extent, voxel_size, origin) -> tuple[np.ndarray, np.ndarray]:
    """Sample index [M] and cell z, y, x [3, M] of every usable point."""
    xyz = np.moveaxis(np.asarray(points)[..., :3], -1, 0).copy()  # [3, B, P]: fast to reduce
    usable = np.arange(xyz.shape[2]) < np.asarray(count)[:, None]
    usable = usable & np.isfinite(xyz).all(axis=0)
    if origin is None:
        corner = np.where(usable, xyz, np.inf).min(axis=2, keepdims=True)
        corner = np.where(np.isfinite(corner), corner, 0).astype(xyz.dtype)
    else:
        corner = np.asarray(origin, xyz.dtype)[:, None, None]
    inverse = xyz.dtype.type(1) / xyz.dtype.type(voxel_size)  # as `voxelize` does
    grid = (np.where(usable, xyz, corner) - corner) * inverse
    limits = np.array(extent[::-1], grid.dtype)[:, None, None]
    usable &= ((grid >= 0) & (grid < limits)).all(axis=0)
    sample = np.nonzero(usable)[0].astype(np.int64)
    x, y, z = (np.floor(axis[usable]).astype(np.int64) for axis in grid)
    return sample, np.stack([z, y, x])
