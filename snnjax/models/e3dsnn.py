"""E-3DSNN: spiking sparse convolutions for the recognition of 3D shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.encoders import direct
from snnjax.metrics import dense_activity, sparse_activity
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.nn import (
    Counts,
    Initializer,
    IntegerNeuron,
    Module,
    Rectifier,
    Run,
    SparseBatchNorm,
    SparseConv,
    count_inputs,
    kaiming_uniform,
    pair,
    truncated_normal,
)
from snnjax.sparse import (
    Capacities,
    Geometry,
    KernelMap,
    SparseTensor,
    global_mean_pool,
    pack,
    strided_map,
    submanifold_map,
)
from snnjax.sparse.geometry import Size

DILATING = Geometry.of(3, 2, 1)
"""Kernel 3, stride 2, padding 1: the strided convolutions of the detectors, which add sites."""


@dataclass(frozen=True)
class E3DSNNConfig:
    """Everything that defines an E-3DSNN classifier."""

    stem: int = 16
    """Channels of the stem."""
    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the stages, each of which halves the grid."""
    depth: int = 1
    """Blocks of a stage."""
    in_channels: int | None = None
    """Features of a point, 3 for xyz, 6 with normals; None takes those of the data."""
    num_classes: int | None = None
    """Classes; None takes those of the data."""
    levels: int = 4
    """D, the largest integer that a neuron emits."""
    steps: int = 1
    """T, time steps; a static input is encoded once and repeated."""
    beta: float = 0.25
    """Leak of the membrane between steps; ignored when T = 1."""
    detach: bool = True
    """Stop the gradient through the spikes of the reset; ignored when T = 1."""
    spike_head: bool = False
    """Put a neuron before the head, so that the head receives spikes too."""
    twin: bool = False
    """Build the ANN twin: the same graph with ReLU in place of the neurons."""
    bn_decay: float = 0.99
    """Decay of the running statistics of the norms; short runs need 0.9 to 0.97."""
    bn_eps: float = 1e-3
    """Added to the variance in every norm; weights of other implementations may need theirs."""

    def __post_init__(self) -> None:
        for name in ("stem", "depth", "in_channels", "num_classes", "levels", "steps"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")
        if not self.channels or not all(isinstance(c, int) and c >= 1 for c in self.channels):
            raise ValueError(
                f"channels must be integers of at least 1 in each stage, with one stage or more; "
                f"got {self.channels}."
            )
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta must be in [0, 1]; got {self.beta}.")
        if not 0 <= self.bn_decay < 1:
            raise ValueError(f"bn_decay must be in [0, 1); got {self.bn_decay}.")
        if not 0 < self.bn_eps < math.inf:
            raise ValueError(f"bn_eps must be positive and finite; got {self.bn_eps}.")

    def build(self, info: DataInfo, *, rngs: nnx.Rngs) -> E3DSNN:
        """The network for this data."""
        return E3DSNN(filled(self, info), rngs=rngs)

    @classmethod
    def t(cls, **options: Any) -> Self:
        """E-3DSNN-T, 1.87 M parameters; `options` are further fields."""
        return cls(16, (16, 32, 64, 128), 1, **options)

    @classmethod
    def s(cls, **options: Any) -> Self:
        """E-3DSNN-S, 3.27 M parameters."""
        return cls(24, (24, 48, 96, 160), 1, **options)

    @classmethod
    def l(cls, **options: Any) -> Self:  # noqa: E743, the published name of the size
        """E-3DSNN-L, 17.3 M parameters."""
        return cls(64, (64, 128, 128, 256), 2, **options)

    @classmethod
    def h(cls, **options: Any) -> Self:
        """E-3DSNN-H, 46.6 M parameters."""
        return cls(64, (96, 192, 288, 384), 2, **options)


class ClassifierOutput(NamedTuple):
    """What a classifier of sparse tensors returns.

    Attributes:
      logits: mean over time, [B, K].
      overflow: points and sites of the batch that exceeded the capacity, int32 [].
    """

    logits: Array
    overflow: Array


class Branch(Module):
    """Neuron, convolution, norm: BN(conv(N x)) on a kernel map that comes with the call."""

    rematerialised = True

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: Size,
        config: E3DSNNConfig,
        *,
        use_bias: bool = False,
        init: Initializer = truncated_normal,
        rngs: nnx.Rngs,
    ):
        self.neuron = neuron(config)
        self.conv = SparseConv(
            in_channels, channels, kernel_size, use_bias=use_bias, init=init, rngs=rngs
        )
        self.norm = norm(channels, config)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        return run(self.norm, run(self.conv, run(self.neuron, x), kmap))


