"""Pooling over kernel maps, over full samples, and over the bins of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from snnjax.sparse.maps import KernelMap, check_batch
from snnjax.sparse.rows import sum_rows_at
from snnjax.sparse.tensor import INT32_MAX, SparseTensor, check_floating, one_integer


def max_pool(x: SparseTensor, kmap: KernelMap) -> SparseTensor:
    """The largest value among the present sources of each output site.

    y_u = max_k x[source(u, k)]        over the offsets k whose source site exists
    """
    gathered, present = _gather_sources(x, kmap)
    lowest = jnp.finfo(gathered.dtype).min
    pooled = jnp.where(present, gathered, lowest).max(axis=-2)
    return kmap.output(x, pooled)


def mean_pool(x: SparseTensor, kmap: KernelMap) -> SparseTensor:
    """The mean of the present sources of each output site; absent ones do not count.

    y_u = sum_k x[source(u, k)] / count_u
    """
    gathered, present = _gather_sources(x, kmap)
    count = jnp.maximum(present.sum(axis=-2), 1).astype(gathered.dtype)
    return kmap.output(x, gathered.sum(axis=-2) / count)


def sum_pool(x: SparseTensor, kmap: KernelMap) -> SparseTensor:
    """The sum over the present sources of each output site, in float32 at least.

        y_u = sum_k x[source(u, k)]

    The gradient gathers and never scatters; it has a reverse rule and no forward mode.
    """
    _check_pool(x, kmap)
    table = cast(Array, kmap.table)
    if kmap.kind == "strided":
        back = cast(Array, kmap.slots) // kmap.volume
    else:  # submanifold: the pairs of offset k are those of K - 1 - k with their sides exchanged
        back = table[..., ::-1]
    return kmap.output(x, sum_rows_at(x.feats, table, back))


def global_mean_pool(x: SparseTensor) -> Float[Array, "*T B C"]:
    """The mean over the sites of each sample, packed ones too; 0 for an empty one.

    The sum is taken in float32 at least.
    """
    check_floating(x)  # int8 would wrap in the sum and in the count
    valid = x.valid
    feats = jnp.where(valid[..., None], x.feats, 0)
    total = x.sum_rows(feats) if x.feats.ndim == 3 else jax.vmap(x.sum_rows)(feats)
    count = jnp.maximum(x.sum_rows(valid.astype(jnp.int32)), 1)[:, None].astype(total.dtype)
    return (total / count).astype(x.feats.dtype)


def global_max_pool(x: SparseTensor) -> Float[Array, "*T B C"]:
    """The maximum over the sites of each sample, packed ones too; 0 for an empty one."""
    highest = partial(jax.ops.segment_max, num_segments=x.samples, indices_are_sorted=True)

    def pool(feats: Array) -> Array:
        top = jax.vmap(highest)(feats, x.owner)
        return top.reshape(-1, feats.shape[-1])

    held = x.sum_rows(x.valid.astype(jnp.int32)) > 0
    top = pool(x.feats) if x.feats.ndim == 3 else jax.vmap(pool)(x.feats)
    return jnp.where(held[:, None], top, 0)


def spatial_pyramid_pool(
    x: SparseTensor, levels: Sequence[int] = (1, 2), *, reduce: str = "max", occupancy: bool = False
) -> Float[Array, "*T B F"]:
    """Pool the sites of every bin of a pyramid and concatenate: a vector of fixed length.

    Level n divides each axis of the grid into n disjoint bins; a site at z of Z belongs to bin
    floor(z * n / Z). Order: levels as given (coarse to fine), bins row-major in z, y, x, channels
    last. Empty bins give 0. The maximum is taken per time step (for spikes: an OR).

    Args:
      x: features [T?, B, N, C].
      levels: divisions n of each level.
      reduce: "max" or "sum" (of floating-point features, in float32 at least); the sum is linear,
        so additions of spikes suffice.
      occupancy: append one channel that is 1 where a bin holds a site.

    Returns:
      Shape [T?, B, F], F = (C + occupancy) * sum(n^3).

    Source: He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks", ECCV 2014.
    """
    if reduce not in ("max", "sum"):
        raise ValueError(f'reduce must be "max" or "sum"; got {reduce!r}.')
    levels = [one_integer("levels", level) for level in levels]
    if not levels or min(levels) < 1:
        raise ValueError(f"levels must be positive integers, at least one; got {tuple(levels)}.")
    if reduce == "sum":
        check_floating(x)  # int8 would wrap
    if x.samples != 1:
        raise ValueError(
            f"pyramid pooling needs one sample per grid; got {x.samples} packed samples."
        )
    if max(x.extent) * max(levels) > INT32_MAX:
        raise ValueError(
            f"extent * level must fit an int32; got extent {x.extent} and level {max(levels)}."
        )
    pooled = [_bins(x, level, reduce, occupancy) for level in levels]
    return jnp.concatenate(pooled, axis=-1)


def adaptive_bins(size: int, parts: int) -> list[tuple[int, int]]:
    """The bins [start, end) of adaptive pooling along an axis of a dense map.

        start = floor(i * size / parts),   end = ceil((i + 1) * size / parts)

    They cover the axis and none is empty if size >= parts; neighbours may overlap by one cell.
    """
    if size < 1 or parts < 1:
        raise ValueError(f"size and parts must be positive; got {size} and {parts}.")
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def paper_bins(size: int, parts: int) -> list[tuple[int, int]]:
    """The bins of the published recipe: window ceil(size / parts), stride floor(size / parts).

    Raises:
      ValueError: for many sizes: where the recipe gives a different number of bins, or omits the
        last cells; `adaptive_bins` works for every size.
    """
    window, stride = -(-size // parts), max(size // parts, 1)
    count = (size - window) // stride + 1
    if count != parts or (count - 1) * stride + window != size:
        raise ValueError(
            f"window {window}, stride {stride} gives {count} bins on {size} cells that end at "
            f"{(count - 1) * stride + window}; {parts} bins are needed. Use adaptive_bins."
        )
    return [(i * stride, i * stride + window) for i in range(parts)]


def pyramid_pool(
    x: Float[Array, "B A W C"], levels: Sequence[int] = (1, 2, 3, 6), *, bins=adaptive_bins
) -> Array:
    """Spatial pyramid max pooling of dense maps: shape [B, C * sum(n^2)] for any A and W.

    Args:
      x: maps, channels last, [B, A, W, C].
      levels: divisions of each level, coarse to fine; bins are row-major, channels last.
      bins: `adaptive_bins`, or `paper_bins` where its sizes work.

    Source: He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks", ECCV 2014.
    """
    rows, columns = x.shape[1:3]
    return jnp.concatenate(
        [
            x[:, a:b, c:d].max(axis=(1, 2))
            for level in levels
            for (a, b), (c, d) in product(bins(rows, level), bins(columns, level))
        ],
        axis=-1,
    )


def _gather_sources(x: SparseTensor, kmap: KernelMap) -> tuple[Array, Array]:
    """Features of the sources of each output site [T?, B, M, K, C], and whether they exist."""
    _check_pool(x, kmap)
    index = cast(Array, kmap.table)
    take = jax.vmap(lambda feats, table: feats.at[table].get(mode="fill", fill_value=0))
    take = jax.vmap(take, in_axes=(0, None)) if x.feats.ndim == 4 else take
    return take(x.feats, index), (index < kmap.in_rows)[..., None]


def _check_pool(x: SparseTensor, kmap: KernelMap) -> None:
    if kmap.table is None or kmap.adjoint:
        raise ValueError(
            'pooling needs a table: a strided map, or submanifold_map(..., arithmetic="table").'
        )
    if (x.extent, x.capacity) != (kmap.in_extent, kmap.in_rows):
        raise ValueError(
            f"the map was built for extent {kmap.in_extent} and {kmap.in_rows} rows; got "
            f"{x.extent} and {x.capacity}."
        )
    check_batch(x, kmap)
    check_floating(x)


def _bins(x: SparseTensor, level: int, reduce: str, occupancy: bool) -> Array:
    count = level**3
    per_axis = x.coords * level // jnp.array(x.extent, jnp.int32)
    index = (per_axis[..., 0] * level + per_axis[..., 1]) * level + per_axis[..., 2]
    index = jnp.where(x.valid, index, count)  # out of bounds: dropped
    held = jax.vmap(lambda i: jnp.zeros((count,), bool).at[i].set(True, mode="drop"))(index)[
        ..., None
    ]

    def pool(i: Array, feats: Array) -> Array:
        if reduce == "sum":
            wide = feats.astype(np.promote_types(feats.dtype, jnp.float32))
            return jax.ops.segment_sum(wide, i, count).astype(feats.dtype)
        return jax.ops.segment_max(feats, i, count)

    each = jax.vmap(pool)
    each = jax.vmap(each, in_axes=(None, 0)) if x.feats.ndim == 4 else each
    out = jnp.where(held, each(index, x.feats), 0)
    if occupancy:
        bits = jnp.broadcast_to(held, (*out.shape[:-1], 1)).astype(out.dtype)
        out = jnp.concatenate([out, bits], axis=-1)
    return out.reshape(*out.shape[:-2], int(np.prod(out.shape[-2:])))
