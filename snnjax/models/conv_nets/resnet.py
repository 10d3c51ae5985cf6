"""Spiking residual networks with shortcuts of spikes or of membranes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.models.conv_nets.parts import (
    ConvNetConfig,
    Current,
    ImageInfo,
    Scores,
    Unit,
    frames_of,
    one_of,
    pair_layers,
    shown,
)
from snnjax.nn import Conv, DropPath, Module, Run

Shortcut = Literal["spikes", "membranes"]
Stem = Literal["small", "large"]


@dataclass(frozen=True, kw_only=True)
class SpikingResNetConfig(ConvNetConfig):
    """Everything that defines a spiking ResNet."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of the stages; all but the first halve height and width."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Blocks of each stage, with two 3 x 3 convolutions each."""
    shortcut: Shortcut = "spikes"
    """What a block adds to its input: the `spikes` of its last neurons (SEW-ResNet), or the current
    of its last norm (MS-ResNet), so that the stream consists of real-valued `membranes`."""
    stem: Stem = "small"
    """First layer: a 3 x 3 convolution, or for `large` pictures one of 7 x 7 with stride 2 and a
    3 x 3 max pool with stride 2."""
    drop_path: float = 0.0
    """Share of the samples that lose the branch of the last block in training; it rises linearly
    from 0 at the first block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths and depths must have one number for each stage, and one stage or more; "
                f"got {self.widths} and {self.depths}."
            )
        if min(*self.widths, *self.depths) < 1:
            raise ValueError(
                f"widths and depths must be at least 1; got {self.widths} and {self.depths}."
            )
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path must be in [0, 1); got {self.drop_path}.")
        one_of("shortcut", self.shortcut, get_args(Shortcut))
        one_of("stem", self.stem, get_args(Stem))

    def build(self, info: ImageInfo, *, rngs: nnx.Rngs) -> SpikingResNet:
        """The network for this data."""
        return SpikingResNet(self.for_data(info), rngs=rngs)

    @classmethod
    def resnet18(cls, **options: Any) -> SpikingResNetConfig:
        """ResNet-18: 11.7 M parameters with the large stem and 1,000 classes."""
        return cls(widths=(64, 128, 256, 512), depths=(2, 2, 2, 2), **options)

    @classmethod
    def resnet34(cls, **options: Any) -> SpikingResNetConfig:
        """ResNet-34: 21.8 M parameters with the large stem and 1,000 classes."""
        return cls(widths=(64, 128, 256, 512), depths=(3, 4, 6, 3), **options)


class SpikeBlock(Module):
    """y = SN(BN(conv SN(BN(conv x)))) + x: spikes are added, so y holds small integers.

    Where the block changes the shape, x is SN(BN(1 x 1 conv x)).
    """

    rematerialised = True

    def __init__(
        self,
        inner: int,
        outer: int,
        stride: int,
        drop: float,
        config: ConvNetConfig,
        *,
        rngs: nnx.Rngs,
    ):
        self.first = Unit(conv3(inner, outer, stride, rngs), outer, config)
        self.second = Unit(conv3(outer, outer, 1, rngs), outer, config)
        self.stride, self.drop_path = stride, DropPath(drop)
        same = stride == 1 and inner == outer
        self.down = None if same else Unit(Conv(inner, outer, 1, rngs=rngs), outer, config)
        pair_layers(self.first.layer, self.first.norm, self.first.neurons, self.second.layer)

    def forward(self, run: Run, x: Array) -> Array:
        branch = run(self.drop_path, run(self.second, run(self.first, x)))
        return branch + (x if self.down is None else run(self.down, thin(x, self.stride)))


class MembraneBlock(Module):
    """y = BN(conv SN(BN(conv SN(x)))) + x: a real-valued stream; convolutions receive spikes.

    Where the block changes the shape, x is BN(1 x 1 conv SN(x)) with the same spikes.
    """

    rematerialised = True

    def __init__(
        self,
        inner: int,
        outer: int,
        stride: int,
        drop: float,
        config: ConvNetConfig,
        *,
        rngs: nnx.Rngs,
    ):
        self.neurons = config.neurons(inner)
        self.first = Unit(conv3(inner, outer, stride, rngs), outer, config)
        self.second = Current(conv3(outer, outer, 1, rngs), outer, config)
        self.stride, self.drop_path = stride, DropPath(drop)
        same = stride == 1 and inner == outer
        self.down = None if same else Current(Conv(inner, outer, 1, rngs=rngs), outer, config)
        pair_layers(self.first.layer, self.first.norm, self.first.neurons, self.second.layer)

    def forward(self, run: Run, x: Array) -> Array:
        z = run(self.neurons, x)
        branch = run(self.drop_path, run(self.second, run(self.first, z)))
        return branch + (x if self.down is None else run(self.down, thin(z, self.stride)))


