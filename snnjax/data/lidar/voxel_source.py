"""What sources of scans share: voxels made on the host, their shapes, the tensor on the device."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data.buckets import VoxelShapes, fit_capacities, shapes_from_json
from snnjax.data.checks import at_least_one
from snnjax.data.pipeline import batches, steps_per_epoch
from snnjax.data.source import Batch, Dataset, Layout, SourceBase
from snnjax.sparse import Capacities, SparseTensor

from .grid import LidarGrid, Voxels, voxelise
from .shapes import ScanGrid

_SCANNED = 2_000  # training scans that are looked at


@dataclass(frozen=True)
class VoxelSource(SourceBase):
    """Fields and defaults of sources whose samples are voxels of scans."""

    grid: LidarGrid = field(default_factory=LidarGrid)
    """Where voxels are, and their size."""
    voxels: int = 131072
    """Voxels of a scan. Of more, random ones are dropped in training and counted in the overflow;
    in evaluation they are an error."""
    drop_voxels: bool = False
    """Drop surplus voxels in evaluation too, always the same ones."""
    mean_of: int | None = None
    """Points whose mean is the feature of a voxel; None takes one: a random one in training, the
    nearest to the centre in evaluation."""
    feature_units: tuple[float, ...] = ()
    """What each feature of a voxel is divided by, x, y, z and reflectance; empty leaves metres, as
    published. Features of order 1 are learned in fewer steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("data.voxels", self.voxels)
        if self.mean_of is not None:
            at_least_one("data.mean_of", self.mean_of)
        if not all(np.isfinite(unit) and unit > 0 for unit in self.feature_units):
            raise ValueError(
                f"data.feature_units must be positive and finite; got {self.feature_units}."
            )

    def voxelise(self, points: np.ndarray, rng: np.random.Generator | None, name: str) -> Voxels:
        """The voxels of one scan by the rule of training (with `rng`) or of evaluation."""
        voxels = voxelise(
            points,
            self.grid,
            most=self.voxels,
            mean_of=self.mean_of,
            rng=rng,
            drop=self.drop_voxels,
            name=name,
        )
        if not self.feature_units:
            return voxels
        channels = voxels.feats.shape[1]
        if len(self.feature_units) != channels:
            raise ValueError(
                f"data.feature_units must have one entry for each of the {channels} features; got "
                f"{self.feature_units}."
            )
        return voxels._replace(feats=voxels.feats / np.asarray(self.feature_units, np.float32))

    def stack_voxels(self, samples: list[Voxels]) -> Batch:
        """`coords`, `feats`, `n` and `dropped` of some samples, padded to `voxels` rows."""
        return {
            "coords": np.stack([pad(v.coords, self.voxels, 0) for v in samples]),
            "feats": np.stack([pad(v.feats, self.voxels, 0) for v in samples]),
            "n": np.array([len(v.coords) for v in samples], np.int32),
            "dropped": np.array([v.dropped for v in samples], np.int32),
        }

    def shapes(
        self, train: Dataset | None, test: Dataset, model: Any, layout: Layout
    ) -> VoxelShapes:
        """Fit buckets to one epoch of augmented training scans, and one to all test scans.

        Args:
          train, test: the splits. model: with `geometries` or `depth`, see `_scan_grid`.
          layout: how batches are divided.
        """
        grid = self._scan_grid(model)
        local = layout.batch_size // layout.devices
        options: dict[str, Any] = {"limit": self.voxels, "table": None, "packed": False}
        tested = batches(test, self, layout.batch_size, seed=0, train=False)
        evaluation = fit_capacities(tested, grid, local, margin=1.0, choices=1, **options)
        if train is None:
            return VoxelShapes(evaluation, evaluation, grid, layout)
        steps = steps_per_epoch(train, layout.batch_size, train=True)
        steps = min(steps, max(_SCANNED // layout.batch_size, 1))
        seen = batches(train, self, layout.batch_size, seed=layout.seed, train=True, epochs=1)
        parts = layout.devices * layout.accumulate
        training = fit_capacities(
            itertools.islice(seen, steps), grid, layout.batch_size // parts, **options
        )
        return VoxelShapes(training, evaluation, grid, layout)

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> VoxelShapes:
        return shapes_from_json(values, self._scan_grid(model), layout)

    def encode(
        self, batch: dict[str, Array], shape: Capacities, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """The voxels `x`, the `capacities` of their levels (static), and the other arrays.

        `label` of voxels is shortened to the rows of `x`, and `point_voxel` refers to them.
        """
        found = super().encode(batch, shape, key=key, train=train)
        rows = min(shape.rows[0], self.voxels)
        x = to_tensor(found, rows, self.grid.extent)
        for name in ("coords", "feats", "n", "dropped"):
            del found[name]
        if "label" in found:
            found["label"] = found["label"][:, :rows]
        if "point_voxel" in found:
            voxel = found["point_voxel"]
            found["point_voxel"] = jnp.where(voxel < rows, voxel, -1)
        return {"x": x, "capacities": shape, **found}

    def _scan_grid(self, model: Any) -> ScanGrid:
        levels = getattr(model, "geometries", getattr(model, "depth", None))
        if not isinstance(levels, (int, tuple)):
            raise TypeError(
                "scans need a model with the `geometries` of its strided convolutions, or an "
                "integer `depth`, the number of times it halves the grid; "
                f"{type(model).__name__} has neither."
            )
        grid = ScanGrid(self.grid.extent, levels)
        grid.check()
        return grid


def to_tensor(batch: dict[str, Array], rows: int, extent: tuple[int, int, int]) -> SparseTensor:
    """The first `rows` voxels of each sample as a sparse tensor; the host has sorted them.

    Its overflow counts voxels dropped on the host and those beyond the rows.
    """
    n = batch["n"]
    return SparseTensor(
        feats=batch["feats"][:, :rows],
        coords=batch["coords"][:, :rows],
        n=jnp.minimum(n, rows),
        overflow=batch["dropped"] + jnp.maximum(n - rows, 0),
        extent=extent,
    )


def pad(array: np.ndarray, length: int, value: int) -> np.ndarray:
    """An array [n, ...] with rows of `value` after it, [length, ...]."""
    out = np.full((length, *array.shape[1:]), value, array.dtype)
    out[: len(array)] = array
    return out
