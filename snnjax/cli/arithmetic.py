"""Benchmarks that choose between sparse arithmetics, and between event and dense products."""

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
    ProductRule,
    SparseTensor,
    event_matmul,
    sparse_conv,
    sparse_tensor,
    submanifold_map,
)

ROWS = (512, 4096, 16384)
DENSITIES = (0.1, 0.3, 0.6, 1.0)
CHANNELS = 32
BATCHES = (1, 8, 64)
SPIKE_DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
WIDTHS = (256, 1024, 4096)


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


def product_times(rows: int, width: int, density: float, runs: int) -> tuple[float, ...]:
    """Density of the fullest row, and median times of `event_matmul` and of the dense product."""
    rng = np.random.default_rng(0)
    spikes = jnp.asarray(rng.random((rows, width)) < density, jnp.float32)
    weight = jnp.asarray(rng.normal(size=(width, width)), jnp.float32)
    times = (
        function_cost(product, spikes, weight, runs=runs).milliseconds
        for product in (event_matmul, jnp.matmul)
    )
    return float(spikes.sum(1).max()) / width, *times


def crossover(samples: Sequence[tuple[float, ...]]) -> float:
    """The density below which the first method is faster.

    Args:
      samples: (density, time of the first method, time of the second), by rising density.

    Returns:
      The middle between the last density at which the first method is faster and the next one;
      0 if it never is, above 1 if it always is.

    >>> crossover([(0.1, 1.0, 2.0), (0.3, 2.0, 2.5), (0.9, 4.0, 3.0)])
    0.6
    >>> crossover([(0.1, 2.0, 1.0)]), crossover([(0.1, 1.0, 2.0)])
    (0.0, 1.01)
    """
    wins = [i for i, (_, first, second) in enumerate(samples) if first < second]
    if not wins:
        return 0.0
    last = wins[-1]
    if last == len(samples) - 1:
        return 1.01
    return round((samples[last][0] + samples[last + 1][0]) / 2, 4)


def measure_table(
    runs: int,
    *,
    rows: Sequence[int] = ROWS,
    densities: Sequence[float] = DENSITIES,
    batches: Sequence[int] = BATCHES,
    spike_densities: Sequence[float] = SPIKE_DENSITIES,
    widths: Sequence[int] = WIDTHS,
) -> ArithmeticTable:
    """Rules for the default backend by number of rows, width and batch."""
    backend = jax.default_backend()
    rules = []
    for i, count in enumerate(rows):
        sites = (random_sites(count, density) for density in densities)
        samples = [
            (occupancy(x), *(milliseconds(x, way, runs) for way in ("pairs", "table")))
            for x in sites
        ]
        rules.append(ArithmeticRule(backend, 0 if i == 0 else count, crossover(sorted(samples))))
    products = [
        ProductRule(
            backend,
            width**2,
            batch,
            crossover(sorted(product_times(batch, width, d, runs) for d in spike_densities)),
        )
        for width in widths
        for batch in batches
    ]
    return ArithmeticTable(tuple(rules), tuple(products))


def write_table(path: Path, runs: int) -> None:
    """Measure and write the table as JSON."""
    path.write_text(measure_table(runs).to_json() + "\n", encoding="utf-8")
