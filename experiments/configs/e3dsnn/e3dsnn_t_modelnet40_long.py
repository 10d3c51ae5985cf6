"""E-3DSNN-T on ModelNet40 clouds for longer, with stronger augmentation: 32^3 grid, xyz, D = 4.

    snnjax train e3dsnn_t_modelnet40_long --data ../shared/data/modelnet40_points

Expected: 87.0 % of the 930 test clouds (33 classes), 89.8 % with `evaluate --votes 16`. Run time:
34 minutes on one CPU core.
"""

from snnjax.data.clouds import Augment, CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.tasks import Classification

experiment = Experiment(
    name="e3dsnn_t_modelnet40_long",
    data=CloudSource(
        path="../shared/data/modelnet40_points",
        points=512,
        extent=32,
        augment=Augment(
            rotate="z",
            angle=15.0,
            scale=(0.8, 1.0),
            stretch=(0.8, 1.2),
            shift=0.1,
            jitter=0.015,
            drop=0.5,
            crop_fraction=0.3,
            flip=True,
        ),
    ),
    model=E3DSNNConfig.t(levels=4),
    task=Classification(label_smoothing=0.2),
    optimiser=OptimiserConfig(name="adamw", learning_rate=4e-3, weight_decay=0.1, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=100,
    ema=0.998,
    checkpoint_every=200,
)
