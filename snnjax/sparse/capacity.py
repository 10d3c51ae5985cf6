"""Static capacities, chosen on the host: the number of rows of each level of a network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnjax.sparse.arithmetic import TYPICAL_OCCUPANCY, ArithmeticTable
from snnjax.sparse.levels import Levels, geometries, most_sites


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
    depth: Levels | None = None,
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
      extent: grid size of the input.
      batch_size: samples on one device.
      packed: whether those samples share the rows of one grid (see `pack`).
      limit: maximum number of sites of a sample, usually its number of points.
      margin: relative margin above the scanned maximum.
      choices: 1 for a single bucket.
      depth: as in `level_counts`; None for as many levels of kernel 2 and stride 2 as were counted.
      occupancy: expected fraction of the 27 neighbours present at each level; None assumes
        surfaces.
      table: measured choice of the arithmetic. backend: as in `ArithmeticTable.choose`.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not len(counts):
        raise ValueError(f"counts must be [S, levels] with S >= 1; got shape {counts.shape}.")
    levels = counts.shape[1]
    downs = geometries(levels - 1 if depth is None else depth)
    if len(downs) != levels - 1:
        raise ValueError(f"counts have {levels} levels, but depth means {len(downs) + 1}.")
    samples = batch_size if packed else 1
    cells = tuple(samples * size for size in most_sites(extent, limit, downs))
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
