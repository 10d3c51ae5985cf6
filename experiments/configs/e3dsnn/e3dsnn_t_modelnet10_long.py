"""E-3DSNN-T on ModelNet10 shells for longer, with stronger augmentation: 32^3 grid, xyz, D = 4.

    snnjax train e3dsnn_t_modelnet10_long --data ../shared/data/modelnet10_voxels

Expected: 90.3 % of the 454 test shapes, and the same with `evaluate --votes 16`. Run time: about 36
minutes on one CPU core.
"""

from snnjax.data.clouds import Augment, CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.tasks import Classification

experiment = Experiment(
    name="e3dsnn_t_modelnet10_long",
    data=CloudSource(
        path="../shared/data/modelnet10_voxels",
        points=2048,
        extent=32,
        augment=Augment(
            rotate="z",
            angle=10.0,
            scale=(0.85, 1.0),
            stretch=(0.85, 1.15),
            shift=0.1,
            jitter=0.01,
            drop=0.5,
            crop_fraction=0.3,
            flip=True,
        ),
    ),
    model=E3DSNNConfig.t(levels=4),
    task=Classification(label_smoothing=0.1),
    optimiser=OptimiserConfig(name="adamw", learning_rate=4e-3, weight_decay=0.1, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=60,
    ema=0.998,
    checkpoint_every=200,
)
