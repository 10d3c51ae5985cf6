"""Scans of rotating LiDARs: read, augmented, and made into voxels on the host.

`LidarSource` gives scans with a class for each point (SemanticKITTI, nuScenes lidarseg, packed
files), `LidarBoxSource` frames with boxes (KITTI object). These are the arrays of a batch, B
samples, with N = `source.voxels` rows of voxels, P = `source.points`, M = `source.boxes`:

| array | type | content |
| --- | --- | --- |
| `coords` | int32 [B, N, 3] | z, y, x of the occupied voxels, sorted; 0 after the last |
| `feats` | float32 [B, N, 4] | x, y, z in metres and reflectance in 0..1 |
| `n` | int32 [B] | occupied voxels |
| `dropped` | int32 [B] | voxels left out because there were more than N |
| `label` | int32 [B, N] | class of each voxel, -1 ignored and after the last |
| `point_voxel` | int32 [B, P] | row of each point, -1 for none and after the last |
| `point_label` | int32 [B, P] | class of each point, -1 ignored and after the last |
| `boxes` | float32 [B, M, 7] | x, y, z, length, width, height, yaw in the LiDAR's frame |
| `box_class` | int32 [B, M] | class, -1 for objects of no class and after the last |
| `box_ignore` | int32 [B, M] | for objects of no class: detections of this class are no errors |
| `box_level` | int32 [B, M] | 0 easy, 1 moderate, 2 hard, 3 none |
| `camera` | float32 [B, 3, 4] | from the LiDAR to pixels, (u w, v w, w) |
| `image_size` | int32 [B, 2] | width and height of the image |

`label`, `point_voxel` and `point_label` are those of `LidarSource`, the last six of
`LidarBoxSource`; files without labels have none. `encode` makes `x`, a `SparseTensor` whose rows
are those of `coords`, of the first four, with `dropped` in its overflow; it shortens `label` to the
rows of `x`, and passes the others on. A prediction for each point is that of row `point_voxel`.

The grid has a fixed origin. A point outside is dropped, so a far outlier changes no other voxel;
in evaluation the point takes the row of the nearest point inside (`outside="nearest"`).
"""

from .augment import LidarAugment as LidarAugment
from .augment import move_boxes as move_boxes
from .augment import move_points as move_points
from .binary import read_labels as read_labels
from .binary import read_points as read_points
from .binary import write_labels as write_labels
from .box_source import BoxFrame as BoxFrame
from .box_source import BoxSet as BoxSet
from .box_source import LidarBoxSource as LidarBoxSource
from .calib import Calibration as Calibration
from .calib import lidar_poses as lidar_poses
from .calib import read_calib as read_calib
from .calib import read_calibration as read_calibration
from .calib import read_poses as read_poses
from .classes import NUSCENES as NUSCENES
from .classes import SEMANTIC_KITTI as SEMANTIC_KITTI
from .classes import ClassMap as ClassMap
from .classes import class_weights as class_weights
from .classes import colours_of as colours_of
from .classes import raw_numbers as raw_numbers
from .geometry import box_corners as box_corners
from .geometry import points_in_box as points_in_box
from .grid import LidarGrid as LidarGrid
from .grid import majority_labels as majority_labels
from .grid import nearest_rows as nearest_rows
from .grid import voxelise as voxelise
from .kitti import Objects as Objects
from .kitti import difficulty as difficulty
from .kitti import from_boxes as from_boxes
from .kitti import in_image as in_image
from .kitti import level_of as level_of
from .kitti import read_image_size as read_image_size
from .kitti import read_objects as read_objects
from .kitti import result_text as result_text
from .kitti import to_boxes as to_boxes
from .kitti import write_results as write_results
from .nuscenes import Tables as Tables
from .packed import read_packed as read_packed
from .scans import ScanSet as ScanSet
from .semantic_kitti import write_predictions as write_predictions
from .source import LidarSource as LidarSource
