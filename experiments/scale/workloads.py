"""The training steps whose scaling is predicted: the largest models at their published batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.configs.snn_delays import snn_delays_gsc, snn_delays_shd, snn_delays_ssc
from snnjax.data import Batch, DataInfo, Layout
from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig, make
from snnjax.tasks import Classification

SCANNED = 256
"""Clouds whose sites decide the capacities."""


@dataclass(frozen=True)
class Workload:
    """A training step of a published experiment.

    Attributes:
      experiment: with the published batch, which is that of one device here.
      classes, channels: of the data set.
      train_size: its training samples.
    """

    experiment: Experiment
    classes: int
    channels: int
    train_size: int

    @property
    def samples(self) -> int:
        """Samples on one device."""
        return self.experiment.batch_size

    def on(self, mesh: str, data: int, sharding: Any) -> Experiment:
        """The experiment on a mesh with `data` shares of the batch, each as large as published."""
        size = self.samples * data
        return replace(self.experiment, batch_size=size, mesh=mesh, sharding=sharding)

    def info(self, batch: int) -> DataInfo:
        """The data set, grown to one batch where it is smaller."""
        names = tuple(str(number) for number in range(self.classes))
        return DataInfo(names, self.channels, max(self.train_size, batch), 1, 0)

    def sample(self) -> Batch:
        """One sample as a batch, of which only names, shapes and dtypes are looked at."""
        name = "points" if isinstance(self.experiment.data, CloudSource) else "frames"
        one = {name: np.zeros((1, self.channels), np.float32), "label": 0}
        return self.experiment.data.collate([one], None)

    def shape(self, model: Any) -> Any:
        """The bucket of the samples of one device: of `shapes3d` clouds, sampled and gridded alike.

        Every device takes the same, so the scan of one batch size serves all meshes.
        """
        source: Any = self.experiment.data
        if not isinstance(source, CloudSource):
            return source.shapes(None, None, model, Layout(self.samples)).fit(self.sample())
        source = replace(
            source, path="shapes3d", normals=False, train_size=SCANNED, test_size=self.samples
        )
        shapes = source.shapes(
            source.open("train"), source.open("test"), model, Layout(self.samples)
        )
        return shapes.training.choices[-1]


def _modelnet40(model: str) -> Workload:
    """E-3DSNN as published for ModelNet40: 8,192 points with normals, voxels of about 0.01."""
    experiment = Experiment(
        name=f"{model}_modelnet40",
        data=CloudSource(points=8192, extent=208, normals=True),
        model=make("model", model),
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
    "e3dsnn_l": _modelnet40("e3dsnn_l"),
    "e3dsnn_h": _modelnet40("e3dsnn_h"),
    "snn_delays_shd": Workload(snn_delays_shd.experiment, 20, 140, 7341),
    "snn_delays_ssc": Workload(snn_delays_ssc.experiment, 35, 140, 75_466),
    "snn_delays_gsc": Workload(snn_delays_gsc.experiment, 35, 140, 84_843),
}
"""Workloads by name."""
