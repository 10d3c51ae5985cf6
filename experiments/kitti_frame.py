"""The single-stage detector for KITTI at its full grid, on one real frame: sites, time, memory.

    python -m experiments.kitti_frame ../shared/data/lidar_kitti_object/training 000134

The frame's points in view become voxels of 0.05 x 0.05 x 0.1 m; capacities are those that hold nine
real frames. The weights are random: the work does not depend on them.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snnjax.data.lidar import LidarBoxSource
from snnjax.data.lidar.shapes import ScanGrid
from snnjax.models import e3dsnn_kitti
from snnjax.sparse import Capacities, SparseTensor

ROWS = (18_000, 42_000, 30_000, 14_000, 12_000)
"""Rows of the voxels, the three levels and the column."""


class Frame(NamedTuple):
    """What a frame cost.

    Attributes:
      sites: occupied sites of the levels. waste: share of the rows that are empty.
      overflow: sites that did not fit. compile_seconds, seconds: of the program, and of one call.
      peak_gb: largest memory of the process.
      cells: scores of the map, [H, W].
    """

    sites: tuple[int, ...]
    waste: float
    overflow: int
    compile_seconds: float
    seconds: float
    peak_gb: float
    cells: tuple[int, int]


def voxels(folder: Path, name: str) -> tuple[SparseTensor, np.ndarray]:
    """The frame as a sparse tensor, and its sites by level."""
    source = LidarBoxSource(str(folder.parent), voxels=ROWS[0])
    batch = source.collate([source.read(folder / "velodyne" / f"{name}.bin")], None)
    model = nnx.eval_shape(lambda: e3dsnn_kitti(rngs=nnx.Rngs(0)))
    sites = ScanGrid(source.grid.extent, model.geometries).counts(batch)[0]
    arrays = jax.tree.map(jnp.asarray, batch)
    x = source.encode(arrays, Capacities(ROWS), key=None, train=False)["x"]
    return x, sites


def measure(folder: Path, name: str, *, repeats: int = 3) -> Frame:
    """Run the detector in evaluation; the median time of some calls."""
    x, sites = voxels(folder, name)
    model = e3dsnn_kitti(rngs=nnx.Rngs(0))
    capacities = Capacities(ROWS)
    run = jax.jit(lambda model, x: model(None, x, capacities=capacities)[1])
    start = time.perf_counter()
    out = jax.block_until_ready(run(model, x))
    first = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(model, x))
        seconds.append(time.perf_counter() - start)
    typical = float(np.median(seconds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    height, width = out.scores.shape[1:3]
    return Frame(
        sites=tuple(int(n) for n in sites),
        waste=capacities.padding(sites[None]),
        overflow=int(np.sum(out.overflow)),
        compile_seconds=first - typical,
        seconds=typical,
        peak_gb=peak,
        cells=(height, width),
    )


def main() -> None:
    """Print what a frame cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder `training` of the data set")
    parser.add_argument("frame", help="number of the frame, such as 000134")
    options = parser.parse_args()
    for field, value in measure(options.folder, options.frame)._asdict().items():
        print(f"{field:16} {value}")


if __name__ == "__main__":
    main()
