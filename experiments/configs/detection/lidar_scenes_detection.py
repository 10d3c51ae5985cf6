"""A small single-stage E-3DSNN finding cars in embedded LiDAR scenes, D = 4; no files are needed.

    snnjax train lidar_scenes_detection

Every scan is ray-cast over a random street. Cars count by the levels of KITTI.

Measured with seed 0: AP at 40 recall levels of moderate cars 36.9 % in space and 67.8 % from above
at an overlap of 0.7, in 15 CPU minutes.
"""

from snnjax.boxes import AnchorClass
from snnjax.data.lidar import LidarAugment
from snnjax.data.lidar_scenes import SceneBoxes
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNDetectorConfig
from snnjax.tasks import BoxPrecision, Detection

experiment = Experiment(
    name="lidar_scenes_detection",
    data=SceneBoxes(
        train_size=400,
        test_size=100,
        in_view=False,
        augment=LidarAugment.detection(),
        feature_units=(20.0, 20.0, 1.0, 0.25),
    ),
    model=E3DSNNDetectorConfig(
        16,
        (24, 32),
        1,
        column=48,
        bev_channels=(48, 64),
        bev_depth=1,
        bev_up=48,
        bn_decay=0.95,
    ),
    task=Detection(  # anchors at the centres of cells of 0.8 m
        anchors=(AnchorClass((3.9, 1.6, 1.56), -1.73, 0.6, 0.45),),
        x_range=(0.4, 50.8),
        y_range=(-25.2, 25.2),
        top=512,
        keep=64,
    ),
    evaluators=(BoxPrecision((0.7, 0.5)),),
    optimiser=OptimiserConfig(name="adamw", learning_rate=6e-3, weight_decay=0.01, clip_norm=10.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.2),
    batch_size=4,
    epochs=10,
    evaluate_every=10,
    ema=0.95,
)
