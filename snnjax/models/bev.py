"""Spiking nets on a map from above: stages that halve it, joined at full size, and heads."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.models.anchor_maps import AnchorMaps
from snnjax.models.e3dsnn import E3DSNNConfig
from snnjax.neurons import detach, subtract
from snnjax.nn import ILIF, BatchNorm, Conv, Module, Run

SCORE_BIAS = -math.log(99)
"""Initial bias of the scores of anchors: a hundredth."""

KAIMING = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Uniform in +-1 / sqrt(fan in)."""


def dense_neuron(channels: int, config: E3DSNNConfig) -> ILIF | Callable[[Array], Array]:
    """The integer neuron for arrays [T, B, ..., C], or the rectifier of the ANN twin."""
    if config.twin:
        return jax.nn.relu
    reset = detach(subtract) if config.detach else subtract
    return ILIF(channels, levels=config.levels, beta=config.beta, reset=reset)


def dense_norm(channels: int, config: E3DSNNConfig) -> BatchNorm:
    """Batch normalisation over every cell of the maps."""
    return BatchNorm(channels, eps=config.bn_eps, decay=config.bn_decay)


class BevBranch(Module):
    """BN(conv3(N x)) on maps [T, B, H, W, C]; without a neuron where the input has spikes.

    Stride 2 pads one cell on every side; "SAME" would shift the map by a cell.
    """

    rematerialised = True

    def __init__(
        self,
        in_channels: int,
        channels: int,
        config: E3DSNNConfig,
        *,
        stride: int = 1,
        spikes: bool = False,
        rngs: nnx.Rngs,
    ):
        self.neuron = None if spikes else dense_neuron(in_channels, config)
        if stride == 1:
            self.conv = Conv(in_channels, channels, 3, rngs=rngs)
        else:
            self.conv = nnx.Conv(
                in_channels,
                channels,
                (3, 3),
                strides=stride,
                padding=((1, 1), (1, 1)),
                use_bias=False,
                kernel_init=KAIMING,
                rngs=rngs,
            )
        self.norm = dense_norm(channels, config)

    def forward(self, run: Run, x: Array) -> Array:
        x = x if self.neuron is None else run(self.neuron, x)
        return run(self.norm, run(self.conv, x))


class BevUp(Module):
    """BN(conv-transpose(N x)) with kernel = stride: back to the size of the first stage."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, config: E3DSNNConfig, *, rngs: nnx.Rngs
    ):
        self.neuron = dense_neuron(in_channels, config)
        size = (stride, stride)
        self.conv = nnx.ConvTranspose(
            in_channels,
            channels,
            size,
            strides=size,
            padding="VALID",
            use_bias=False,
            kernel_init=KAIMING,
            rngs=rngs,
        )
        self.norm = dense_norm(channels, config)

    def forward(self, run: Run, x: Array) -> Array:
        return run(self.norm, run(self.conv, run(self.neuron, x)))


class BevStage(Module):
    """A convolution, of stride 2 in all stages but the first, and `depth` more."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        config: E3DSNNConfig,
        *,
        first: bool,
        rngs: nnx.Rngs,
    ):
        stride = 1 if first else 2
        head = BevBranch(in_channels, channels, config, stride=stride, spikes=first, rngs=rngs)
        rest = [BevBranch(channels, channels, config, rngs=rngs) for _ in range(depth)]
        self.branches = nnx.List([head, *rest])

    def forward(self, run: Run, x: Array) -> Array:
        for branch in self.branches:
            x = run(branch, x)
        return x


class BevNet(Module):
    """Stages on a map of spikes; their results, at full size, side by side and real-valued.

    Args:
      in_channels: of the map. channels: of the stages. depth: convolutions of a stage after its
        first. up: channels of each stage's result. config: neurons and norms.
    """

    def __init__(
        self,
        in_channels: int,
        channels: tuple[int, ...],
        depth: int,
        up: int,
        config: E3DSNNConfig,
        *,
        rngs: nnx.Rngs,
    ):
        inputs = (in_channels, *channels[:-1])
        self.stages = nnx.List(
            [
                BevStage(a, b, depth, config, first=i == 0, rngs=rngs)
                for i, (a, b) in enumerate(zip(inputs, channels, strict=True))
            ]
        )
        self.ups = nnx.List([BevUp(c, up, 2**i, config, rngs=rngs) for i, c in enumerate(channels)])

    def forward(self, run: Run, x: Array) -> Array:
        found = []
        for stage, up in zip(self.stages, self.ups, strict=True):
            x = run(stage, x)
            found.append(run(up, x))
        return jnp.concatenate(found, axis=-1)


class AnchorHead(Module):
    """Linear layers at every cell: scores, codes and directions of its anchors, mean over time.

    The input is real-valued; with `spike_head` a neuron comes first.
    """

    def __init__(
        self, channels: int, anchors: int, classes: int, config: E3DSNNConfig, *, rngs: nnx.Rngs
    ):
        self.neuron = dense_neuron(channels, config) if config.spike_head else None
        bias = nnx.initializers.constant(SCORE_BIAS)
        self.scores = nnx.Linear(
            channels, anchors * classes, kernel_init=KAIMING, bias_init=bias, rngs=rngs
        )
        small = nnx.initializers.normal(0.001)
        self.boxes = nnx.Linear(channels, anchors * 7, kernel_init=small, rngs=rngs)
        self.directions = nnx.Linear(channels, anchors * 2, kernel_init=KAIMING, rngs=rngs)

    def forward(self, run: Run, x: Array) -> AnchorMaps:
        x = x if self.neuron is None else run(self.neuron, x)
        layers = (self.scores, self.boxes, self.directions)
        return AnchorMaps(*(run(layer, x).mean(axis=0) for layer in layers))
