"""Sparse layers: holders of weights and statistics over `snnjax.sparse`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snnjax.metrics import sparse_activity
from snnjax.neurons import ILIFParams, ILIFState, detach, ilif_init, ilif_step, subtract
from snnjax.nn.counting import Counts, count_inputs
from snnjax.nn.initialisers import Initializer, kaiming_uniform, truncated_normal
from snnjax.nn.layer import Layer
from snnjax.nn.masked_norm import MaskedBatchNorm
from snnjax.nn.narrow import NarrowProducts
from snnjax.nn.parallel import ChannelAxes, channel_axes
from snnjax.nn.remat import product_of
from snnjax.nn.stateful import Stateful
from snnjax.sharding import Parallel, sharded_product
from snnjax.sparse import (
    KernelMap,
    SparseTensor,
    inverse_map,
    narrow_product,
    outdegree,
    sparse_conv,
)
from snnjax.sparse.geometry import Size, three
from snnjax.sparse.tensor import one_integer
from snnjax.surrogates import multi_level
from snnjax.unroll import unroll


class SparseConv(NarrowProducts):
    """Holds the float32 weight [K, C, O] of a sparse convolution; each call is given the map.

    The map decides what is computed: `submanifold_map`, `strided_map`, `transposed_map` or
    `inverse_map` of `snnjax.sparse`, with stride, padding and dilation. In a plane (see
    `snnjax.sparse.sparse_plane`) kernels are (1, k, k).

    Args:
      in_channels, out_channels: C and O.
      kernel_size: edge of the kernel, one integer or three for z, y, x.
      use_bias: whether a bias [O] is added.
      init: `init(key, (K, C, O))` returns the weight.
      product_dtype: see `snnjax.sparse.sparse_conv`.
      rngs: random keys for the weight.

    `snnjax.nn.pair` sets how the weight is sharded over a mesh axis "model".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        use_bias: bool = False,
        init: Initializer = kaiming_uniform,
        product_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        _at_least_1(in_channels=in_channels, out_channels=out_channels)
        self.parallel: Parallel | None = None
        self.kernel_size = three("kernel_size", kernel_size)
        if min(self.kernel_size) < 1:
            raise ValueError(f"kernel_size must be at least 1; got {kernel_size}.")
        shape = (math.prod(self.kernel_size), in_channels, out_channels)
        self.weight = nnx.Param(init(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros((out_channels,), jnp.float32)) if use_bias else None
        self.product_dtype = product_dtype

    def __call__(self, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        """See `snnjax.sparse.sparse_conv`."""
        if kmap.geometry.kernel_size != self.kernel_size:
            raise ValueError(
                f"{type(self).__name__} has a kernel of {self.kernel_size}; got a map for "
                f"{kmap.geometry.kernel_size}. Build the map with the layer's kernel_size."
            )
        bias = None if self.bias is None else self.bias[...]
        options = {"product_dtype": self.product_dtype, "parallel": self.parallel}
        y = sparse_conv(x, self.weight[...], kmap, bias, **options)
        return y.replace(feats=product_of(y.feats))


class SparseInverseConv(SparseConv):
    """The inverse of a strided convolution: back to the sites it came from, with its own weight.

        z_i = sum_k W_k^T y[o(i, k)],   o(i, k) the output row that site i fed under offset k

    It is the layer called SparseInverseConv3d in spconv, of which the strided map takes the place
    of the `indice_key`. The arguments are those of `SparseConv`; kernel_size is that of the strided
    convolution.
    """

    def __call__(self, x: SparseTensor, kmap: KernelMap, like: SparseTensor) -> SparseTensor:
        """Features of `x` spread to the sites of `like`.

        Args:
          x: a tensor at the output sites of the strided convolution.
          kmap: the map of that convolution.
          like: the tensor that the map was built from.
        """
        return super().__call__(x, inverse_map(kmap, like))


class SiteLinear(NarrowProducts):
    """A linear layer at every occupied site: y_i = x_i W + b, and 0 in the other rows.

    It equals a submanifold convolution of kernel 1 and needs no map. W [C, O] and b [O] are
    float32.

    Args:
      in_channels, out_channels: C and O.
      use_bias: whether b is added.
      init: `init(key, (1, C, O))` returns W with an axis of one offset.
      product_dtype: see `snnjax.sparse.narrow_product`.
      rngs: random keys for the weight.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        use_bias: bool = True,
        init: Initializer = truncated_normal,
        product_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        _at_least_1(in_channels=in_channels, out_channels=out_channels)
        self.parallel: Parallel | None = None
        self.weight = nnx.Param(init(rngs.params(), (1, in_channels, out_channels))[0])
        self.bias = nnx.Param(jnp.zeros((out_channels,), jnp.float32)) if use_bias else None
        self.product_dtype = product_dtype

    def __call__(self, x: SparseTensor) -> SparseTensor:
        """Features [T?, B, N, O] on the sites of `x`."""
        channels = len(self.weight[...])
        if x.feats.shape[-1] != channels:
            raise ValueError(
                f"SiteLinear takes features of {channels} channels; got {x.feats.shape}. Build "
                f"it with in_channels={x.feats.shape[-1]}."
            )

        def product(feats: Array, weight: Array) -> Array:
            return narrow_product(jnp.matmul, feats, weight, self.product_dtype)

        weight = self.weight[...].astype(jnp.promote_types(x.feats.dtype, jnp.float32))
        y = sharded_product(product, x.feats.astype(weight.dtype), weight, parallel=self.parallel)
        y = product_of(y if self.bias is None else y + self.bias[...])
        return x.replace(feats=jnp.where(x.valid[..., None], y, 0))


class SparseBatchNorm(MaskedBatchNorm):
    """Batch normalisation whose statistics cover occupied rows only.

    Args:
      channels, eps, decay: as in `MaskedBatchNorm`.
    """

    def __init__(self, channels: int, *, eps: float = 1e-3, decay: float = 0.99):
        _at_least_1(channels=channels)
        super().__init__(channels, eps=eps, decay=decay)

    def __call__(
        self, x: SparseTensor, *, train: bool = False, axis_name: str | None = None
    ) -> SparseTensor:
        """Normalise; `train` uses and updates with the moments of this batch."""
        channels = len(self.scale[...])
        if x.feats.shape[-1] != channels:
            raise ValueError(
                f"SparseBatchNorm({channels}) takes features of {channels} channels; got "
                f"{x.feats.shape}. Build it with SparseBatchNorm({x.feats.shape[-1]})."
            )
        return x.replace(feats=self.normalise(x.feats, x.n, train=train, axis_name=axis_name))


class IntegerNeuron(Stateful):
    """The integer LIF neuron at every occupied row and channel; it has no parameters.

    On features [B, N, C] (T = 1) it is the stateless s = floor(clip(x, 0, D) + 0.5); on
    [T, B, N, C] the recurrence of `snnjax.neurons.ilif_step`.

    Args:
      levels: D. beta: leak between steps, in [0, 1]. detach_reset: no gradient through the spikes
        in the reset; off as in `ilif_step`, on in E-3DSNN as published.
    """

    spiking = True

    def __init__(self, levels: int = 4, *, beta: float = 0.25, detach_reset: bool = False):
        _at_least_1(levels=levels)
        if not 0 <= beta <= 1:
            raise ValueError(f"beta must be in [0, 1]; got {beta}.")
        self.levels, self.beta, self.detach_reset = levels, beta, detach_reset

    def rest_for(self, x: SparseTensor) -> ILIFState | None:
        """Membranes at rest for `x`; None for a single step, which needs no state."""
        if x.feats.ndim == 3:
            return None
        return ilif_init(x.feats.shape[1:], jnp.promote_types(x.feats.dtype, jnp.float32))

    def __call__(
        self, state: ILIFState | None, x: SparseTensor
    ) -> tuple[ILIFState | None, SparseTensor]:
        """`state` is None at rest; returns the last state (None without a time axis)."""
        if x.feats.ndim == 3:
            if state is not None:
                raise ValueError(
                    "features [B, N, C] are one step from rest, which a state cannot continue; got "
                    "a state. Give the step a time axis, feats[None]."
                )
            return None, x.replace(feats=multi_level(x.feats, self.levels))
        state = self.rest_for(x) if state is None else state
        reset = detach(subtract) if self.detach_reset else subtract
        step = partial(ilif_step, ILIFParams(self.beta), levels=self.levels, reset=reset)
        state, spikes = unroll(step, state, x.feats)
        return state, x.replace(feats=spikes)


class Rectifier(Layer):
    """max(x, 0): the neuron of the ANN twin, without state."""

    spiking = False

    def __call__(self, x: SparseTensor) -> SparseTensor:
        """The same sites with rectified features."""
        return x.replace(feats=jax.nn.relu(x.feats))


@count_inputs.register
def _(layer: SparseConv, name: str, x: SparseTensor, kmap: KernelMap, **_: Any) -> Counts:
    degree, outputs = outdegree(kmap, x.n), layer.weight[...].shape[-1]
    return (sparse_activity(name, x.feats, x.valid, degree, outputs, sum_rows=x.sum_rows),)


@count_inputs.register
def _(layer: SiteLinear, name: str, x: SparseTensor, **_: Any) -> Counts:
    once, outputs = x.valid.astype(jnp.int32), layer.weight[...].shape[-1]
    return (sparse_activity(name, x.feats, x.valid, once, outputs, sum_rows=x.sum_rows),)


@count_inputs.register
def _(
    layer: SparseInverseConv,
    name: str,
    x: SparseTensor,
    kmap: KernelMap,
    like: SparseTensor,
    **_: Any,
) -> Counts:
    degree, outputs = outdegree(inverse_map(kmap, like), x.n), layer.weight[...].shape[-1]
    return (sparse_activity(name, x.feats, x.valid, degree, outputs, sum_rows=x.sum_rows),)


@channel_axes.register
def _(layer: SparseConv | SiteLinear) -> ChannelAxes:
    return {"weight": (-2, -1)} | ({} if layer.bias is None else {"bias": (None, -1)})


def _at_least_1(**sizes: int) -> None:
    for name, size in sizes.items():
        if one_integer(name, size) < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")
