"""E-3DSNN for semantic segmentation: the encoder of the classifier with a decoder, U-shaped."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

from flax import nnx
from jax import Array

from snnjax.models.e3dsnn import (
    E3DSNNConfig,
    Stage,
    Stem,
    check_channels,
    check_unpacked,
    neuron,
    norm,
    plan,
)
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.nn import Module, Run, SiteLinear, SparseInverseConv, pair
from snnjax.sparse import (
    Capacities,
    KernelMap,
    SparseTensor,
    add,
    concatenate,
    strided_map,
    submanifold_map,
)

_SMALL = (96, 96, 128, 256)


@dataclass(frozen=True)
class E3DSNNSegmentationConfig(E3DSNNConfig):
    """Everything that defines an E-3DSNN for segmentation; the encoder is that of E3DSNNConfig."""

    decoder: tuple[int, ...] = (256, 256, 256, 256)
    """Channels of the decoder stages, the finest first; one for each stage of the encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(c, int) and c >= 1 for c in self.decoder):
            raise ValueError(f"decoder must be integers of at least 1; got {self.decoder}.")
        if len(self.decoder) != len(self.channels):
            raise ValueError(
                f"decoder needs one entry for each of the {len(self.channels)} stages of the "
                f"encoder; got {self.decoder}."
            )

    def build(self, info: DataInfo, *, rngs: nnx.Rngs) -> E3DSNNSegmentation:
        """The network for this data."""
        return E3DSNNSegmentation(filled(self, info), rngs=rngs)

    @classmethod
    def mini(cls, *, decoder: tuple[int, ...] = (32, 32, 48), **options: Any) -> Self:
        """0.41 M parameters, three stages: for coarse voxels, or few scans."""
        return cls(16, (24, 32, 48), 1, decoder=decoder, **options)

    @classmethod
    def t(cls, *, decoder: tuple[int, ...] = _SMALL, **options: Any) -> Self:
        """The encoder of E-3DSNN-T with a narrow decoder, 2.80 M parameters."""
        return super().t(decoder=decoder, **options)

    @classmethod
    def s(cls, *, decoder: tuple[int, ...] = _SMALL, **options: Any) -> Self:
        """The encoder of E-3DSNN-S with a narrow decoder, 4.27 M parameters."""
        return super().s(decoder=decoder, **options)

    @classmethod
    def l(cls, **options: Any) -> Self:  # noqa: E743, the published name of the size
        """E-3DSNN-L for SemanticKITTI, 20.0 M parameters."""
        return super().l(**options)

    @classmethod
    def h(cls, **options: Any) -> Self:
        """The encoder of E-3DSNN-H with a wide decoder, 49.6 M parameters."""
        return super().h(**options)


class SegmentationOutput(NamedTuple):
    """What a model returns that scores every voxel.

    Attributes:
      logits: scores of each row of the input, mean over time, [B, N, K]; 0 in rows without a voxel.
      overflow: voxels and sites of the batch that exceeded the capacity, int32 [].
    """

    logits: Array
    overflow: Array


class Mix(Module):
    """BN(Lin(N x)): neuron, linear layer with bias, norm."""

    def __init__(self, in_channels: int, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.neuron = neuron(config)
        self.linear = SiteLinear(in_channels, channels, rngs=rngs)
        self.norm = norm(channels, config)

    def forward(self, run: Run, x: SparseTensor) -> SparseTensor:
        return run(self.norm, run(self.linear, run(self.neuron, x)))


class Up(Module):
    """A decoder stage: back to the sites of the skip, and mixed with its features.

        u = BN(InverseConv2(N x)),    y = u + BN(Lin(N(BN(Lin(N[u, skip])))))

    Both u and the skip are real-valued; every product receives spikes.
    """

    def __init__(
        self, in_channels: int, skip: int, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs
    ):
        self.neuron = neuron(config)
        self.conv = SparseInverseConv(in_channels, channels, 2, rngs=rngs)
        self.norm = norm(channels, config)
        self.first = Mix(channels + skip, channels, config, rngs=rngs)
        self.second = Mix(channels, channels, config, rngs=rngs)
        pair(self.first.linear, [self.first.norm], self.second.linear)

    def forward(
        self, run: Run, x: SparseTensor, down: KernelMap, skip: SparseTensor
    ) -> SparseTensor:
        u = run(self.norm, run(self.conv, run(self.neuron, x), down, skip))
        return add([u, run(self.second, run(self.first, concatenate([u, skip])))])


class E3DSNNSegmentation(Module):
    """The E-3DSNN that gives every voxel a class.

    The stem and the stages of the classifier; then one decoder stage for each, which returns to the
    sites before its convolution by the same kernel map, and a linear layer on the real-valued
    stream (with `spike_head`, on spikes). Only that layer and the first convolution multiply real
    values.

    Source: Qiu et al., "Efficient 3D Recognition with Event-driven Spike Sparse Convolution", AAAI
    2025 (arXiv 2412.07360).
    """

    def __init__(self, config: E3DSNNSegmentationConfig, *, rngs: nnx.Rngs):
        inputs, classes = sizes_of(config)
        self.config = config
        self.stem = Stem(inputs, config.stem, config, rngs=rngs)
        skips = (config.stem, *config.channels)
        self.stages = nnx.List([Stage(a, b, config, rngs=rngs) for a, b in pairwise(skips)])
        below = (*config.decoder[1:], config.channels[-1])
        self.decoder = nnx.List(
            [
                Up(*sizes, config, rngs=rngs)
                for sizes in zip(below, skips[:-1], config.decoder, strict=True)
            ]
        )
        self.neuron = neuron(config) if config.spike_head else None
        self.final = SiteLinear(config.decoder[0], classes, rngs=rngs)

    @property
    def depth(self) -> int:
        """Levels below the input grid; the extent should be a multiple of 2**depth."""
        return len(self.stages)

    def forward(
        self, run: Run, x: SparseTensor, *, capacities: Capacities | None = None
    ) -> SegmentationOutput:
        """Score every voxel of a batch.

        Args:
          run: the traversal.
          x: voxels with features [B, N, C], or [T, B, N, C] for inputs that change over time.
          capacities: rows of every level; None takes rows that cannot overflow.
        """
        check_channels(x, self.config)
        check_unpacked(capacities, "scores of voxels are given")
        rows, arithmetic = plan(capacities, self.depth)
        x = run(self.stem, x, submanifold_map(x, 3, arithmetic=arithmetic[0]), self.config.steps)
        levels = []
        for index, stage in enumerate(self.stages, 1):
            down = strided_map(x, 2, 2, capacity=rows[index])
            levels.append((down, x))
            x = run(stage, x, down, arithmetic[index])
        for up, (down, skip) in zip(reversed(self.decoder), reversed(levels), strict=True):
            x = run(up, x, down, skip)
        if self.neuron is not None:
            x = run(self.neuron, x)
        logits = run(self.final, x).feats
        return SegmentationOutput(
            logits.mean(axis=0) if logits.ndim == 4 else logits, x.overflow.sum()
        )


def e3dsnn_l_segmentation(
    in_channels: int = 4, num_classes: int = 19, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNNSegmentation:
    """E-3DSNN-L for SemanticKITTI, 20,049,683 parameters; `options` are fields of the config."""
    config = E3DSNNSegmentationConfig.l(in_channels=in_channels, num_classes=num_classes, **options)
    return E3DSNNSegmentation(config, rngs=rngs)
