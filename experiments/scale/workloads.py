"""The training steps whose scaling is predicted: the largest models at their published batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from experiments.configs.snn_delays import snn_delays_gsc, snn_delays_shd, snn_delays_ssc
from snnjax.data import DataInfo, Layout
from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.tasks import Classification

SCANNED = 256
"""Clouds whose sites decide the capacities."""


@dataclass(frozen=True)
class Workload:
    """A training step of a published experiment.

    Attributes:
      experiment: experiment with the published batch, which is used per device here.
      classes, channels: those of the data set.
      train_size: number of training samples.
    """

    experiment: Experiment
    classes: int
    channels: int
    train_size: int

    @property
    def samples(self) -> int:
        """Samples on one device."""
        return self.experiment.batch_size

    def on(self, mesh: str, data: int, sharding: str) -> Experiment:
        """The experiment on `data` devices, each with the published batch."""
        size: Any = {"batch_size": self.samples * data, "sharding": sharding}
        return replace(self.experiment, mesh=mesh, **size)

    def info(self, batch: int) -> DataInfo:
        """Facts about the data set, enlarged to one batch if it is smaller."""
        names = tuple(str(number) for number in range(self.classes))
        return DataInfo(names, self.channels, max(self.train_size, batch), 1, 0)

    def shape(self, model: Any) -> Any:
        """The bucket of a batch on one device.

        For clouds, the capacities that `shapes3d` needs with the same sampling and grid. They are
        equal on every device, so the scan of one batch size serves all meshes.
        """
        source: Any = self.experiment.data
        layout = Layout(self.samples)
        if not isinstance(source, CloudSource):
            return source.shapes(None, None, model, layout).fit({})
        sizes = {"train_size": SCANNED, "test_size": self.samples}
        source = replace(source, path="shapes3d", normals=False, **sizes)
        shapes = source.shapes(source.open("train"), source.open("test"), model, layout)
        return shapes.training.choices[-1]

    def batch(self, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the arrays of a batch of the source."""
        source: Any = self.experiment.data
        ragged = "points" if isinstance(source, CloudSource) else "frames"
        sample = {ragged: np.zeros((1, self.channels), np.float32), "label": 0}
        one = source.collate([sample], None) | {"weight": np.ones(1, np.float32)}
        return {
            name: jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype)
            for name, array in one.items()
        }


def _modelnet40(name: str, model: E3DSNNConfig) -> Workload:
    """E-3DSNN as published for ModelNet40: 8,192 points with normals, voxels of about 0.01."""
    experiment = Experiment(
        name=f"{name}_modelnet40",
        data=CloudSource(points=8192, extent=208, normals=True),
        model=model,
        task=Classification(label_smoothing=0.2),
        optimiser=OptimiserConfig(
            name="sgd", learning_rate=0.1, weight_decay=1e-3, nesterov=True, clip_norm=0.0
        ),
        schedule=ScheduleConfig("step", warmup=0.0),
        batch_size=16,
        epochs=300,
    )
    return Workload(experiment, classes=40, channels=6, train_size=9843)


WORKLOADS = {
    "e3dsnn_l": _modelnet40("e3dsnn_l", E3DSNNConfig.l()),
    "e3dsnn_h": _modelnet40("e3dsnn_h", E3DSNNConfig.h()),
    "snn_delays_shd": Workload(snn_delays_shd.experiment, 20, 140, 7341),
    "snn_delays_ssc": Workload(snn_delays_ssc.experiment, 35, 140, 75_466),
    "snn_delays_gsc": Workload(snn_delays_gsc.experiment, 35, 140, 84_843),
}
"""Workloads by name."""
