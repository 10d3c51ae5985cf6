"""The options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Row = Literal[
    "lif-layer",
    "lif-net",
    "conv-net",
    "long-time",
    "cost",
    "depth",
    "sparse-conv",
    "sparse-conv-batch",
    "lidar-net",
    "extents",
    "train-step",
    "dispatch",
    "dense",
    "events",
    "delays",
]
ROWS: tuple[Row, ...] = get_args(Row)
Library = Literal["spikingjelly", "snntorch", "norse", "spyx", "jaxpike"]
LIBRARIES: tuple[Library, ...] = get_args(Library)
JAX_LIBRARIES: tuple[Library, ...] = ("spyx", "jaxpike")
SHARED: tuple[Row, ...] = ("lif-layer", "lif-net", "conv-net", "sparse-conv-batch", "train-step")
"""Rows that use the cores as devices; each row has its own process."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Benchmark our layers and their peers; one JSON line for each measurement."""

    rows: tuple[Row, ...] = ROWS
    """Which rows to measure: lif-layer (neurons alone, forward and backward, and other
    libraries), lif-net (a training step of three layers), conv-net (of a convolutional net),
    long-time (memory of backpropagation by length), cost (neurons alone by length and number),
    depth (time to compile a transformer by its blocks),
    sparse-conv (submanifold convolution of one cloud, its map and its
    gradient, and spconv), sparse-conv-batch (the same for a batch over the cores), lidar-net
    (whole networks on LiDAR scans, and spconv), extents (the
    same voxels in larger grids), train-step (E-3DSNN-T on the embedded shapes), dispatch (what
    calls and the loop add to a step), dense (dense convolution and ours by occupancy), events
    (products with spikes by density), delays (learnable delays of synapses, and DCLS)."""
    repeats: int = 15
    """Rounds; each round times every case of a group once."""
    snn_python: Path | None = None
    """Interpreter with torch and the --snn-peers that use it; without it they are skipped."""
    jax_snn_python: Path | None = None
    """Interpreter with jax and the --snn-peers that use it; without it they are skipped."""
    snn_peers: tuple[Library, ...] = LIBRARIES
    """Libraries measured in lif-layer, lif-net and conv-net; conv-net skips those on JAX."""
    keep_memory: Literal["all", "ours", "none"] = "all"
    """Which processes keep freed memory, as that of `snnjax train` does: with "ours" the
    --snn-peers run with default settings."""
    dcls_python: Path | None = None
    """Interpreter with dcls and torch, for the row delays; without it the peer is skipped."""
    steps: int | None = None
    """Time steps of lif-layer, lif-net, conv-net and long-time instead of their own; the maximum
    for cost."""
    spconv_python: Path | None = None
    """Interpreter with spconv 2 and torch; without it the peer is skipped."""
    peer_threads: tuple[int, ...] = (1, 2)
    """Thread counts for the peer. Only 1 is guaranteed to give correct results."""
    results: Path = Path(__file__).parent / "results"
    """Folder for <row>.jsonl; a file of an earlier run is replaced."""
    scan: Path | None = None
    """Scan of SemanticKITTI (.bin) for lidar-net; without it its segmentation is skipped."""
    frame: Path | None = None
    """Frame of KITTI object, velodyne/NAME.bin with calib/NAME.txt in the folder above, for
    lidar-net; without it its backbone is skipped."""
    voxels: int = 37_000
    """Occupied voxels in the rows sparse-conv and extents."""
    all_arithmetics: bool = False
    """In sparse-conv, also measure the arithmetic that is not chosen for these shapes."""
    channels: tuple[int, ...] = (32, 64, 128)
    """Channels, in and out, of sparse-conv; extents and dense take the first."""
    dense_extent: int = 32
    """Grid edge of the row dense."""
    batch_size: int = 32
    """Clouds of a training step."""
    points: int = 1024
    """Points of a cloud of a training step."""

    def __post_init__(self) -> None:
        """Raise for sizes without a meaningful measurement."""
        for name, least in (
            ("repeats", 1),
            ("voxels", 64),
            ("dense_extent", 4),
            ("batch_size", 1),
            ("points", 8),
        ):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must be at least {least}; got {getattr(self, name)}.")
        if self.steps is not None and self.steps < 4:
            raise ValueError(f"--steps must be at least 4; got {self.steps}.")
        for name in ("rows", "channels", "peer_threads"):
            if not getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value.")
        for name in ("channels", "peer_threads"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be positive.")
        for name in ("spconv_python", "snn_python", "jax_snn_python", "dcls_python"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(
                    f"--{name.replace('_', '-')} must be a Python interpreter; there is no file "
                    f"{path}."
                )
        for name in ("scan", "frame"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"--{name} must be a file of points; there is no file {path}.")
