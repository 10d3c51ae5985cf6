"""VGG-style spiking networks: alternating convolutions and pools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, Literal, get_args

from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.models.conv_nets.parts import (
    ConvNetConfig,
    ImageInfo,
    Scores,
    Unit,
    frames_of,
    one_of,
    pair_layers,
)
from snnjax.nn import Conv, Module, Run, max_pool

Pool = Literal["spikes", "currents"]


@dataclass(frozen=True, kw_only=True)
class SpikingVGGConfig(ConvNetConfig):
    """Everything that defines a spiking VGG."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of the stages, each of which ends with a 2 x 2 max pool."""
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)
    """Convolutions of each stage."""
    pool: Pool = "spikes"
    """What the pool of a stage takes the largest of: `spikes`, as event-driven hardware can, or the
    `currents` of its last convolution, which leaves a quarter of its neurons to compute."""
    hidden: int = 0
    """Neurons of a dense layer before the head, where places are not averaged; 0 for none."""
    average: bool = True
    """Average the places behind the last stage; else each has weights of its own, which needs
    `image_size`."""
    image_size: tuple[int, int] | None = None
    """Height and width of the input; None takes those of the data. Ignored where places
    are averaged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths and depths must have one number for each stage, and one stage or more; "
                f"got {self.widths} and {self.depths}."
            )
        if min(*self.widths, *self.depths) < 1 or self.hidden < 0:
            raise ValueError(
                f"widths and depths must be at least 1 and hidden at least 0; got {self.widths}, "
                f"{self.depths} and {self.hidden}."
            )
        if self.hidden and self.average:
            raise ValueError(
                f"hidden={self.hidden} neurons receive spikes, which averaged places are not; set "
                "average to False, or hidden to 0."
            )
        one_of("pool", self.pool, get_args(Pool))
        if self.image_size is not None and min(self.places(self.image_size)) < 1:
            raise ValueError(
                f"image_size must be at least {2 ** len(self.widths)} for {len(self.widths)} "
                f"pools; got {self.image_size}."
            )

    def places(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width after the last stage."""
        return size[0] >> len(self.widths), size[1] >> len(self.widths)

    def build(self, info: ImageInfo, *, rngs: nnx.Rngs) -> SpikingVGG:
        """The network for this data."""
        config = self.for_data(info)
        if not self.average and self.image_size is None and info.sample_shape is not None:
            config = replace(config, image_size=info.sample_shape[-3:-1])
        return SpikingVGG(config, rngs=rngs)

    @classmethod
    def vgg11(cls, **options: Any) -> SpikingVGGConfig:
        """VGG-11 for small pictures, 9.23 M parameters with 10 classes."""
        return cls(widths=(64, 128, 256, 512, 512), depths=(1, 1, 2, 2, 2), **options)

    @classmethod
    def vgg16(cls, **options: Any) -> SpikingVGGConfig:
        """VGG-16 for small pictures, 14.7 M parameters with 10 classes."""
        return cls(widths=(64, 128, 256, 512, 512), depths=(2, 2, 3, 3, 3), **options)


class SpikingVGG(Module):
    """The spiking VGG classifier of pictures and event frames.

    stages x [depth x (3 x 3 convolution -> batch norm -> LIF), 2 x 2 max pool] -> head -> mean over
    time. The first convolution and norm process a picture once, and the neurons receive their
    current in each of T steps. Event frames go through all layers.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015; spiking with batch norm over time: Zheng et al., "Going deeper with
    directly-trained larger spiking neural networks", AAAI 2021.

    >>> import jax.numpy as jnp
    >>> config = SpikingVGGConfig(widths=(4, 8), depths=(1, 1), in_channels=2, num_classes=3)
    >>> net = SpikingVGG(config, rngs=nnx.Rngs(0))
    >>> net(None, jnp.ones((5, 8, 8, 2)))[1].shape, net(None, jnp.ones((6, 5, 8, 8, 2)))[1].shape
    ((5, 3), (5, 3))
    """

    def __init__(self, config: SpikingVGGConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = [config.sizes()[0]]
        for width, depth in zip(config.widths, config.depths, strict=True):
            widths += [width] * depth
        self.units = nnx.List(
            [Unit(Conv(a, b, 3, rngs=rngs), b, config) for a, b in pairwise(widths)]
        )
        for first, second in zip(self.units[::2], self.units[1::2], strict=False):
            pair_layers(first.layer, first.norm, first.neurons, second.layer)
        features = widths[-1] * (1 if config.average else _places(config))
        self.dense = _dense(features, config, rngs) if config.hidden else None
        features = config.hidden or features
        self.scores = Scores(features, config, average=config.average, rngs=rngs)

    def forward(self, run: Run, x: ArrayLike) -> Array:
        """Classify a batch.

        Args:
          run: the traversal.
          x: pictures [B, H, W, C] or frames [T, B, H, W, C].

        Returns:
          Scores [B, K].
        """
        h, steps = frames_of(x, self.config)
        units = iter(self.units)
        early = self.config.pool == "currents"
        for depth in self.config.depths:
            for index in range(depth):
                last = index == depth - 1
                h = run(next(units), h, pool=2 if last and early else 1, steps=steps)
                steps = 1
            h = h if early else max_pool(h, 2)
        if self.dense is not None:
            h = run(self.dense, h.reshape(*h.shape[:2], -1))
        return run(self.scores, h)


def _dense(features: int, config: SpikingVGGConfig, rngs: nnx.Rngs) -> Unit:
    layer = nnx.Linear(features, config.hidden, use_bias=False, rngs=rngs)
    return Unit(layer, config.hidden, config)


def _places(config: SpikingVGGConfig) -> int:
    if config.image_size is None:
        raise ValueError(
            "the network needs image_size where places are not averaged; set it in its "
            "configuration, or take it from data with config.build(info, rngs=rngs)."
        )
    return prod(config.places(config.image_size))
