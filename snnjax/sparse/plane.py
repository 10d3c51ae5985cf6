"""Two dimensions: tensors of one plane, three dimensions summed to one plane, dense maps."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from snnjax.sparse.geometry import Size, Triple
from snnjax.sparse.rows import sum_rows_at
from snnjax.sparse.tensor import (
    INT32_MAX,
    SparseTensor,
    check_floating,
    key_coords,
    one_integer,
    sparse_tensor,
    valid_rows,
)
from snnjax.sparse.voxelize import search_rows, unique_keys


def sparse_plane(
    feats: Float[Array, "*T B N C"],
    coords: Int[Array, "B N 2"],
    n: Int[Array, " B"],
    *,
    extent: tuple[int, int],
    stride: Size = 1,
    duplicates: str = "error",
) -> SparseTensor:
    """A sparse tensor of two dimensions: one plane of a grid of extent (1, Y, X).

    Every function and layer for three dimensions works on it with kernels of one plane, which cost
    what a convolution in two dimensions does: kernel_size=(1, 3, 3), stride=(1, 2, 2),
    padding=(0, 1, 1). The result of `SparseTensor.dense` has an axis of length 1 for z.

    Args:
      feats: features, shape [B, N, C] or [T, B, N, C].
      coords: integer positions y, x inside `extent`, shape [B, N, 2].
      n: the first n[b] rows of sample b are occupied, int32 [B].
      extent: grid size (Y, X).
      stride: edge of one site in cells of the input grid, one integer or three (1, s, s).
      duplicates: see `sparse_tensor`.

    >>> x = sparse_plane(jnp.ones((1, 2, 1)), jnp.array([[[3, 1], [0, 2]]]), jnp.array([2]),
    ...                  extent=(4, 4))
    >>> x.extent, x.coords[0].tolist()
    ((1, 4, 4), [[0, 0, 2], [0, 3, 1]])
    """
    coords = jnp.asarray(coords)
    if coords.ndim != 3 or coords.shape[-1] != 2:
        raise ValueError(
            f"coords must be y, x of shape [B, N, 2]; got {coords.shape}. Use sparse_tensor for "
            "three dimensions."
        )
    coords = jnp.pad(coords, ((0, 0), (0, 0), (1, 0)))
    grid = (1, *extent)
    return sparse_tensor(feats, coords, n, extent=grid, stride=stride, duplicates=duplicates)


def sum_over_z(x: SparseTensor, *, capacity: int | None = None) -> SparseTensor:
    """Drop the z axis: features of one column are summed at its place in a plane.

        y[y, x] = sum_z x[z, y, x]

    Args:
      x: features [T?, B, N, C], floating; packed samples get one plane each.
      capacity: rows of the result; None takes N, which cannot overflow.

    Returns:
      A tensor of one plane, extent (1, Y, X) (see `sparse_plane`); its stride along z is the height
      of the grid. Columns beyond the capacity are counted in `overflow`.

    Source: Chen et al., "VoxelNeXt: Fully Sparse VoxelNet for 3D Object Detection and Tracking",
    CVPR 2023.
    """
    check_floating(x)
    capacity = x.capacity if capacity is None else one_integer("capacity", capacity)
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}.")
    extent = x.samples, x.extent[1], x.extent[2]
    sites = x.replace(feats=x.feats[..., :0])
    coords, n, lost, table, back = _columns(sites, extent, capacity)
    height, y_stride, x_stride = x.stride
    return x.replace(
        feats=sum_rows_at(x.feats, table, back),
        coords=coords,
        n=n,
        overflow=x.overflow + lost,
        extent=extent,
        stride=(height * x.sample_extent[0], y_stride, x_stride),
        gap=0,
    )


@partial(jax.jit, static_argnums=(1, 2))
def _columns(x: SparseTensor, extent: Triple, capacity: int) -> tuple[Array, ...]:
    """Sites, their number, columns lost, rows of each column by z, and the column of each row."""
    batch, rows, _ = x.coords.shape
    depth = x.sample_extent[0]
    z, y_at, x_at = x.coords[..., 0], x.coords[..., 1], x.coords[..., 2]
    keys = (z // x.pitch * extent[1] + y_at) * extent[2] + x_at
    keys = jnp.where(x.valid, keys, INT32_MAX)
    columns, found = unique_keys(keys, capacity)
    column = search_rows(columns, keys)
    slot = jnp.where(column < capacity, column * depth + z % x.pitch, capacity * depth)
    empty = jnp.full((capacity * depth,), rows, jnp.int32)
    own = jnp.arange(rows, dtype=jnp.int32)
    fill = jax.vmap(lambda s: empty.at[s].set(own, mode="drop", unique_indices=True))
    table = fill(slot).reshape(batch, capacity, depth)
    n = jnp.minimum(found, capacity)
    coords = jnp.where(valid_rows(n, capacity)[..., None], key_coords(columns, extent), 0)
    return coords, n, found - n, table, column[..., None]


def bev_map(x: SparseTensor, *, flatten: bool = True) -> Array:
    """The dense map from above, zero at empty sites, for layers of two dimensions.

    Args:
      x: features [T?, B, N, C]; packed samples become samples of the batch again.
      flatten: whether the planes become channels.

    Returns:
      [T?, B, Y, X, C * Z] with channel c * Z + z, the order of detectors that reshape [B, C, Z, Y,
      X] (OpenPCDet); or, if not flattened, [T?, B, Y, X, Z, C].

    >>> from snnjax.sparse import sparse_tensor
    >>> x = sparse_tensor(jnp.ones((1, 1, 1)), jnp.array([[[1, 0, 2]]]), jnp.array([1]),
    ...                   extent=(2, 3, 4))
    >>> bev_map(x).shape, bev_map(x)[0, 0, 2].tolist()
    ((1, 3, 4, 2), [0.0, 1.0])
    """
    dense = _from_above(x)
    if not flatten:
        return dense
    dense = jnp.swapaxes(dense, -1, -2)
    return dense.reshape(*dense.shape[:-2], -1)


@jax.jit
def _from_above(x: SparseTensor) -> Array:
    """[T?, B * samples, Y, X, Z, C]."""
    depth, y_size, x_size = x.sample_extent
    z, y_at, x_at = x.coords[..., 0], x.coords[..., 1], x.coords[..., 2]
    cells = x.samples * y_size * x_size * depth
    place = ((z // x.pitch * y_size + y_at) * x_size + x_at) * depth + z % x.pitch
    place = jnp.where(x.valid, place, cells)  # out of bounds: dropped

    def put(index: Array, feats: Array) -> Array:
        empty = jnp.zeros((cells, feats.shape[-1]), feats.dtype)
        return empty.at[index].set(feats, mode="drop", unique_indices=True)

    put_all = jax.vmap(put)
    put_all = jax.vmap(put_all, in_axes=(None, 0)) if x.feats.ndim == 4 else put_all
    steps, channels = x.feats.shape[:-3], x.feats.shape[-1]
    return put_all(place, x.feats).reshape(*steps, -1, y_size, x_size, depth, channels)
