"""E-3DSNN-T on the embedded 3D shapes: 1,024 points, a 32^3 grid, xyz features, D = 4.

    snnjax train e3dsnn_t_shapes3d

Expected: 95.3 % of 1,000 unseen shapes. Run time: 3.9 to 4.7 minutes on two CPU cores.
"""

from snnjax.data import Augment
from snnjax.train import DataConfig, Experiment, ModelConfig, OptimiserConfig, ScheduleConfig

experiment = Experiment(
    name="e3dsnn_t_shapes3d",
    data=DataConfig(
        source="shapes3d",
        points=1024,
        extent=32,
        batch_size=32,
        augment=Augment(rotate="z", scale=(0.85, 1.0), shift=0.05, flip=True),
    ),
    model=ModelConfig(name="e3dsnn_t", levels=4),
    optimiser=OptimiserConfig(name="adamw", learning_rate=5e-3, weight_decay=0.01, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    epochs=6,
    label_smoothing=0.1,
    ema=0.99,
    checkpoint_every=250,
)
