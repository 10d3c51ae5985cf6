"""E-3DSNN for detection by anchors: a sparse backbone, a map from above, and its heads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from flax import nnx

from snnjax.models.anchor_maps import AnchorMaps
from snnjax.models.bev import AnchorHead, BevNet
from snnjax.models.e3dsnn import (
    Block,
    Branch,
    E3DSNNConfig,
    Stem,
    neuron,
    norm,
    plan,
    repeated,
)
from snnjax.models.info import DataInfo, filled
from snnjax.nn import Module, Run, SparseConv, kaiming_uniform, truncated_normal
from snnjax.sparse import (
    Capacities,
    Geometry,
    KernelMap,
    SparseTensor,
    bev_map,
    strided_map,
    submanifold_map,
)

DOWN = Geometry.of(3, 2, 1)
FLATTEN = Geometry.of((3, 1, 1), (2, 1, 1))


@dataclass(frozen=True)
class E3DSNNDetectorConfig(E3DSNNConfig):
    """Everything that defines an E-3DSNN with anchors, by default the one for cars of KITTI."""

    stem: int = 16
    """Channels at the voxels."""
    channels: tuple[int, ...] = (32, 64, 64)
    """Channels of the levels, each of which halves the grid."""
    depth: int = 2
    """Blocks of a level."""
    light: bool = False
    """Plain convolutions in place of blocks with membrane shortcuts, and one in the stem."""
    column: int = 128
    """Channels of the last sparse convolution, which halves the height alone."""
    planes: int = 2
    """Planes that are left of the height; the map from above has column * planes channels."""
    bev_channels: tuple[int, ...] = (64, 128)
    """Channels of the stages of the net from above, each but the first of which halves the map."""
    bev_depth: int = 5
    """Convolutions of such a stage after its first."""
    bev_up: int = 128
    """Channels that each of them adds to the input of the heads."""
    headings: int = 2
    """Anchors of a class in each cell."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("column", "planes", "bev_depth", "bev_up", "headings"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")
        if not self.bev_channels or min(self.bev_channels) < 1:
            raise ValueError(f"bev_channels must be integers above 0; got {self.bev_channels}.")

    def build(self, info: DataInfo, *, rngs: nnx.Rngs) -> E3DSNNDetector:
        """The network for this data."""
        return E3DSNNDetector(filled(self, info), rngs=rngs)


class Level(Module):
    """Neuron, strided convolution k3 s2 p1, norm, then blocks on one shared map."""

    def __init__(
        self, in_channels: int, channels: int, config: E3DSNNDetectorConfig, *, rngs: nnx.Rngs
    ):
        self.down = Branch(in_channels, channels, 3, config, init=kaiming_uniform, rngs=rngs)
        made = range(config.depth)
        self.blocks = nnx.List(
            [Branch(channels, channels, 3, config, rngs=rngs) for _ in made]
            if config.light
            else [Block(channels, config, rngs=rngs) for _ in made]
        )

    def forward(
        self, run: Run, x: SparseTensor, down: KernelMap, arithmetic: str | None
    ) -> SparseTensor:
        x = run(self.down, x, down)
        kmap = submanifold_map(x, 3, arithmetic=arithmetic)
        for block in self.blocks:
            x = run(block, x, kmap)
        return x


class LightStem(Module):
    """SubM k3, BN: the stem of the light backbone."""

    def __init__(self, in_channels: int, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.conv = SparseConv(in_channels, channels, 3, init=truncated_normal, rngs=rngs)
        self.norm = norm(channels, config)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap, steps: int) -> SparseTensor:
        x = run(self.norm, run(self.conv, x, kmap))
        return repeated(x, steps)


