"""Row `sparse-conv-batch`: like `sparse-conv`, with the voxels in a batch of four clouds.

The devices (the cores of a CPU) share the batch, as they do in a training step; spconv
processes it at once, on one thread, since its results are wrong with more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.bench.options import Options
from experiments.bench.peer import Peer
from experiments.bench.sparse_conv import measure_clouds

ROW = "sparse-conv-batch"
BATCH = 4


def run(options: Options, peers: Sequence[Peer] = ()) -> Iterator[dict[str, Any]]:
    """Records for the batch, for each number of channels."""
    yield from measure_clouds(options, peers, BATCH, ROW)