class SpikingResNet(Module):
    """The spiking ResNet classifier of pictures and event frames.

    stem -> stages of blocks -> mean over places -> head -> mean over time. With shortcuts of
    `membranes` neurons follow the last block, so that the head receives spikes. The projections of
    MS-ResNet receive membranes as published; here they receive the spikes of their block.

    Sources: Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021 (arXiv
    2102.04159), with the connect function ADD; Hu et al., "Advancing spiking neural networks toward
    deep residual learning", TNNLS 2024 (arXiv 2112.08954).

    >>> config = SpikingResNetConfig(widths=(4, 8), depths=(1, 1), in_channels=2, num_classes=3)
    >>> net = SpikingResNet(config, rngs=nnx.Rngs(0))
    >>> net(None, jnp.ones((5, 8, 8, 2)))[1].shape, net(None, jnp.ones((6, 5, 8, 8, 2)))[1].shape
    ((5, 3), (5, 3))
    """

    def __init__(self, config: SpikingResNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        membranes = config.shortcut == "membranes"
        width = config.widths[0]
        self.stem = Current(first_layer(config, rngs), width, config)
        self.neurons = None if membranes else config.neurons(width)
        kind = MembraneBlock if membranes else SpikeBlock
        self.blocks = nnx.List([])
        blocks = sum(config.depths)
        for stage, (outer, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                drop = config.drop_path * len(self.blocks) / max(blocks - 1, 1)
                self.blocks.append(kind(width, outer, stride, drop, config, rngs=rngs))
                width = outer
        self.last = config.neurons(width) if membranes else None
        self.scores = Scores(width, config, average=True, rngs=rngs)

    def forward(self, run: Run, x: ArrayLike) -> Array:
        """Classify a batch.

        Args:
          run: the traversal.
          x: pictures [B, H, W, C] or frames [T, B, H, W, C].

        Returns:
          Scores [B, K].
        """
        h, steps = frames_of(x, self.config)
        h = shown(run(self.stem, h), steps)
        h = h if self.neurons is None else run(self.neurons, h)
        h = overlapping_max_pool(h) if self.config.stem == "large" else h
        for block in self.blocks:
            h = run(block, h)
        return run(self.scores, h if self.last is None else run(self.last, h))


def first_layer(config: SpikingResNetConfig, rngs: nnx.Rngs) -> nnx.Module:
    """The first convolution, without a bias."""
    inner, outer = config.sizes()[0], config.widths[0]
    if config.stem == "small":
        return Conv(inner, outer, 3, rngs=rngs)
    return strided(inner, outer, 7, rngs)


def conv3(inner: int, outer: int, stride: int, rngs: nnx.Rngs) -> nnx.Module:
    """A 3 x 3 convolution without a bias."""
    return Conv(inner, outer, 3, rngs=rngs) if stride == 1 else strided(inner, outer, 3, rngs)


def strided(inner: int, outer: int, edge: int, rngs: nnx.Rngs) -> nnx.Conv:
    """A convolution with stride 2, which is centred on every second place as in PyTorch."""
    padding = [(edge // 2, edge // 2)] * 2
    init = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # +-1 / sqrt(fan_in)
    return nnx.Conv(
        inner,
        outer,
        (edge, edge),
        strides=2,
        padding=padding,
        use_bias=False,
        kernel_init=init,
        rngs=rngs,
    )


def thin(x: Array, stride: int) -> Array:
    """Every second row and column where the stride is 2."""
    return x[..., ::stride, ::stride, :]


def overlapping_max_pool(x: Array) -> Array:
    """The largest of each 3 x 3 window around every second place of [T, B, H, W, C]."""
    window, strides = (1, 1, 3, 3, 1), (1, 1, 2, 2, 1)
    padding = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)
