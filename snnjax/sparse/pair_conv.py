"""Convolution over compacted pairs: one small matrix product for each tile."""

from __future__ import annotations

from typing import cast

import jax
import jax.numpy as jnp
from jax import Array

from snnjax.sparse.maps import KernelMap
from snnjax.sparse.pairs import Pairs
from snnjax.sparse.rows import gather, multiply, outer


def submanifold_forward(rows: Array, weight: Array, pairs: Pairs, bounded: bool) -> Array:
    """Flat output rows; `bounded` visits every tile, so that the loop has a static length."""
    volume = weight.shape[0]

    def tile(t, out):
        i, o, k = pairs.rows_in[t], pairs.rows_out[t], pairs.offset[t]
        out = _add(out, o, multiply(_read(rows, i), weight[k]))
        return _add(out, i, multiply(_read(rows, o), weight[volume - 1 - k]))

    centre = multiply(rows, weight[volume // 2])
    if not bounded:
        return jax.lax.fori_loop(0, pairs.used, tile, centre)
    tiles = jnp.arange(pairs.offset.shape[0])
    return jax.lax.scan(lambda out, t: (tile(t, out), None), centre, tiles)[0]


def submanifold_backward(
    rows: Array, weight: Array, pairs: Pairs, grad: Array
) -> tuple[Array, Array]:
    """Both gradients in one pass over the tiles; the transposed map is the map itself."""
    volume, channels, out = weight.shape
    transposed = weight.swapaxes(1, 2)

    def tile(t, carry):
        d_rows, d_weight = carry
        i, o, k = pairs.rows_in[t], pairs.rows_out[t], pairs.offset[t]
        grad_i, grad_o = gather(grad, i), gather(grad, o)
        d_rows = _add(d_rows, i, multiply(grad_o, transposed[k]))
        d_rows = _add(d_rows, o, multiply(grad_i, transposed[volume - 1 - k]))
        d_weight = d_weight.at[k].add(outer(_read(rows, i), grad_o, channels, out))
        own = outer(_read(rows, o), grad_i, channels, out)
        return d_rows, d_weight.at[volume - 1 - k].add(own)

    own = outer(rows, grad, channels, out)
    d_weight = _zeros(weight.shape, own).at[volume // 2].set(own)
    d_rows = multiply(grad, transposed[volume // 2])
    return jax.lax.fori_loop(0, pairs.used, tile, (d_rows, d_weight))


def listed_forward(rows: Array, weight: Array, kmap: KernelMap, bounded: bool) -> Array:
    """As `submanifold_forward`, for maps whose pairs are all listed."""
    pairs = cast(Pairs, kmap.pairs)

    def tile(t, out):
        product = multiply(_read(rows, pairs.rows_in[t]), weight[pairs.offset[t]])
        return _add(out, pairs.rows_out[t], product)

    some = multiply(rows[:1], weight[0])
    out = _zeros((len(kmap.coords) * kmap.out_rows, some.shape[1]), some)
    if not bounded:
        return jax.lax.fori_loop(0, pairs.used, tile, out)
    tiles = jnp.arange(pairs.offset.shape[0])
    return jax.lax.scan(lambda out, t: (tile(t, out), None), out, tiles)[0]


def listed_backward(rows: Array, weight: Array, pairs: Pairs, grad: Array) -> tuple[Array, Array]:
    """Both gradients in one pass over the tiles."""
    _, channels, out = weight.shape
    transposed = weight.swapaxes(1, 2)

    def tile(t, carry):
        d_rows, d_weight = carry
        i, o, k = pairs.rows_in[t], pairs.rows_out[t], pairs.offset[t]
        grad_o = gather(grad, o)
        d_rows = _add(d_rows, i, multiply(grad_o, transposed[k]))
        return d_rows, d_weight.at[k].add(outer(_read(rows, i), grad_o, channels, out))

    own = outer(rows[:1], grad[:1], channels, out)
    d_rows = _zeros(rows.shape, multiply(grad[:1], transposed[0]))
    return jax.lax.fori_loop(0, pairs.used, tile, (d_rows, _zeros(weight.shape, own)))


def _zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros that vary over the same mesh axes as the data, as a loop carry in shard_map must."""
    return jnp.where(False, like.reshape(-1)[0], jnp.zeros(shape, like.dtype))


def _read(rows: Array, index: Array) -> Array:
    """Rows by index; an arbitrary row for padding, since its product is dropped later."""
    return rows.at[index].get(mode="clip")


def _add(out: Array, index: Array, values: Array) -> Array:
    return out.at[index].add(values, mode="drop", unique_indices=True, indices_are_sorted=True)
