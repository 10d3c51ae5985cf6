"""A small E-3DSNN on embedded LiDAR scenes: 0.2 m voxels, 14 classes, D = 4; no files are needed.

    snnjax train lidar_scenes_segmentation

Every scan is ray-cast over a random street. A logistic regression on height, reflectance and
distance of a voxel reaches a mean IoU of 0.18 (`python -m experiments.lidar_scenes_baseline`).

Measured: 57.4 % mean IoU of the points of 30 test scans (56.0 to 58.4 over seeds 0 to 2), in 5 CPU
minutes.
"""

from snnjax.data.lidar import LidarAugment, class_weights
from snnjax.data.lidar_scenes import SceneVoxels
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNSegmentationConfig
from snnjax.tasks import Segmentation

SHARES = (
    *(0.0403, 0.0092, 0.0120, 0.0002, 0.3828, 0.0308, 0.1895),
    *(0.1176, 0.0122, 0.0596, 0.0070, 0.1323, 0.0060, 0.0004),
)
"""Share of each class among the points of ten scans."""

experiment = Experiment(
    name="lidar_scenes_segmentation",
    data=SceneVoxels(
        train_size=200,
        test_size=30,
        augment=LidarAugment(180.0, 1.0, (0.95, 1.05), 0.5, 0.5, 0.0),
        train_radius=25.6,
        feature_units=(20.0, 20.0, 1.0, 0.25),
    ),
    model=E3DSNNSegmentationConfig.mini(bn_decay=0.95),
    task=Segmentation(class_weights=tuple(class_weights(SHARES).tolist()), lovasz=1.0),
    optimiser=OptimiserConfig(name="adamw", learning_rate=5e-3, weight_decay=0.05, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=4,
    epochs=6,
    evaluate_every=3,
    ema=0.9,
)
