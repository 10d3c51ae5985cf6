"""Measure where compacted pairs beat the table in a sparse convolution, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.cli.layers import function_cost
from snnjax.sparse import (
    ArithmeticRule,
    ArithmeticTable,
    SparseTensor,
    sparse_conv,
    sparse_tensor,
    submanifold_map,
)

ROWS = (512, 4096, 16384)
DENSITIES = (0.1, 0.3, 0.6, 1.0)
CHANNELS = 32


def random_sites(rows: int, density: float, seed: int = 0) -> SparseTensor:
    """One sample of about `rows` sites, each cell of a cube occupied with this probability."""
    side = max(round((rows / density) ** (1 / 3)), 2)
    rng = np.random.default_rng(seed)
    coords = np.argwhere(rng.random((side, side, side)) < density).astype(np.int32)[:rows]
    feats = rng.normal(size=(1, len(coords), CHANNELS)).astype(np.float32)
    return sparse_tensor(
        jnp.asarray(feats),
        jnp.asarray(coords[None]),
        jnp.asarray([len(coords)], jnp.int32),
        extent=(side, side, side),
    )


def occupancy(x: SparseTensor) -> float:
    """Share of the 27 neighbours that are present, mean over the sites."""
    table = submanifold_map(x, arithmetic="table").table
    present = (np.asarray(table)[0] < x.capacity)[: int(x.n[0])]
    return float(present.mean())


def milliseconds(x: SparseTensor, arithmetic: str, runs: int) -> float:
    """Median time of map, convolution and gradient."""
    weight = jnp.full((27, CHANNELS, CHANNELS), 0.01, jnp.float32)

    def loss(weight: jax.Array, x: SparseTensor) -> jax.Array:
        kmap = submanifold_map(x, arithmetic=arithmetic)
        return sparse_conv(x, weight, kmap).feats.sum()

    return function_cost(jax.grad(loss), weight, x, runs=runs).milliseconds


def crossover(samples: Sequence[tuple[float, float, float]]) -> float:
    """The occupancy below which pairs win.

    Args:
      samples: (occupancy, time of pairs, time of table), by rising occupancy.

    Returns:
      The middle between the last occupancy at which pairs win and the next one; 0 where they never
      win, and above 1 where they always do.

    >>> crossover([(0.1, 1.0, 2.0), (0.3, 2.0, 2.5), (0.9, 4.0, 3.0)])
    0.6
    >>> crossover([(0.1, 2.0, 1.0)]), crossover([(0.1, 1.0, 2.0)])
    (0.0, 1.01)
    """
    wins = [i for i, (_, pairs, table) in enumerate(samples) if pairs < table]
    if not wins:
        return 0.0
    last = wins[-1]
    if last == len(samples) - 1:
        return 1.01
    return round((samples[last][0] + samples[last + 1][0]) / 2, 4)


def measure_table(
    runs: int, *, rows: Sequence[int] = ROWS, densities: Sequence[float] = DENSITIES
) -> ArithmeticTable:
    """Rules for the default backend: one for each number of rows."""
    backend = jax.default_backend()
    rules = []
    for i, count in enumerate(rows):
        samples = []
        for density in densities:
            x = random_sites(count, density)
            times = [milliseconds(x, name, runs) for name in ("pairs", "table")]
            samples.append((occupancy(x), *times))
        samples.sort()
        rules.append(ArithmeticRule(backend, 0 if i == 0 else count, crossover(samples)))
    return ArithmeticTable(tuple(rules))


def write_table(path: Path, runs: int) -> None:
    """Measure and write the table as JSON."""
    path.write_text(measure_table(runs).to_json() + "\n", encoding="utf-8")