class Column(Module):
    """N(BN(Conv k(3,1,1) s(2,1,1))) of the real-valued stream."""

    def __init__(self, in_channels: int, channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.conv = SparseConv(in_channels, channels, FLATTEN.kernel_size, rngs=rngs)
        self.norm = norm(channels, config)
        self.neuron = neuron(config)

    def forward(self, run: Run, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        return run(self.neuron, run(self.norm, run(self.conv, x, kmap)))


class E3DSNNDetector(Module):
    """The single-stage E-3DSNN: boxes relative to anchors at every cell of the ground.

        voxels -> stem -> N, SubM3, BN -> levels (N, conv k3 s2 p1, BN, blocks) -> column
        -> map from above, channels c * planes + z -> net of two dimensions -> heads of 1 x 1

    The neuron of the column is also that of the first layer above: two in a row emit the same, but
    pass fewer gradients. Only the first convolution, that of the column and the heads multiply real
    values.

    Sources: Deng et al., "Voxel R-CNN", AAAI 2021; Qiu et al., "Efficient 3D Recognition with
    Event-driven Spike Sparse Convolution", AAAI 2025 (arXiv 2412.07360).
    """

    def __init__(self, config: E3DSNNDetectorConfig, *, rngs: nnx.Rngs):
        if config.in_channels is None or config.num_classes is None:
            raise ValueError(
                "the network needs in_channels and num_classes; set them in its configuration, or "
                "take them from data with config.build(info, rngs=rngs)."
            )
        self.config = config
        stem = LightStem if config.light else Stem
        self.stem = stem(config.in_channels, config.stem, config, rngs=rngs)
        self.first = Branch(config.stem, config.stem, 3, config, rngs=rngs)
        sizes = (config.stem, *config.channels)
        self.levels = nnx.List([Level(a, b, config, rngs=rngs) for a, b in pairwise(sizes)])
        self.column = Column(sizes[-1], config.column, config, rngs=rngs)
        bev = config.column * config.planes
        self.bev = BevNet(
            bev, config.bev_channels, config.bev_depth, config.bev_up, config, rngs=rngs
        )
        anchors = config.headings * config.num_classes
        width = config.bev_up * len(config.bev_channels)
        self.head = AnchorHead(width, anchors, config.num_classes, config, rngs=rngs)

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The strided convolutions below the voxels, in order."""
        return (*(DOWN for _ in self.levels), FLATTEN)

    def forward(
        self, run: Run, x: SparseTensor, *, capacities: Capacities | None = None
    ) -> AnchorMaps:
        """Predictions at the anchors of every cell.

        Args:
          run: the traversal.
          x: voxels with features [B, N, C], or [T, B, N, C] for inputs that change over time.
          capacities: rows of the voxels, of every level and of the column; None takes rows that
            cannot overflow.
        """
        self._check(x, capacities)
        rows, arithmetic = plan(capacities, len(self.geometries))
        kmap = submanifold_map(x, 3, arithmetic=arithmetic[0])
        x = run(self.stem, x, kmap, self.config.steps)
        x = run(self.first, x, kmap)
        for index, level in enumerate(self.levels, 1):
            x = run(level, x, strided_map(x, 3, 2, 1, capacity=rows[index]), arithmetic[index])
        kmap = strided_map(x, FLATTEN.kernel_size, FLATTEN.stride, capacity=rows[-1])
        x = run(self.column, x, kmap)
        above = bev_map(x)
        above = above[None] if above.ndim == 4 else above
        return run(self.head, run(self.bev, above))._replace(overflow=x.overflow)

    def _check(self, x: SparseTensor, capacities: Capacities | None) -> None:
        config, given = self.config, x.feats.shape[-1]
        if given != config.in_channels:
            raise ValueError(
                f"the model takes {config.in_channels} point features; got {given}. Build it with "
                f"in_channels={given}."
            )
        extent = x.sample_extent
        for geometry in self.geometries:
            extent = geometry.out_extent(extent)
        if extent[0] != config.planes:
            raise ValueError(
                f"the grid has {extent[0]} planes at the column, and the model {config.planes}: "
                f"set planes={extent[0]}, or the height of the grid (data.grid.size)."
            )
        step = 2 ** (len(config.bev_channels) - 1)
        if extent[1] % step or extent[2] % step:
            raise ValueError(
                f"the map from above has {extent[1]} x {extent[2]} cells, which the net halves to "
                f"1/{step}; make both multiples of {step} by the extent of the grid."
            )
        if capacities is not None and capacities.samples > 1:
            raise ValueError(
                "the map from above is made sample by sample, and these capacities pack "
                f"{capacities.samples} samples into one grid; fit them with packed=False."
            )


def e3dsnn_kitti(
    in_channels: int = 4, num_classes: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNNDetector:
    """E-3DSNN for KITTI, single stage: 2,946,836 parameters; `options` are further fields."""
    config = E3DSNNDetectorConfig(**options)
    config = replace(config, in_channels=in_channels, num_classes=num_classes)
    return E3DSNNDetector(config, rngs=rngs)
