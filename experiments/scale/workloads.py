"""The training steps whose scaling is predicted: the largest models at their published batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.configs import snn_delays_gsc, snn_delays_shd, snn_delays_ssc
from snnjax.data import load_dataset
from snnjax.runs.folder import DatasetInfo
from snnjax.sparse import Capacities
from snnjax.train import DataConfig, Experiment, ModelConfig, OptimiserConfig, ScheduleConfig
from snnjax.train.plan import scan

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
        return self.experiment.data.batch_size

    def on(self, mesh: str, data: int, sharding: str) -> Experiment:
        """The experiment on a mesh with `data` shares of the batch, each as large as published."""
        config = replace(self.experiment.data, batch_size=self.samples * data)
        return replace(self.experiment, data=config, mesh=mesh, sharding=sharding)

    def info(self, batch: int) -> DatasetInfo:
        """The data set, grown to one batch where it is smaller."""
        names = tuple(str(number) for number in range(self.classes))
        return DatasetInfo(names, self.channels, max(self.train_size, batch), 1, 0)

    def capacities(self) -> Capacities | None:
        """Rows for the samples of one device: of `shapes3d` clouds, sampled and gridded alike.

        Every device takes the same, so the scan of one batch size serves all meshes. None for
        sequences.
        """
        config = self.experiment.data
        if not isinstance(config, DataConfig):
            return None
        train_set, test_set = (
            load_dataset("shapes3d", split, points=config.points, size=size)
            for split, size in (("train", SCANNED), ("test", self.samples))
        )
        return scan(config, train_set, test_set, depth=4, seed=0).training.choices[-1]


def _modelnet40(model: str) -> Workload:
    """E-3DSNN as published for ModelNet40: 8,192 points with normals, voxels of about 0.01."""
    experiment = Experiment(
        name=f"{model}_modelnet40",
        data=DataConfig(points=8192, extent=208, normals=True, batch_size=16),
        model=ModelConfig(name=model),
        optimiser=OptimiserConfig(
            name="sgd", learning_rate=0.1, weight_decay=1e-3, nesterov=True, clip_norm=0.0
        ),
        schedule=ScheduleConfig("step", warmup=0.0),
        epochs=300,
        label_smoothing=0.2,
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
