"""Kernel maps: the pairs of input and output sites for each kernel offset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from snnjax.sparse.geometry import Geometry, Triple
from snnjax.sparse.pairs import Pairs
from snnjax.sparse.tensor import SparseTensor, valid_rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KernelMap:
    """An explicit kernel map from N input rows to M output rows of each sample.

    Offsets are z-major, x fastest: offset k = (kz * K_y + ky) * K_x + kx, so that a weight
    [K, C, O] reshaped to [K_z, K_y, K_x, C, O] is the DHWIO kernel of a dense convolution.

    Built by `submanifold_map`, `strided_map`, `inverse_map` and `transposed_map`.

    Attributes:
      table: input row of each output row and offset, N where missing; int32 [B, M, K]. None in a
        submanifold map with pairs. In inverse and transposed maps, the output row of each input row
        and offset, M where missing; [B, N, K].
      slots: for each input row the entries `u * K + k` that it feeds, M * K where missing; int32
        [B, N, J]. None in submanifold maps, where it is the table with its columns reversed. In
        inverse and transposed maps, for each output row the entries `i * K + k` that feed it.
      pairs: the compacted form of the same map, by which convolutions are computed if it exists.
      coords: output sites, int32 [B, M, 3].
      n: number of output sites of each sample, int32 [B].
      overflow: output sites of each sample that exceed the capacity, int32 [B].
      kind: "submanifold", "strided", "inverse" or "transposed", static.
      geometry: kernel size, stride, padding and dilation, static; in inverse and transposed maps
        those of the strided convolution of which they are the adjoint.
      in_extent, out_extent, in_stride, out_stride: input and output grids, static.
      out_gap: empty planes between packed samples on the output grid, static.
      in_rows: N, static.
    """

    table: Int[Array, "B M K"] | None
    slots: Int[Array, "B N J"] | None
    pairs: Pairs | None
    coords: Int[Array, "B M 3"]
    n: Int[Array, " B"]
    overflow: Int[Array, " B"]
    kind: str = dataclasses.field(metadata={"static": True})
    geometry: Geometry = dataclasses.field(metadata={"static": True})
    in_extent: Triple = dataclasses.field(metadata={"static": True})
    out_extent: Triple = dataclasses.field(metadata={"static": True})
    in_stride: Triple = dataclasses.field(metadata={"static": True})
    out_stride: Triple = dataclasses.field(metadata={"static": True})
    out_gap: int = dataclasses.field(metadata={"static": True})
    in_rows: int = dataclasses.field(metadata={"static": True})

    @property
    def volume(self) -> int:
        """Kernel offsets, K."""
        return self.geometry.volume

    @property
    def out_rows(self) -> int:
        """Output rows per sample, M."""
        return self.coords.shape[1]

    @property
    def adjoint(self) -> bool:
        """Whether the table lists output rows by input row, as inverse and transposed maps do."""
        return self.kind in ("inverse", "transposed")

    def output(self, x: SparseTensor, feats: Array) -> SparseTensor:
        """A tensor at the output sites; its overflow is that of the input `x` plus the map's."""
        mask = valid_rows(self.n, self.out_rows)[..., None]
        return x.replace(
            feats=jnp.where(mask, feats, 0).astype(x.feats.dtype),
            coords=self.coords,
            n=self.n,
            overflow=x.overflow + self.overflow,
            extent=self.out_extent,
            stride=self.out_stride,
            gap=self.out_gap,
        )


def inverse_map(kmap: KernelMap, x: SparseTensor) -> KernelMap:
    """The kernel map of the inverse of a strided convolution, back to its input sites.

        z_i = sum_k W_k^T y[o(i, k)],   o(i, k) the output row that input row i fed under offset k

    With tied weights it is the adjoint of the strided convolution. It creates no sites.

    Args:
      kmap: a strided map.
      x: the tensor that `kmap` was built from; its sites become the output sites.
    """
    if kmap.kind != "strided":
        raise ValueError(f"only a strided map has an inverse; got a {kmap.kind} map.")
    if x.extent != kmap.in_extent or x.capacity != kmap.in_rows:
        raise ValueError(
            f"x must be the tensor the map was built from, extent {kmap.in_extent} and "
            f"{kmap.in_rows} rows; got extent {x.extent} and {x.capacity} rows."
        )
    return dataclasses.replace(
        kmap,
        kind="inverse",
        coords=x.coords,
        n=x.n,
        overflow=jnp.zeros_like(kmap.overflow),
        pairs=None if kmap.pairs is None else kmap.pairs.exchanged(),
        in_extent=kmap.out_extent,
        out_extent=kmap.in_extent,
        in_stride=kmap.out_stride,
        out_stride=kmap.in_stride,
        out_gap=x.gap,
        in_rows=kmap.out_rows,
    )


def outdegree(kmap: KernelMap, n: Int[Array, " B"]) -> Array:
    """The number of pairs of the map that read each input row, int32 [B, N].

    Args:
      kmap: any map.
      n: occupied input rows of each sample, int32 [B].
    """
    batch = len(n)
    if kmap.kind == "strided":
        return (cast(Array, kmap.slots) < kmap.out_rows * kmap.volume).sum(axis=-1, dtype=jnp.int32)
    if kmap.adjoint:
        return (cast(Array, kmap.table) < kmap.out_rows).sum(axis=-1, dtype=jnp.int32)
    if kmap.table is not None:  # submanifold: a row is read as often as it reads
        return (kmap.table < kmap.in_rows).sum(axis=-1, dtype=jnp.int32)
    pairs = cast(Pairs, kmap.pairs)
    own = valid_rows(n, kmap.in_rows).astype(jnp.int32).reshape(-1)
    read = own.at[pairs.rows_in.reshape(-1)].add(1, mode="drop")
    return read.at[pairs.rows_out.reshape(-1)].add(1, mode="drop").reshape(batch, -1)


def check_batch(x: SparseTensor, kmap: KernelMap) -> None:
    """Raise unless the map has the batch size of the features."""
    if x.feats.shape[-3] != len(kmap.coords):
        raise ValueError(
            f"the {kmap.kind} map was built for a batch of {len(kmap.coords)}; got features with "
            f"batch size {x.feats.shape[-3]}. Build a map from this tensor."
        )