class Block(Module):
    """Two membrane shortcuts: y = x + BN(SubM3(N x)), z = y + BN(SubM3(N BN(SubM3(N y)))).

    The stream is real-valued; every convolution receives spikes.
    """

    def __init__(self, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.first = Branch(channels, channels, 3, config, rngs=rngs)
        self.second = Branch(channels, channels, 3, config, rngs=rngs)
        self.third = Branch(channels, channels, 3, config, rngs=rngs)
        pair(self.second.conv, [self.second.norm], self.third.conv)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        y = _add(x, run(self.first, x, kmap))
        return _add(y, run(self.third, run(self.second, y, kmap), kmap))


class Stem(Module):
    """Spike voxel coding: SubM k3, BN, N, SubM k3, BN, N, SubM k3, BN on one shared map."""

    def __init__(self, in_channels: int, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.conv = SparseConv(in_channels, channels, 3, init=truncated_normal, rngs=rngs)
        self.norm = norm(channels, config)
        self.second = Branch(channels, channels, 3, config, rngs=rngs)
        self.third = Branch(channels, channels, 3, config, rngs=rngs)
        pair(self.conv, [self.norm], self.second.conv)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap, steps: int) -> SparseTensor:
        x = run(self.norm, run(self.conv, x, kmap))
        x = repeated(x, steps)  # a static input is encoded once
        return run(self.third, run(self.second, x, kmap), kmap)


class Stage(Module):
    """Neuron, strided convolution, norm, then `config.depth` blocks on one shared map.

    Args:
      in_channels, channels: of the input and the output. config: depth, neurons and norms.
      kernel_size: that of the strided convolution.
      block: makes a block, `block(channels, config, rngs=rngs)`.
      rngs: random keys for the weights.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        config: E3DSNNConfig,
        *,
        kernel_size: Size = 2,
        block: Callable[..., Module] = Block,
        rngs: nnx.Rngs,
    ):
        init = kaiming_uniform
        self.down = Branch(in_channels, channels, kernel_size, config, init=init, rngs=rngs)
        self.blocks = nnx.List([block(channels, config, rngs=rngs) for _ in range(config.depth)])

    def forward(
        self, run: Run, x: SparseTensor, down: KernelMap, arithmetic: str | None
    ) -> SparseTensor:
        return through(run, self.blocks, run(self.down, x, down), arithmetic)


def through(
    run: Run, blocks: Iterable[Module], x: SparseTensor, arithmetic: str | None
) -> SparseTensor:
    """`x` after blocks that share one submanifold map."""
    kmap = submanifold_map(x, 3, arithmetic=arithmetic)
    for block in blocks:
        x = run(block, x, kmap)
    return x


class Head(nnx.Linear):
    """A linear layer on the mean over the sites.

    The published head scores every site and takes the mean of the scores, which is equal and costs
    more. Where the sites hold spikes it is counted as published: each adds a weight to every class.

    Args:
      in_features, num_classes: sizes of the layer. spikes: whether the sites hold spikes.
      rngs: random keys for the weights.
    """

    def __init__(self, in_features: int, num_classes: int, *, spikes: bool, rngs: nnx.Rngs):
        init = nnx.initializers.truncated_normal(0.02)
        super().__init__(in_features, num_classes, kernel_init=init, rngs=rngs)
        self.spikes = spikes

    def __call__(self, x: SparseTensor) -> Array:
        """Scores [B, K], or [T, B, K] where `x` has a time axis."""
        return super().__call__(global_mean_pool(x))


@count_inputs.register
def _(layer: Head, name: str, x: SparseTensor, **_: Any) -> Counts:
    if not layer.spikes:
        return (dense_activity(name, global_mean_pool(x), layer.out_features),)
    once, classes = x.valid.astype(jnp.int32), layer.out_features
    return (sparse_activity(name, x.feats, x.valid, once, classes, sum_rows=x.sum_rows),)


class E3DSNN(Module):
    """The E-3DSNN classifier.

    stem -> four stages, each halving the grid -> mean over the sites -> linear head. The mean of
    the per-site logits of the published head equals the head of the mean, which is cheaper.

    Source: Qiu et al., "Efficient 3D Recognition with Event-driven Spike Sparse Convolution", AAAI
    2025 (arXiv 2412.07360).
    """

    def __init__(self, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        inputs, classes = sizes_of(config)
        self.config = config
        self.stem = Stem(inputs, config.stem, config, rngs=rngs)
        sizes = (config.stem, *config.channels)
        self.stages = nnx.List([Stage(a, b, config, rngs=rngs) for a, b in pairwise(sizes)])
        self.neuron = neuron(config) if config.spike_head else None
        spikes = config.spike_head and not config.twin
        self.head = Head(sizes[-1], classes, spikes=spikes, rngs=rngs)

    @property
    def depth(self) -> int:
        """Levels below the input grid; the extent should be a multiple of 2**depth."""
        return len(self.stages)

    def forward(
        self, run: Run, x: SparseTensor, *, capacities: Capacities | None = None
    ) -> ClassifierOutput:
        """Classify a batch of voxel clouds.

        Args:
          run: the traversal.
          x: voxels with features [B, N, C], or [T, B, N, C] for inputs that change over time. A
            state continues on the same sites.
          capacities: rows of every level; None takes rows that cannot overflow.
        """
        check_channels(x, self.config)
        rows, arithmetic = plan(capacities, self.depth)
        if capacities is not None and capacities.samples > 1:
            x = pack(x, capacities.samples, rows=rows[0], depth=self.depth)
        kmap = submanifold_map(x, 3, arithmetic=arithmetic[0])
        x = run(self.stem, x, kmap, self.config.steps)
        for index, stage in enumerate(self.stages, 1):
            x = run(stage, x, strided_map(x, 2, 2, capacity=rows[index]), arithmetic[index])
        if self.neuron is not None:
            x = run(self.neuron, x)
        logits = run(self.head, x)
        logits = logits.mean(axis=0) if logits.ndim == 3 else logits
        return ClassifierOutput(logits, x.overflow.sum())


def neuron(config: E3DSNNConfig) -> IntegerNeuron | Rectifier:
    """The neuron of the network, or the rectifier of its ANN twin."""
    if config.twin:
        return Rectifier()
    return IntegerNeuron(config.levels, beta=config.beta, detach_reset=config.detach)


def norm(channels: int, config: E3DSNNConfig) -> SparseBatchNorm:
    """Batch normalisation over occupied rows."""
    return SparseBatchNorm(channels, eps=config.bn_eps, decay=config.bn_decay)


def _add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    return x.replace(feats=x.feats + y.feats)


def down_map(x: SparseTensor, geometry: Geometry, capacity: int | None) -> KernelMap:
    """The map of a strided convolution of this geometry."""
    sizes = geometry.kernel_size, geometry.stride, geometry.padding
    return strided_map(x, *sizes, capacity=capacity)


def repeated(x: SparseTensor, steps: int) -> SparseTensor:
    """A static tensor [B, N, C] for every time step; others, and a single step, as they are."""
    if steps == 1 or x.feats.ndim == 4:
        return x
    return x.replace(feats=direct(x.feats, steps))


def check_channels(x: SparseTensor, config: E3DSNNConfig) -> None:
    """Raise unless the input has the features that the network was built for."""
    given, wanted = x.feats.shape[-1], config.in_channels
    if given != wanted:
        raise ValueError(
            f"the model takes {wanted} point features; got {given}. Build it with "
            f"in_channels={given}."
        )


def check_unpacked(capacities: Capacities | None, made: str) -> None:
    """Raise if samples share a grid, since what is `made` belongs to one sample."""
    if capacities is not None and capacities.samples > 1:
        raise ValueError(
            f"{made} sample by sample, and these capacities pack {capacities.samples} samples into "
            "one grid; fit them with packed=False."
        )


def plan(capacities: Capacities | None, depth: int) -> tuple[tuple, tuple]:
    """Rows and arithmetic of every level, None where not given."""
    empty = (None,) * (depth + 1)
    if capacities is None:
        return empty, empty
    rows, arithmetic = capacities.rows, capacities.arithmetic or empty
    if len(rows) != depth + 1 or len(arithmetic) != depth + 1:
        raise ValueError(
            f"capacities need {depth + 1} levels; got {len(rows)} rows and "
            f"{len(arithmetic)} arithmetics."
        )
    return rows, arithmetic


def e3dsnn_t(
    in_channels: int = 6, num_classes: int = 40, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNN:
    """E-3DSNN-T, 1.87 M parameters; `options` are further fields of E3DSNNConfig."""
    return E3DSNN(
        E3DSNNConfig.t(in_channels=in_channels, num_classes=num_classes, **options), rngs=rngs
    )


def e3dsnn_s(
    in_channels: int = 6, num_classes: int = 40, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNN:
    """E-3DSNN-S, 3.27 M parameters; `options` are further fields of E3DSNNConfig."""
    return E3DSNN(
        E3DSNNConfig.s(in_channels=in_channels, num_classes=num_classes, **options), rngs=rngs
    )


def e3dsnn_l(
    in_channels: int = 6, num_classes: int = 40, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNN:
    """E-3DSNN-L, 17.3 M parameters; `options` are further fields of E3DSNNConfig."""
    return E3DSNN(
        E3DSNNConfig.l(in_channels=in_channels, num_classes=num_classes, **options), rngs=rngs
    )


def e3dsnn_h(
    in_channels: int = 6, num_classes: int = 40, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNN:
    """E-3DSNN-H, 46.6 M parameters; `options` are further fields of E3DSNNConfig."""
    return E3DSNN(
        E3DSNNConfig.h(in_channels=in_channels, num_classes=num_classes, **options), rngs=rngs
    )
