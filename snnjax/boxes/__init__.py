"""Oriented boxes in point clouds: geometry, overlap, suppression, coding, assignment.

A box is (x, y, z, dx, dy, dz, yaw), see `geometry.py`. All shapes are static: padded rows are
marked by a class of -1 or a score of -inf.
"""

from snnjax.boxes.anchors import KITTI_ANCHORS as KITTI_ANCHORS
from snnjax.boxes.anchors import AnchorClass as AnchorClass
from snnjax.boxes.anchors import anchor_grid as anchor_grid
from snnjax.boxes.anchors import anchor_labels as anchor_labels
from snnjax.boxes.assign import Assignment as Assignment
from snnjax.boxes.assign import assign as assign
from snnjax.boxes.centres import CentreMap as CentreMap
from snnjax.boxes.centres import CentreTarget as CentreTarget
from snnjax.boxes.centres import centre_detections as centre_detections
from snnjax.boxes.centres import centre_targets as centre_targets
from snnjax.boxes.centres import decode_centres as decode_centres
from snnjax.boxes.centres import encode_centres as encode_centres
from snnjax.boxes.centres import gaussian_radius as gaussian_radius
from snnjax.boxes.coding import decode_boxes as decode_boxes
from snnjax.boxes.coding import direction_bin as direction_bin
from snnjax.boxes.coding import encode_boxes as encode_boxes
from snnjax.boxes.coding import with_direction as with_direction
from snnjax.boxes.geometry import corners as corners
from snnjax.boxes.geometry import image_boxes as image_boxes
from snnjax.boxes.geometry import nearest_rectangle as nearest_rectangle
from snnjax.boxes.geometry import points_in_boxes as points_in_boxes
from snnjax.boxes.geometry import to_box as to_box
from snnjax.boxes.geometry import to_world as to_world
from snnjax.boxes.geometry import wrap as wrap
from snnjax.boxes.nms import Detections as Detections
from snnjax.boxes.nms import nms as nms
from snnjax.boxes.nms import suppress as suppress
from snnjax.boxes.nms import suppress_by_class as suppress_by_class
from snnjax.boxes.overlap import aligned_iou as aligned_iou
from snnjax.boxes.overlap import bev_intersection as bev_intersection
from snnjax.boxes.overlap import bev_iou as bev_iou
from snnjax.boxes.overlap import iou_3d as iou_3d
from snnjax.boxes.overlap import rectangle_iou as rectangle_iou
from snnjax.boxes.pooling import Neighbours as Neighbours
from snnjax.boxes.pooling import map_samples as map_samples
from snnjax.boxes.pooling import roi_grid as roi_grid
from snnjax.boxes.pooling import voxel_neighbours as voxel_neighbours
from snnjax.boxes.rois import RoiSample as RoiSample
from snnjax.boxes.rois import RoiTargets as RoiTargets
from snnjax.boxes.rois import proposals as proposals
from snnjax.boxes.rois import refine_rois as refine_rois
from snnjax.boxes.rois import roi_targets as roi_targets
from snnjax.boxes.rois import sample_rois as sample_rois
