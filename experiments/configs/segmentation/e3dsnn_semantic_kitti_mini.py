"""A small E-3DSNN on 32 scans of SemanticKITTI: 0.2 m voxels, 19 classes, D = 4.

    snnjax train e3dsnn_semantic_kitti_mini --data ../shared/data/lidar_semantic_kitti

Trained on four frames of each of eight sequences, tested on four of sequence 08: few enough that
held-out accuracy is limited by the data. Classes are weighted by -ln of their share.

Measured with 20 epochs and seed 0: 32.4 % mean IoU over the 13 classes with labels, in 14 CPU
minutes.
"""

from snnjax.data.lidar import LidarAugment, LidarSource, class_weights
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNSegmentationConfig
from snnjax.tasks import Rotations, Segmentation

VOXELS = (
    *(38776, 621, 0, 11597, 11489, 2706, 0, 267, 417668, 12346),
    *(163648, 37436, 143485, 83071, 581399, 15783, 370558, 11729, 4898),
)
"""Training voxels of each class."""
TOTAL = 2_066_060
"""Training voxels, with those of no class."""

experiment = Experiment(
    name="e3dsnn_semantic_kitti_mini",
    data=LidarSource.packed(
        "../shared/data/lidar_semantic_kitti",
        augment=LidarAugment(180.0, 1.0, (0.85, 1.15), 0.5, 0.5, 0.02, 0.1, drop=0.5),
        mix=0.8,
        train_radius=30.0,
        feature_units=(20.0, 20.0, 1.0, 0.25),
    ),
    model=E3DSNNSegmentationConfig(16, (24, 32, 48, 64), decoder=(32, 32, 48, 64), bn_decay=0.97),
    task=Segmentation(
        class_weights=tuple(class_weights([n / TOTAL for n in VOXELS]).tolist()), lovasz=1.0
    ),
    evaluators=(Rotations(),),
    optimiser=OptimiserConfig(name="adamw", learning_rate=8e-3, weight_decay=0.2, clip_norm=5.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=1,
    epochs=30,
    evaluate_every=10,
    ema=0.97,
)
