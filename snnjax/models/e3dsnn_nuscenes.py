"""E-3DSNN for detection by centres: sparse from the voxels to the heads, without a dense map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.models.centre_maps import CentreMaps
from snnjax.models.e3dsnn import (
    DILATING,
    Branch,
    E3DSNNConfig,
    Stage,
    check_channels,
    check_unpacked,
    down_map,
    neuron,
    norm,
    plan,
    repeated,
    through,
)
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.nn import Module, Run, SiteLinear, SparseConv, kaiming_uniform, truncated_normal
from snnjax.sparse import (
    Capacities,
    Geometry,
    KernelMap,
    SparseTensor,
    add,
    merge,
    strided_map,
    submanifold_map,
    sum_over_z,
)

NUSCENES_HEADS = (1, 2, 2, 1, 2, 2)
"""Classes of each head: car; truck, construction vehicle; bus, trailer; barrier; motorcycle,
bicycle; pedestrian, cone."""

HEAT_BIAS = -2.19
"""Initial bias of the heat maps, a score of 0.1."""


@dataclass(frozen=True)
class E3DSNNCentresConfig(E3DSNNConfig):
    """Everything that defines an E-3DSNN with centre heads, by default the one for nuScenes."""

    stem: int = 16
    """Channels at the voxels."""
    channels: tuple[int, ...] = (32, 64, 128, 128, 128)
    """Channels of the levels, each of which halves the grid; the joined ones must be equal."""
    depth: int = 2
    """Basic blocks of a level."""
    joined: int = 3
    """The last levels, whose sites are joined on the grid of the finest of them."""
    heads: tuple[int, ...] = NUSCENES_HEADS
    """Number of classes of each head, in the order of the classes."""
    velocity: bool = True
    """Whether boxes have a velocity along x and y."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.heads or not all(isinstance(k, int) and k >= 1 for k in self.heads):
            raise ValueError(f"heads must be integers of at least 1; got {self.heads}.")
        if not 1 <= self.joined <= len(self.channels):
            raise ValueError(
                f"joined must be between 1 and the {len(self.channels)} levels; got {self.joined}."
            )
        if len(set(self.channels[-self.joined :])) > 1:
            raise ValueError(
                f"the last {self.joined} levels are summed and need equal channels; got "
                f"{self.channels}."
            )
        if self.num_classes not in (None, sum(self.heads)):
            raise ValueError(
                f"the heads {self.heads} have {sum(self.heads)} classes; num_classes is "
                f"{self.num_classes}. Give each class a head."
            )

    def build(self, info: DataInfo, *, rngs: nnx.Rngs) -> E3DSNNCentres:
        """The network for this data."""
        return E3DSNNCentres(filled(self, info), rngs=rngs)

    @property
    def codes(self) -> tuple[int, ...]:
        """Sizes of the parts of a box code: centre, height, log sizes, heading, velocity."""
        return (2, 1, 3, 2) + ((2,) if self.velocity else ())


