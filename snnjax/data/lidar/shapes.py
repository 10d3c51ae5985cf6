"""The voxels of scans: sites of every level, counted on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snnjax.data.source import Batch
from snnjax.sparse import Geometry, level_counts, level_occupancy


class ScanGrid(NamedTuple):
    """The voxels that the host has made, and how a model coarsens them.

    Attributes:
      box: voxels along z, y, x.
      levels: halvings below the input, or the geometry of each strided convolution.
    """

    box: tuple[int, int, int]
    levels: int | tuple[Geometry, ...]

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of a batch that sites are counted from."""
        return "coords", "n"

    @property
    def depth(self) -> int:
        """Levels below the input."""
        return self.levels if isinstance(self.levels, int) else len(self.levels)

    def counts(self, batch: Batch) -> np.ndarray:
        """Occupied sites of each sample at each level, int [B, depth + 1]."""
        return level_counts(_centres(batch), batch["n"], **self._units, depth=self.levels)

    def occupancy(self, batch: Batch) -> tuple[float, ...]:
        """Share of the 27 neighbours that are present at each level."""
        return level_occupancy(_centres(batch), batch["n"], **self._units, depth=self.levels)

    def check(self) -> None:
        """Raise if a halving without padding would drop the last plane of the grid."""
        if not isinstance(self.levels, int):
            return
        step = 2**self.levels
        if any(size % step for size in self.box):
            raise ValueError(
                f"the grid has {self.box} voxels (z, y, x), and the model halves it {self.levels} "
                f"times: each must be a multiple of {step}. Leave data.grid.size out for multiples "
                "of 16, or set it."
            )

    @property
    def _units(self) -> dict[str, Any]:
        return {"extent": self.box, "voxel_size": 1.0, "origin": (0.0, 0.0, 0.0)}


def _centres(batch: Batch) -> np.ndarray:
    """The centres of the voxels as points x, y, z in units of voxels, [B, N, 3]."""
    return batch["coords"][..., ::-1].astype(np.float32) + np.float32(0.5)
