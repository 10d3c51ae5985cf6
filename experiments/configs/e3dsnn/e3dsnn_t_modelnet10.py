"""E-3DSNN-T on the shells of ModelNet10 solids: 32^3 grid, xyz features, D = 4.

    snnjax train e3dsnn_t_modelnet10 --data ../shared/data/modelnet10_voxels

Expected: 88.7 % of the 454 test shapes (88.3 to 89.0 % over three seeds). Run time: 10 minutes on
one CPU core.
"""

from snnjax.data.clouds import Augment, CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.tasks import Classification

experiment = Experiment(
    name="e3dsnn_t_modelnet10",
    data=CloudSource(
        path="../shared/data/modelnet10_voxels",
        points=2048,
        extent=32,
        augment=Augment(
            rotate="none", scale=(0.85, 1.0), stretch=(0.9, 1.1), shift=0.1, drop=0.3, flip=True
        ),
    ),
    model=E3DSNNConfig.t(levels=4),
    task=Classification(label_smoothing=0.1),
    optimiser=OptimiserConfig(name="adamw", learning_rate=4e-3, weight_decay=0.05, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=12,
    ema=0.995,
    checkpoint_every=200,
)
