"""E-3DSNN-T on ModelNet40 clouds: 32^3 grid, xyz features, D = 4.

    snnjax train e3dsnn_t_modelnet40 --data ../shared/data/modelnet40_points

Expected: 83.9 % of the 930 test clouds (33 classes; 83.5 to 84.2 % over three seeds). Run time: 7
minutes on one CPU core.
"""

from snnjax.data import Augment
from snnjax.train import DataConfig, Experiment, ModelConfig, OptimiserConfig, ScheduleConfig

experiment = Experiment(
    name="e3dsnn_t_modelnet40",
    data=DataConfig(
        source="../shared/data/modelnet40_points",
        points=512,
        extent=32,
        batch_size=32,
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
    model=ModelConfig(name="e3dsnn_t", levels=4),
    optimiser=OptimiserConfig(name="adamw", learning_rate=4e-3, weight_decay=0.05, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    epochs=12,
    label_smoothing=0.2,
    ema=0.995,
    checkpoint_every=200,
)
