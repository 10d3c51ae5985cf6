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
    "sparse-conv",
    "sparse-conv-batch",
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
"""Rows whose work the cores share as devices; each row has a process of its own."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure our layers beside their peers; one JSON line for each measurement."""

    rows: tuple[Row, ...] = ROWS
    """Which rows to measure: lif-layer (neurons alone, forward and backward, beside other
    libraries), lif-net (a training step of three layers), conv-net (of a convolutional net),
    long-time (memory of backpropagation by length), cost (neurons alone by length and number),
    sparse-conv (submanifold convolution of one cloud, its map and its
    gradient beside spconv), sparse-conv-batch (the same for a batch over the cores), extents (the
    same voxels in larger grids), train-step (E-3DSNN-T on the embedded shapes), dispatch (what
    calls and the loop add to a step), dense (dense convolution beside ours by occupancy), events
    (products with spikes by density), delays (learnable delays of synapses beside DCLS)."""
    repeats: int = 15
    """Rounds; in each, everything of a group is timed once, in turn."""
    snn_python: Path | None = None
    """Interpreter that has torch and those of --snn-peers that use it; without one they are left
    out."""
    jax_snn_python: Path | None = None
    """Interpreter that has jax and those of --snn-peers that use it; without one they are left
    out."""
    snn_peers: tuple[Library, ...] = LIBRARIES
    """Libraries that lif-layer, lif-net and conv-net are measured beside; conv-net leaves out those
    on JAX."""
    keep_memory: Literal["all", "ours", "none"] = "all"
    """Which processes keep freed memory, as that of `snnjax train` does: with "ours" those of
    --snn-peers run as they are."""
    dcls_python: Path | None = None
    """Interpreter that has dcls and torch, for the row delays; without one the peer is left out."""
    steps: int | None = None
    """Time steps of lif-layer, lif-net, conv-net and long-time instead of their own; the most that
    cost has."""
    spconv_python: Path | None = None
    """Interpreter that has spconv 2 and torch; without one the peer is left out."""
    peer_threads: tuple[int, ...] = (1, 2)
    """Thread counts that the peer is measured with. Only 1 is sure to give right results."""
    results: Path = Path(__file__).parent / "results"
    """Folder that receives <row>.jsonl; a file of an earlier run is replaced."""
    voxels: int = 37_000
    """Occupied voxels in the rows sparse-conv and extents."""
    all_arithmetics: bool = False
    """In sparse-conv, measure the arithmetic that is not chosen for these shapes as well."""
    channels: tuple[int, ...] = (32, 64, 128)
    """Channels, in and out, of sparse-conv; extents and dense take the first."""
    dense_extent: int = 32
    """Grid edge of the row dense."""
    batch_size: int = 32
    """Clouds of a training step."""
    points: int = 1024
    """Points of a cloud of a training step."""

    def __post_init__(self) -> None:
        """Refuse sizes that measure nothing."""
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
