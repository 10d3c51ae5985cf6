"""E-3DSNN-T on ModelNet40 clouds: 32^3 grid, xyz features, D = 4.

    snnjax train e3dsnn_t_modelnet40 --data ../shared/data/modelnet40_points

Expected: 83.9 % of the 930 test clouds (33 classes; 83.5 to 84.2 % over three seeds). Run time: 7
minutes on one CPU core.
"""

from snnjax.data.clouds import Augment, CloudSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNConfig
from snnjax.tasks import Classification

experiment = Experiment(
    name="e3dsnn_t_modelnet40",
    data=CloudSource(
        path="../shared/data/modelnet40_points",
        points=512,
        extent=32,
        augment=Augment(
            rotate="none",
            scale=(0.8, 1.0),
            stretch=(0.85, 1.15),
            shift=0.1,
            jitter=0.01,
            drop=0.3,
            flip=True,
        ),
    ),
    model=E3DSNNConfig.t(levels=4),
    task=Classification(label_smoothing=0.2),
    optimiser=OptimiserConfig(name="adamw", learning_rate=4e-3, weight_decay=0.05, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=12,
    ema=0.995,
    checkpoint_every=200,
)