class BasicBlock(Module):
    """y = x + BN(SubM3(N(BN(SubM3(N x))))), with biases in the convolutions."""

    def __init__(self, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.first = Branch(channels, channels, 3, config, use_bias=True, rngs=rngs)
        self.second = Branch(channels, channels, 3, config, use_bias=True, rngs=rngs)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        return add([x, run(self.second, run(self.first, x, kmap), kmap)])


class Output(Module):
    """Lin(BN(Lin(s))): the hidden and the last layer of one part of a head.

    The last layer multiplies the real-valued output of the norm, or with `spike_head` spikes.
    """

    def __init__(
        self, channels: int, out: int, config: E3DSNNConfig, *, bias: float = 0, rngs: nnx.Rngs
    ):
        self.hidden = SiteLinear(channels, channels, rngs=rngs)
        self.norm = norm(channels, config)
        self.neuron = neuron(config) if config.spike_head else None
        self.last = SiteLinear(channels, out, rngs=rngs)
        if self.last.bias is not None and bias:
            self.last.bias.set_value(jnp.full((out,), bias, jnp.float32))

    def forward(self, run: Run, x: SparseTensor) -> Array:
        x = run(self.norm, run(self.hidden, x))
        x = x if self.neuron is None else run(self.neuron, x)
        feats = run(self.last, x).feats
        return feats.mean(axis=0) if feats.ndim == 4 else feats


class CentreHead(Module):
    """The heat maps of some classes, and the codes of their boxes, at every site of a plane."""

    def __init__(self, channels: int, classes: int, config: E3DSNNCentresConfig, *, rngs: nnx.Rngs):
        self.codes = nnx.List([Output(channels, n, config, rngs=rngs) for n in config.codes])
        self.heat = Output(channels, classes, config, bias=HEAT_BIAS, rngs=rngs)

    def forward(self, run: Run, x: SparseTensor) -> tuple[Array, Array]:
        parts = [run(part, x) for part in self.codes]
        return run(self.heat, x), jnp.concatenate(parts, axis=-1)


class E3DSNNCentres(Module):
    """The E-3DSNN that detects boxes by their centres at occupied places of the ground.

        voxels -> SubM3, BN, blocks -> levels (N, conv k3 s2 p1, BN, blocks)
        -> the last levels on the grid of the finest, sites of equal place summed, also along z
        -> N, conv k3 in the plane (new sites), BN; N, SubM k3, BN; N -> heads

    Sources: Chen et al., "VoxelNeXt: Fully sparse VoxelNet for 3D object detection and tracking",
    CVPR 2023; Qiu et al., "Efficient 3D Recognition with Event-driven Spike Sparse Convolution",
    AAAI 2025 (arXiv 2412.07360).
    """

    def __init__(self, config: E3DSNNCentresConfig, *, rngs: nnx.Rngs):
        inputs, _ = sizes_of(config)
        self.config = config
        width = config.channels[-1]
        self.conv = SparseConv(inputs, config.stem, 3, init=truncated_normal, rngs=rngs)
        self.norm = norm(config.stem, config)
        self.blocks = nnx.List(
            [BasicBlock(config.stem, config, rngs=rngs) for _ in range(config.depth)]
        )
        sizes = (config.stem, *config.channels)
        options: dict[str, Any] = {"kernel_size": DILATING.kernel_size, "block": BasicBlock}
        self.levels = nnx.List(
            [Stage(a, b, config, **options, rngs=rngs) for a, b in pairwise(sizes)]
        )
        plane = (1, 3, 3)
        self.spread = Branch(width, width, plane, config, init=kaiming_uniform, rngs=rngs)
        self.shared = Branch(width, width, plane, config, use_bias=True, rngs=rngs)
        self.neuron = neuron(config)
        self.heads = nnx.List([CentreHead(width, k, config, rngs=rngs) for k in config.heads])

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The strided convolutions below the voxels."""
        return (DILATING,) * len(self.levels)

    def forward(
        self, run: Run, x: SparseTensor, *, capacities: Capacities | None = None
    ) -> CentreMaps:
        """Predictions at the sites of the plane.

        Args:
          run: the traversal.
          x: voxels with features [B, N, C], or [T, B, N, C] for inputs that change over time.
          capacities: rows of every level; None takes rows that cannot overflow.
        """
        check_channels(x, self.config)
        check_unpacked(capacities, "the sites of the heads are given")
        rows, arithmetic = plan(capacities, len(self.levels))
        x = run(self.norm, run(self.conv, x, submanifold_map(x, 3, arithmetic=arithmetic[0])))
        x = repeated(x, self.config.steps)  # a static input is encoded once
        x = through(run, self.blocks, x, arithmetic[0])
        found = []
        for index, level in enumerate(self.levels, 1):
            x = run(level, x, down_map(x, DILATING, rows[index]), arithmetic[index])
            found.append(x)
        x = self._plane(run, found[-self.config.joined :])
        outputs = [run(head, x) for head in self.heads]
        cells = x.coords[..., :0:-1].astype(jnp.float32)  # x, y
        heat, codes = zip(*outputs, strict=True)
        return CentreMaps(tuple(heat), tuple(codes), cells, x.valid, x.overflow)

    def _plane(self, run: Run, levels: list[SparseTensor]) -> SparseTensor:
        """The joined levels in one plane, as spikes."""
        x = sum_over_z(merge(levels))
        x = run(self.spread, x, strided_map(x, (1, 3, 3), 1, (0, 1, 1)))
        x = run(self.shared, x, submanifold_map(x, (1, 3, 3)))
        return run(self.neuron, x)


def e3dsnn_nuscenes(in_channels: int = 5, *, rngs: nnx.Rngs, **options: Any) -> E3DSNNCentres:
    """E-3DSNN for nuScenes, 7,981,398 parameters; `options` are fields of the config."""
    config = E3DSNNCentresConfig(in_channels=in_channels, **options)
    return E3DSNNCentres(replace(config, num_classes=sum(config.heads)), rngs=rngs)
