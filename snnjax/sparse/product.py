"""Products with spikes, computed densely or by events, whichever is faster."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.sparse.arithmetic import ArithmeticTable
from snnjax.sparse.events import TOGETHER, for_events
from snnjax.surrogates.core import compute_dtype
from snnjax.unroll.unroll import vary_like


def event_matmul(spikes: ArrayLike, weight: ArrayLike) -> Array:
    """`spikes @ weight` by adding the rows of `weight` that belong to neurons that fired.

        y[m] = sum over n with s[n] != 0 of s[n] W[n, m]

    Reads (events of the fullest row) * B * M numbers of `weight` instead of N * M. There is no
    capacity and no overflow. Derivatives are those of the dense product, since a surrogate needs
    them at silent neurons too, and cost as much. `spike_matmul` uses it where it is faster.

    Args:
      spikes: [..., N], floating, binary or graded.
      weight: [N, M], of the same dtype.

    Returns:
      [..., M] in the dtype of the arguments; sums run over the events in ascending order, in
      float32 at least.

    Raises:
      ValueError: shapes do not fit. TypeError: dtypes differ or are not floating.

    >>> event_matmul(jnp.array([0.0, 1.0, 2.0]), jnp.array([[9.0], [1.0], [0.5]])).tolist()
    [2.0]
    """
    spikes, weight = _checked(spikes, weight)
    return _rows(spikes, weight, spikes.shape[-1])


def spike_matmul(
    spikes: ArrayLike, weight: ArrayLike, *, table: ArithmeticTable | None = None
) -> Array:
    """`spikes @ weight`, by events if every row is within the table's limit, else dense.

    The limit depends only on static shapes and the table, and the comparison with it only on the
    spikes. So the same spikes always take the same path, on every host and after a resume;
    `takes_events` returns which. Under `jax.vmap` both paths are computed.

    Args:
      spikes: [..., N], floating, binary or graded.
      weight: [N, M], of the same dtype.
      table: a table from `snnjax profile --write-table`; None uses the default measurements.

    Returns:
      [..., M] in the dtype of the arguments.

    Raises:
      ValueError: shapes do not fit. TypeError: dtypes differ or are not floating.
    """
    spikes, weight = _checked(spikes, weight)
    return _rows(spikes, weight, _limit(spikes.shape, weight.shape[1], table))


def takes_events(spikes: ArrayLike, targets: int, *, table: ArithmeticTable | None = None) -> Array:
    """Whether `spike_matmul` of these spikes [..., N] with weights [N, targets] uses events."""
    spikes = jnp.asarray(spikes)
    limit = _limit(spikes.shape, targets, table)
    return (_fullest(spikes) <= limit) & (limit > 0)


def _checked(spikes: ArrayLike, weight: ArrayLike) -> tuple[Array, Array]:
    spikes, weight = jnp.asarray(spikes), jnp.asarray(weight)
    if weight.ndim != 2 or spikes.ndim < 1 or spikes.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"`spikes` must be [..., N] and `weight` [N, M]; got {spikes.shape} and {weight.shape}."
        )
    if spikes.dtype != weight.dtype or not jnp.issubdtype(spikes.dtype, jnp.floating):
        raise TypeError(
            f"`spikes` and `weight` must share a floating dtype; got {spikes.dtype} and "
            f"{weight.dtype}. Cast one of them."
        )
    return spikes, weight


def _limit(shape: tuple[int, ...], targets: int, table: ArithmeticTable | None) -> int:
    *lead, n = shape
    return int(n * (table or ArithmeticTable()).events_below(math.prod(lead), n * targets))


def _fullest(spikes: Array) -> Array:
    return jnp.max((spikes != 0).sum(-1, dtype=jnp.int32), initial=0)


def _rows(spikes: Array, weight: Array, limit: int) -> Array:
    flat = spikes.reshape(math.prod(spikes.shape[:-1]), spikes.shape[-1])
    return _product(flat, weight, limit).reshape(*spikes.shape[:-1], weight.shape[1])


def _by_events(spikes: Array, weight: Array) -> Array:
    wide = compute_dtype(weight.dtype)

    def add(total: Array, n: Array, size: Array) -> Array:
        for j in range(TOGETHER):
            row = weight.at[n[:, j]].get(mode="clip").astype(wide)
            total = total + size[:, j : j + 1].astype(wide) * row
        return total

    start = vary_like(jnp.zeros((len(spikes), weight.shape[1]), wide), (spikes, weight))
    return for_events(spikes, add, start).astype(weight.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _product(spikes: Array, weight: Array, limit: int) -> Array:
    """The product by events up to `limit` in the fullest row; N means always, 0 means never."""
    if limit == 0:
        return spikes @ weight
    if limit >= spikes.shape[1]:
        return _by_events(spikes, weight)
    return lax.cond(_fullest(spikes) <= limit, _by_events, jnp.matmul, spikes, weight)


@_product.defjvp
def _product_jvp(limit, primals, tangents):
    (spikes, weight), (dspikes, dweight) = primals, tangents
    return _product(spikes, weight, limit), dspikes @ weight + spikes @ dweight
