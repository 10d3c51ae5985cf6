"""Flat rows: features of a batch as [B * N, T * C], the indices into them, and sums of rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from snnjax.sparse.tensor import INT32_MAX, SparseTensor, linear_key


def to_rows(feats: Array) -> Array:
    """[B, N, C] or [T, B, N, C] to [B * N, T * C]: rows stay contiguous in memory."""
    if feats.ndim == 3:
        return feats.reshape(-1, feats.shape[-1])
    steps, _, _, channels = feats.shape
    return jnp.moveaxis(feats, 0, 2).reshape(-1, steps * channels)


def from_rows(rows: Array, like: tuple[int, ...], capacity: int) -> Array:
    """The inverse of `to_rows` for an input of shape `like` and another capacity."""
    if len(like) == 3:
        return rows.reshape(like[0], capacity, -1)
    return jnp.moveaxis(rows.reshape(like[1], capacity, like[0], -1), 2, 0)


def flat_index(index: Int[Array, "B M K"], rows: int) -> Array:
    """Indices into [B, rows] as indices into [B * rows]: [B * M, K]; missing ones out of bounds."""
    batch = index.shape[0]
    base = jnp.arange(batch, dtype=jnp.int32)[:, None, None] * rows
    return jnp.where(index < rows, index + base, batch * rows).reshape(-1, index.shape[-1])


def gather(rows: Array, index: Array) -> Array:
    """Rows by index; zeros where the index is out of bounds."""
    return rows.at[index].get(mode="fill", fill_value=0)


def multiply(rows: Array, weight: Array) -> Array:
    """[M, T*C] and [C, O] to [M, T*O]."""
    steps = rows.reshape(-1, weight.shape[0])
    return contract("mc,co->mo", steps, weight).reshape(len(rows), -1)


def outer(rows: Array, grad: Array, channels: int, out: int) -> Array:
    """[M, T*C] and [M, T*O] to the [C, O] that sums over M and T."""
    return contract("mc,mo->co", rows.reshape(-1, channels), grad.reshape(-1, out))


def contract(pattern: str, a: Array, b: Array) -> Array:
    """An einsum that accumulates in float32 at least."""
    dtype = np.result_type(a.dtype, b.dtype, np.float32)
    return jnp.einsum(pattern, a, b, preferred_element_type=dtype)


def site_keys(x: SparseTensor) -> Int[Array, "B N"]:
    """The ascending keys of the sites, INT32_MAX in rows without one."""
    return jnp.where(x.valid, linear_key(x.coords, x.extent), INT32_MAX)


@jax.custom_vjp
def sum_rows_at(
    feats: Float[Array, "*T B N C"], table: Int[Array, "B M K"], back: Int[Array, "B N J"]
) -> Array:
    """Sums of rows: y[m] = sum_k x[table[m, k]], missing rows counting as 0.

    The gradient is the same sum with the roles of the two indices exchanged, so that it gathers
    and never scatters. Floating features are summed in float32 at least.

    Args:
      feats: features [T?, B, N, C].
      table: rows to sum for every output row; N where missing.
      back: the output rows that read each input row, the same pairs as in `table`; M where missing.

    Returns:
      Features [T?, B, M, C].
    """
    return _sum_rows_at(feats, table)


@jax.jit
def _sum_rows_at(feats: Array, table: Array) -> Array:
    flat, index = to_rows(feats), flat_index(table, feats.shape[-2])
    wide = feats.dtype
    if jnp.issubdtype(wide, jnp.floating):
        wide = np.promote_types(wide, np.float32)
    total = gather(flat, index[:, 0]).astype(wide)
    if index.shape[1] > 1:

        def add(total: Array, column: Array) -> tuple[Array, None]:
            return total + gather(flat, column).astype(wide), None

        total = jax.lax.scan(add, total, index[:, 1:].T)[0]
    return from_rows(total.astype(feats.dtype), feats.shape, table.shape[1])


def _forward(feats: Array, table: Array, back: Array) -> tuple[Array, Array]:
    return sum_rows_at(feats, table, back), back


def _backward(back: Array, grad: Array) -> tuple[Array, None, None]:
    return _sum_rows_at(grad, back), None, None


sum_rows_at.defvjp(_forward, _backward)
