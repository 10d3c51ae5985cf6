"""Sparse layers: holders of weights and statistics over `snnjax.sparse`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snnjax.neurons import ILIFParams, ILIFState, detach, ilif_init, ilif_step, subtract
from snnjax.sparse import KernelMap, SparseTensor, masked_moments, masked_normalise, sparse_conv
from snnjax.surrogates import multi_level
from snnjax.unroll import unroll

Initializer = Callable[[Array, tuple[int, ...]], Array]


def kaiming_uniform(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform in +-1 / sqrt(K * C) for a weight [K, C, O]: Kaiming's with a = sqrt(5)."""
    bound = 1.0 / (shape[0] * shape[1]) ** 0.5
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def truncated_normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Normal with standard deviation 0.02, truncated at two of them."""
    return nnx.initializers.truncated_normal(0.02)(key, shape, jnp.float32)


class SparseConv(nnx.Module):
    """The float32 weight [K, C, O] of a sparse convolution; the map comes with each call."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        use_bias: bool = False,
        init: Initializer = kaiming_uniform,
        rngs: nnx.Rngs,
    ):
        _at_least_1(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        shape = (kernel_size**3, in_channels, out_channels)
        self.weight = nnx.Param(init(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros((out_channels,), jnp.float32)) if use_bias else None

    def __call__(self, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        """See `snnjax.sparse.sparse_conv`."""
        bias = None if self.bias is None else self.bias[...]
        return sparse_conv(x, self.weight[...], kmap, bias)


class SparseBatchNorm(nnx.Module):
    """Batch normalisation whose statistics see occupied rows alone.

    Training uses the moments of the batch, summed over `axis_name` where one is given, and moves
    the running ones: r = decay * r + (1 - decay) * batch, with the unbiased variance.

    Args:
      channels: C. eps: added to the variance. decay: of the running statistics.
    """

    def __init__(self, channels: int, *, eps: float = 1e-3, decay: float = 0.99):
        _at_least_1(channels=channels)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1); got {decay}.")
        self.eps, self.decay = eps, decay
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.shift = nnx.Param(jnp.zeros((channels,)))
        self.mean = nnx.BatchStat(jnp.zeros((channels,)))
        self.var = nnx.BatchStat(jnp.ones((channels,)))

    def __call__(
        self, x: SparseTensor, *, train: bool = False, axis_name: str | None = None
    ) -> SparseTensor:
        """Normalise; with `train`, by this batch, whose moments also move the running ones."""
        channels = len(self.scale[...])
        if x.feats.shape[-1] != channels:
            raise ValueError(
                f"SparseBatchNorm({channels}) takes features of {channels} channels; got "
                f"{x.feats.shape}. Build it with SparseBatchNorm({x.feats.shape[-1]})."
            )
        if train:
            mean, var = masked_moments(x.feats, x.n, axis_name=axis_name)
            self._move(mean, var * _bessel(x, var.dtype, axis_name))
        else:
            mean, var = self.mean[...], self.var[...]
        scale, shift = self.scale[...], self.shift[...]
        return x.replace(
            feats=masked_normalise(x.feats, x.n, mean, var, scale, shift, eps=self.eps)
        )

    def _move(self, mean: Array, var: Array) -> None:
        for running, batch in ((self.mean, mean), (self.var, var)):
            fresh = (1 - self.decay) * jax.lax.stop_gradient(batch)
            running[...] = self.decay * running[...] + fresh


class IntegerNeuron(nnx.Module):
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

    def __call__(
        self, state: ILIFState | None, x: SparseTensor
    ) -> tuple[ILIFState | None, SparseTensor]:
        """`state` is None at rest; returns the last state (None without a time axis)."""
        if x.feats.ndim == 3:
            return None, x.replace(feats=multi_level(x.feats, self.levels))
        if state is None:
            state = ilif_init(x.feats.shape[1:], jnp.promote_types(x.feats.dtype, jnp.float32))
        reset = detach(subtract) if self.detach_reset else subtract
        step = partial(ilif_step, ILIFParams(self.beta), levels=self.levels, reset=reset)
        state, spikes = unroll(step, state, x.feats)
        return state, x.replace(feats=spikes)


class Rectifier(nnx.Module):
    """max(x, 0): the neuron of the ANN twin, without state."""

    spiking = False

    def __call__(self, state: None, x: SparseTensor) -> tuple[None, SparseTensor]:
        """Returns the state as given."""
        return state, x.replace(feats=jax.nn.relu(x.feats))


def _at_least_1(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def _bessel(x: SparseTensor, dtype: DTypeLike, axis_name: str | None) -> Array:
    """What makes a variance over rows and steps unbiased: count / (count - 1), 1 for one row."""
    steps = x.feats.shape[0] if x.feats.ndim == 4 else 1
    count = (steps * x.n.sum()).astype(dtype)
    if axis_name is not None:
        count = jax.lax.psum(count, axis_name)
    return count / jnp.maximum(count - 1, 1)
