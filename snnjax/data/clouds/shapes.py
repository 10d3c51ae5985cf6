"""The voxels of clouds: sites of every level, counted on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snnjax.data.buckets import VoxelShapes
from snnjax.data.source import Batch
from snnjax.sparse import level_counts, level_occupancy

CloudShapes = VoxelShapes
"""The shapes of batches of clouds, which a `Grid` counts."""


class Grid(NamedTuple):
    """The voxels over the cube [-1, 1]^3, and how often a model halves them.

    Attributes:
      extent: voxels along each side. depth: levels below the input.
    """

    extent: int
    depth: int

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of a batch that sites are counted from."""
        return "points", "count"

    @property
    def box(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        return self.extent, self.extent, self.extent

    @property
    def cube(self) -> dict[str, Any]:
        """The grid in the form that `snnjax.sparse` takes."""
        size = 2.0 / self.extent
        return {"extent": self.box, "voxel_size": size, "origin": (-1.0, -1.0, -1.0)}

    @property
    def levels(self) -> int:
        """Those levels: halvings."""
        return self.depth

    def counts(self, batch: Batch) -> np.ndarray:
        """Occupied sites of each cloud at each level, int [B, depth + 1], counted on the host."""
        return level_counts(batch["points"], batch["count"], **self.cube, depth=self.depth)

    def occupancy(self, batch: Batch) -> tuple[float, ...]:
        """Share of the neighbours that are present at each level."""
        return level_occupancy(batch["points"], batch["count"], **self.cube, depth=self.depth)

    def check(self) -> None:
        """Raise if a halving would drop the last plane of the grid and its contents."""
        step = 2**self.depth
        if self.extent % step:
            below = self.extent // step * step
            near = f"{below} or {below + step}" if below else str(step)
            raise ValueError(
                f"data.extent must be a multiple of {step}, since the model halves the grid "
                f"{self.depth} times; got {self.extent}. Use {near}."
            )
