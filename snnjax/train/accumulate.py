"""The gradient of a batch as the sum over its micro-batches, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Micro = Callable[[Any, Any, Array], tuple[Any, Any, Any]]
"""`micro(stats, rows, key) -> (gradient, stats, sums)` of some rows of a batch."""


def accumulated(
    micro: Micro, zeros: Any, stats: Any, batch: Any, key: Array, parts: int
) -> tuple[Any, Any, Any]:
    """Sum the results of `micro` over the `parts` micro-batches of a batch.

        g = sum_k g_k,    sums = sum_k sums_k,    stats go through k = 0 .. parts - 1 in turn

    A loop: only one micro-batch at a time is in memory next to the sum. A single part is the
    batch itself, with `key` unchanged.

    Args:
      micro: see `Micro`; its key is `fold_in(key, k)`.
      zeros: a tree of zeros with the structure of the gradient.
      stats: statistics before the first micro-batch.
      batch: a tree of arrays [B, ...], with B a multiple of `parts`.
      key, parts: see above.

    Returns:
      The gradient, the statistics after the last micro-batch, and the sums.

    >>> def micro(count, x, key): return x.sum(), count + 1, x.size
    >>> g, count, size = accumulated(micro, 0.0, 0, jnp.arange(6.0), jax.random.key(0), 3)
    >>> float(g), int(count), int(size)
    (15.0, 3, 6)
    """
    if parts == 1:
        return micro(stats, batch, key)

    def add(carry: tuple[Any, Any], part: tuple[Array, Any]) -> tuple[tuple[Any, Any], Any]:
        total, stats = carry
        index, rows = part
        gradient, stats, sums = micro(stats, rows, jax.random.fold_in(key, index))
        return (jax.tree.map(jnp.add, total, gradient), stats), sums

    rows = micro_batches(batch, parts)
    (gradient, stats), sums = jax.lax.scan(add, (zeros, stats), (jnp.arange(parts), rows))
    return gradient, stats, jax.tree.map(lambda x: x.sum(0, dtype=x.dtype), sums)


def micro_batches(batch: Any, parts: int) -> Any:
    """Arrays [B, ...] as [parts, B / parts, ...]: row r is in micro-batch r mod `parts`.

    This holds for any number of devices that divide the batch evenly, so a micro-batch holds the
    same samples on all meshes.

    >>> micro_batches(jnp.arange(6), 2).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    return jax.tree.map(
        lambda x: x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1), batch
    )
