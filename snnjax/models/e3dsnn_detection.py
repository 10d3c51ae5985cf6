"""E-3DSNN for detection by anchors: a sparse backbone, a map from above, and its heads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from flax import nnx

from snnjax.models.anchor_maps import AnchorMaps
from snnjax.models.bev import AnchorHead, BevNet
from snnjax.models.e3dsnn import (
    DILATING,
    Block,
    Branch,
    E3DSNNConfig,
    Stage,
    Stem,
    check_channels,
    check_unpacked,
    down_map,
    neuron,
    norm,
    plan,
    repeated,
)
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.nn import Module, Run, SparseConv, truncated_normal
from snnjax.sparse import (
    Capacities,
    Geometry,
    KernelMap,
    SparseTensor,
    bev_map,
    submanifold_map,
)

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


def plain(channels: int, config: E3DSNNConfig, *, rngs: nnx.Rngs) -> Branch:
    """The block of the light backbone: N, SubM3, BN."""
    return Branch(channels, channels, 3, config, rngs=rngs)


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
        inputs, classes = sizes_of(config)
        self.config = config
        stem, block = (LightStem, plain) if config.light else (Stem, Block)
        self.stem = stem(inputs, config.stem, config, rngs=rngs)
        self.first = Branch(config.stem, config.stem, 3, config, rngs=rngs)
        sizes = (config.stem, *config.channels)
        options: dict[str, Any] = {"kernel_size": DILATING.kernel_size, "block": block}
        self.levels = nnx.List(
            [Stage(a, b, config, **options, rngs=rngs) for a, b in pairwise(sizes)]
        )
        self.column = Column(sizes[-1], config.column, config, rngs=rngs)
        bev = config.column * config.planes
        self.bev = BevNet(
            bev, config.bev_channels, config.bev_depth, config.bev_up, config, rngs=rngs
        )
        anchors = config.headings * classes
        width = config.bev_up * len(config.bev_channels)
        self.head = AnchorHead(width, anchors, classes, config, rngs=rngs)

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The strided convolutions below the voxels, in order."""
        return (*(DILATING for _ in self.levels), FLATTEN)

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
        check_channels(x, self.config)
        check_unpacked(capacities, "the map from above is made")
        self._check_extent(x)
        rows, arithmetic = plan(capacities, len(self.geometries))
        kmap = submanifold_map(x, 3, arithmetic=arithmetic[0])
        x = run(self.stem, x, kmap, self.config.steps)
        x = run(self.first, x, kmap)
        for index, level in enumerate(self.levels, 1):
            x = run(level, x, down_map(x, DILATING, rows[index]), arithmetic[index])
        x = run(self.column, x, down_map(x, FLATTEN, rows[-1]))
        above = bev_map(x)
        above = above[None] if above.ndim == 4 else above
        return run(self.head, run(self.bev, above))._replace(overflow=x.overflow)

    def _check_extent(self, x: SparseTensor) -> None:
        config = self.config
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


def e3dsnn_kitti(
    in_channels: int = 4, num_classes: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> E3DSNNDetector:
    """E-3DSNN for KITTI, single stage: 2,946,836 parameters; `options` are further fields."""
    config = E3DSNNDetectorConfig(**options)
    config = replace(config, in_channels=in_channels, num_classes=num_classes)
    return E3DSNNDetector(config, rngs=rngs)
