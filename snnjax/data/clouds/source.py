"""Clouds as a source of training: points on the host, voxels on the device."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from jax import Array

from snnjax.data.buckets import fit_capacities, shapes_from_json
from snnjax.data.checks import at_least_one
from snnjax.data.pipeline import batches, steps_per_epoch
from snnjax.data.source import Batch, Dataset, Layout, Sample, SourceBase
from snnjax.sparse import ArithmeticTable, Capacities, SparseTensor, check_extent, voxelize

from .augment import Augment
from .cloud import CloudSet
from .files import read_cloud
from .load import load_dataset
from .shapes import CloudShapes, Grid
from .shapes3d import Shapes3D

_SCANNED = 20_000  # training clouds that a scan reads


@dataclass(frozen=True)
class CloudSource(SourceBase):
    """Point clouds, and how they become voxels in the cube [-1, 1]^3."""

    path: str = "shapes3d"
    """`shapes3d` (the embedded generator) or a folder of clouds."""
    points: int = 1024
    """Points of a cloud, sampled by a fixed rule."""
    extent: int = 32
    """Voxels along each side of the grid; the voxel size is 2 / extent."""
    normals: bool = False
    """Three more channels: columns 3..5 of a cloud, or the normals of a mesh."""
    outlier_limit: float | None = None
    """Leave out points farther from the median than this many times the distance within which 95 %
    of a cloud's points lie, before it is scaled; None keeps all, and far points set the scale."""
    augment: Augment = field(default_factory=Augment)
    """Random changes of the training clouds."""
    arithmetic: str | None = None
    """File of `snnjax profile --write-table` that chooses how sparse convolutions are computed;
    None uses the built-in table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("points", "extent"):
            at_least_one(f"data.{name}", getattr(self, name))
        if self.outlier_limit is not None and not self.outlier_limit >= 1:
            raise ValueError(
                f"data.outlier_limit must be at least 1, the radius of 95 % of the points; got "
                f"{self.outlier_limit}."
            )
        check_extent((self.extent, self.extent, self.extent), radius=1)

    def open(self, split: str) -> CloudSet | Shapes3D:
        return load_dataset(
            self.path,
            split,
            points=self.points,
            skip_bad=self.skip_bad,
            size=self.size(split),
            normals=self.normals,
            outlier_limit=self.outlier_limit,
        )

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """`points` float32 [B, P, C] with zeros after their `count` int32 [B], and `label`."""
        clouds = [sample["points"] for sample in samples]
        points = np.zeros((len(clouds), self.points, clouds[0].shape[1]), np.float32)
        count = np.array([len(cloud) for cloud in clouds], np.int32)
        for row, cloud in enumerate(clouds):
            points[row, : len(cloud)] = cloud
        if rngs is not None:
            points, count = self.augment(points, count, rngs)
        batch = {"points": points, "count": count}
        if "label" in samples[0]:
            batch["label"] = np.array([sample["label"] for sample in samples], np.int32)
        return batch

    def shapes(
        self, train: Dataset | None, test: Dataset, model: Any, layout: Layout
    ) -> CloudShapes:
        """Fit buckets to one epoch of augmented training clouds, and one to all test clouds.

        Later epochs are augmented differently, so a batch may need more rows than were seen; the
        fitted buckets leave headroom, and a batch that still does not fit gets a larger one.

        Args:
          train, test: the splits. model: with `depth`, the levels below the input grid.
          layout: how batches are divided.
        """
        grid = self._grid(model)
        table = _read_table(self.arithmetic)
        local = layout.batch_size // layout.devices
        tested = batches(test, self, layout.batch_size, seed=0, train=False)
        options = {"limit": self.points, "table": table}
        evaluation = fit_capacities(tested, grid, local, margin=1.0, choices=1, **options)
        if train is None:
            return CloudShapes(evaluation, evaluation, grid, layout)
        steps = steps_per_epoch(train, layout.batch_size, train=True)
        steps = min(steps, max(_SCANNED // layout.batch_size, 1))
        seen = batches(train, self, layout.batch_size, seed=layout.seed, train=True, epochs=1)
        parts = layout.devices * layout.accumulate
        training = fit_capacities(
            itertools.islice(seen, steps), grid, layout.batch_size // parts, **options
        )
        return CloudShapes(training, evaluation, grid, layout)

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> CloudShapes:
        return shapes_from_json(values, self._grid(model), layout)

    def encode(
        self, batch: dict[str, Array], shape: Capacities, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """The voxels `x`, the `capacities` of their levels (static), and `label`."""
        x = to_voxels(batch["points"], batch["count"], self.extent, shape)
        found = {"x": x, "capacities": shape}
        return found | {"label": batch["label"]} if "label" in batch else found

    def read(self, path: str | Path) -> Sample:
        """A cloud or mesh, normalised and subsampled like a test sample."""
        cloud = read_cloud(
            path, points=self.points, normals=self.normals, outlier_limit=self.outlier_limit
        )
        return {"points": cloud}

    def for_voting(self) -> Self:
        """The same rotations, scales, shifts and noise, without leaving out points."""
        if self.augment.keeping_all == Augment():
            raise ValueError(
                "votes are over augmented copies, and data.augment changes nothing but the choice "
                "of points: the copies would be equal. Evaluate without votes."
            )
        return replace(self, augment=self.augment.keeping_all)

    def _grid(self, model: Any) -> Grid:
        depth = getattr(model, "depth", None)
        if not isinstance(depth, int):
            raise TypeError(
                f"clouds need a model with an integer `depth`, the number of times it halves the "
                f"grid; {type(model).__name__} has none."
            )
        grid = Grid(self.extent, depth)
        grid.check()
        return grid


def to_voxels(points: Array, count: Array, extent: int, capacities: Capacities) -> SparseTensor:
    """The voxels of clouds in the cube [-1, 1]^3, on the device.

    The number of rows follows the capacities, or, for packed samples, the number of points.
    """
    return voxelize(
        points,
        count,
        **Grid(extent, 0).cube,
        capacity=capacities.rows[0] if capacities.samples == 1 else None,
    )


def _read_table(path: str | None) -> ArithmeticTable | None:
    """Read the table of arithmetics from a file; None without one.

    Raises:
      ValueError: the file was not written by `snnjax profile --write-table`.
    """
    if path is None:
        return None
    try:
        return ArithmeticTable.read(path)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a table of arithmetics ({error}). Write one with: "
            "snnjax profile --write-table FILE"
        ) from error
