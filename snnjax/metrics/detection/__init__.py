"""Precision of detected boxes by the rules of KITTI and nuScenes, in NumPy on the host."""

from snnjax.metrics.detection.kitti import DIFFICULTIES as DIFFICULTIES
from snnjax.metrics.detection.kitti import Difficulty as Difficulty
from snnjax.metrics.detection.kitti import KittiObjects as KittiObjects
from snnjax.metrics.detection.kitti import camera_boxes as camera_boxes
from snnjax.metrics.detection.kitti import kitti_precision as kitti_precision
from snnjax.metrics.detection.nuscenes import NUSCENES_RANGES as NUSCENES_RANGES
from snnjax.metrics.detection.nuscenes import NuScenesObjects as NuScenesObjects
from snnjax.metrics.detection.nuscenes import NuScenesScores as NuScenesScores
from snnjax.metrics.detection.nuscenes import distance_precision as distance_precision
from snnjax.metrics.detection.nuscenes import nuscenes_scores as nuscenes_scores
from snnjax.metrics.detection.precision import Frame as Frame
from snnjax.metrics.detection.precision import Precision as Precision
from snnjax.metrics.detection.precision import average_precision as average_precision
from snnjax.metrics.detection.precision import recall_11 as recall_11
from snnjax.metrics.detection.precision import recall_40 as recall_40
from snnjax.metrics.detection.precision import thresholds as thresholds
