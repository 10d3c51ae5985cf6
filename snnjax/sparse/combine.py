"""Sparse tensors added and concatenated, on equal sites and on the union of different sites."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from snnjax.sparse.rows import sum_rows_at
from snnjax.sparse.tensor import (
    INT32_MAX,
    SparseTensor,
    key_coords,
    linear_key,
    one_integer,
    valid_rows,
)
from snnjax.sparse.voxelize import search_rows, unique_keys


def concatenate(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """The channels of tensors on equal sites, one after the other.

    Tensors on different sites are brought to equal ones by `union`.

    Args:
      tensors: with features [T?, B, N, C_i] on the same sites in the same order.

    Returns:
      A tensor with features [T?, B, N, sum C_i]. Its overflow is the largest of the given ones: the
      branches of a network share what was lost before they parted.

    Raises:
      ValueError: different grids or capacities; different sites, if the values are known. Under
        `jax.jit` sites are unknown and not compared.
    """
    _check_equal(tensors)
    feats = jnp.concatenate([x.feats for x in tensors], axis=-1)
    return tensors[0].replace(feats=feats, overflow=_most(tensors))


def add(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """The sum of tensors on equal sites; see `concatenate` for what is checked, and the overflow.

    Args:
      tensors: with features [T?, B, N, C] on the same sites in the same order.
    """
    _check_equal(tensors)
    channels = [x.feats.shape[-1] for x in tensors]
    if len(set(channels)) > 1:
        raise ValueError(f"tensors to add must have the same channels; got {channels}.")
    feats = reduce(jnp.add, (x.feats for x in tensors))
    return tensors[0].replace(feats=feats, overflow=_most(tensors))


def union(
    tensors: Sequence[SparseTensor], *, capacity: int | None = None
) -> tuple[SparseTensor, ...]:
    """The tensors on the union of their sites, with zeros where a tensor has no site.

    So `add(union([x, y]))` and `concatenate(union([x, y]))` combine tensors on different sites. The
    gradient gathers and never scatters.

    Args:
      tensors: on the same grid, features [T?, B, N_i, C_i].
      capacity: rows of the result; None takes the number that cannot overflow, sum N_i, at most
        the cells of the grid.

    Returns:
      One tensor for each given one, all with the same sites. Their overflow is the largest of the
      given ones plus the sites beyond the capacity (those of largest key).

    >>> from snnjax.sparse import sparse_tensor
    >>> def site(z): return sparse_tensor(jnp.ones((1, 1, 1)), jnp.array([[[z, 0, 0]]]),
    ...                                   jnp.array([1]), extent=(4, 4, 4))
    >>> y = add(union([site(0), site(2), site(2)]))
    >>> y.n.tolist(), y.coords[0, :2, 0].tolist(), y.feats[0, :2, 0].tolist()
    ([2], [0, 2], [1.0, 2.0])
    """
    _check_grids(tensors)
    return _aligned(tensors, capacity)


def merge(tensors: Sequence[SparseTensor], *, capacity: int | None = None) -> SparseTensor:
    """Tensors of several strides moved to the finest grid, and summed where sites coincide.

        site p of a tensor with stride s moves to p * (s / s_0),   s_0 the smallest stride

    So a coarse site moves to the lower corner of the cells that it covers.

    Args:
      tensors: features [T?, B, N_i, C] with the same channels; the first has the smallest stride,
        and the other strides are multiples of it.
      capacity: rows of the result; as in `union`.

    Returns:
      A tensor on the grid of the first. Sites that move beyond that grid are dropped and counted in
      its overflow.

    Source: Chen et al., "VoxelNeXt: Fully Sparse VoxelNet for 3D Object Detection and Tracking",
    CVPR 2023.
    """
    if not tensors:
        raise ValueError("give at least one tensor; got none.")
    for x in tensors[1:]:
        _check_coarser(x, tensors[0])
    return add(_aligned(tensors, capacity))


def _aligned(tensors: Sequence[SparseTensor], capacity: int | None) -> tuple[SparseTensor, ...]:
    """The tensors on the union of their sites on the grid of the first."""
    most = min(sum(x.capacity for x in tensors), int(np.prod(tensors[0].extent)))
    capacity = most if capacity is None else one_integer("capacity", capacity)
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}.")
    sites = tuple(x.replace(feats=x.feats[..., :0]) for x in tensors)
    shared, links = _union(sites, capacity)
    return tuple(
        shared.replace(feats=sum_rows_at(x.feats, *link))
        for x, link in zip(tensors, links, strict=True)
    )


Link = tuple[Array, Array]
"""The row of a tensor for each shared site [B, M, 1], the shared site of its rows [B, N, 1]."""


@partial(jax.jit, static_argnums=1)
def _union(
    tensors: tuple[SparseTensor, ...], capacity: int
) -> tuple[SparseTensor, tuple[Link, ...]]:
    """The shared sites as a tensor without channels, and how each tensor is placed on them."""
    first = tensors[0]
    keys = [_keys_on(x, first) for x in tensors]
    beyond = [
        x.n - (key != INT32_MAX).sum(1, dtype=jnp.int32)
        for x, key in zip(tensors, keys, strict=True)
    ]
    sites, found = unique_keys(jnp.concatenate(keys, axis=1), capacity)
    there = [search_rows(sites, key) for key in keys]
    links = tuple((_inverse(rows, capacity)[..., None], rows[..., None]) for rows in there)
    n = jnp.minimum(found, capacity)
    coords = jnp.where(valid_rows(n, capacity)[..., None], key_coords(sites, first.extent), 0)
    lost = _most(tensors) + sum(beyond) + found - n
    return first.replace(coords=coords, n=n, overflow=lost), links


def _keys_on(x: SparseTensor, like: SparseTensor) -> Array:
    """The keys of the sites of `x` on the grid of `like`, INT32_MAX beyond it."""
    ratio = [a // b for a, b in zip(x.stride, like.stride, strict=True)]
    owner = x.coords[..., 0] // x.pitch
    local = (x.coords - _planes(owner * x.pitch)) * jnp.array(ratio, jnp.int32)
    fits = jnp.all(local < jnp.array(like.sample_extent, jnp.int32), axis=-1) & x.valid
    coords = local + _planes(owner * like.pitch)
    return jnp.where(fits, linear_key(coords, like.extent), INT32_MAX)


def _planes(z: Array) -> Array:
    """A shift along z alone, [..., 3]."""
    return jnp.stack([z, jnp.zeros_like(z), jnp.zeros_like(z)], axis=-1)


def _inverse(rows: Array, capacity: int) -> Array:
    """For each of `capacity` output rows the input row that goes to it, N where none does."""
    size = rows.shape[1]
    empty = jnp.full((capacity,), size, jnp.int32)
    own = jnp.arange(size, dtype=jnp.int32)
    return jax.vmap(lambda r: empty.at[r].set(own, mode="drop", unique_indices=True))(rows)


def _check_coarser(x: SparseTensor, like: SparseTensor) -> None:
    """Raise unless the sites of `x` can be moved to the grid of `like`."""
    multiple = not any(a % b for a, b in zip(x.stride, like.stride, strict=True))
    apart = x.samples == 1 or x.pitch * x.stride[0] == like.pitch * like.stride[0]
    if not multiple or not apart or x.samples != like.samples:
        raise ValueError(
            f"a tensor of stride {x.stride}, {x.samples} samples every {x.pitch} planes, cannot be "
            f"moved to a grid of stride {like.stride}, {like.samples} samples every {like.pitch} "
            "planes: strides must be multiples. Give the finest tensor first."
        )
    _check_batches(x, like)


def _most(tensors: Sequence[SparseTensor]) -> Array:
    return reduce(jnp.maximum, (x.overflow for x in tensors))


def _check_grids(tensors: Sequence[SparseTensor]) -> None:
    if not tensors:
        raise ValueError("give at least one tensor; got none.")
    first = tensors[0]
    for x in tensors[1:]:
        given, wanted = ((t.extent, t.stride, t.samples, t.gap) for t in (x, first))
        if given != wanted:
            names = "(extent, stride, samples, gap)"
            raise ValueError(
                f"tensors must lie on the same grid; got {names} = {given} and {wanted}. Tensors "
                "of several strides are summed by `merge`."
            )
        _check_batches(x, first)


def _check_batches(x: SparseTensor, first: SparseTensor) -> None:
    given, wanted = ((*t.feats.shape[:-3], len(t.coords)) for t in (x, first))
    if given != wanted:
        raise ValueError(
            f"tensors must have the same steps and batch size; got [T?, B] = {list(given)} and "
            f"{list(wanted)}."
        )


def _check_equal(tensors: Sequence[SparseTensor]) -> None:
    _check_grids(tensors)
    first = tensors[0]
    for index, x in enumerate(tensors[1:], 1):
        if x.capacity != first.capacity or not _same_sites(x, first):
            raise ValueError(
                f"tensor {index} has other sites than the first, or another capacity "
                f"({x.capacity} and {first.capacity} rows). Bring them to equal sites with `union`."
            )


def _same_sites(x: SparseTensor, y: SparseTensor) -> bool:
    """Whether the sites are equal, as far as is known."""
    pairs = (x.coords, y.coords), (x.n, y.n)
    return all(
        a is b or isinstance(a, Tracer) or isinstance(b, Tracer) or np.array_equal(a, b)
        for a, b in pairs
    )
