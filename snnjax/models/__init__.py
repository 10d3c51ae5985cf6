"""Named architectures."""

from snnjax.models.anchor_maps import AnchorMaps as AnchorMaps
from snnjax.models.centre_maps import CentreMaps as CentreMaps
from snnjax.models.conv_nets import SpikingResNet as SpikingResNet
from snnjax.models.conv_nets import SpikingResNetConfig as SpikingResNetConfig
from snnjax.models.conv_nets import SpikingVGG as SpikingVGG
from snnjax.models.conv_nets import SpikingVGGConfig as SpikingVGGConfig
from snnjax.models.e3dsnn import E3DSNN as E3DSNN
from snnjax.models.e3dsnn import ClassifierOutput as ClassifierOutput
from snnjax.models.e3dsnn import E3DSNNConfig as E3DSNNConfig
from snnjax.models.e3dsnn import e3dsnn_h as e3dsnn_h
from snnjax.models.e3dsnn import e3dsnn_l as e3dsnn_l
from snnjax.models.e3dsnn import e3dsnn_s as e3dsnn_s
from snnjax.models.e3dsnn import e3dsnn_t as e3dsnn_t
from snnjax.models.e3dsnn_detection import E3DSNNDetector as E3DSNNDetector
from snnjax.models.e3dsnn_detection import E3DSNNDetectorConfig as E3DSNNDetectorConfig
from snnjax.models.e3dsnn_detection import e3dsnn_kitti as e3dsnn_kitti
from snnjax.models.e3dsnn_nuscenes import E3DSNNCentres as E3DSNNCentres
from snnjax.models.e3dsnn_nuscenes import E3DSNNCentresConfig as E3DSNNCentresConfig
from snnjax.models.e3dsnn_nuscenes import e3dsnn_nuscenes as e3dsnn_nuscenes
from snnjax.models.e3dsnn_segmentation import E3DSNNSegmentation as E3DSNNSegmentation
from snnjax.models.e3dsnn_segmentation import (
    E3DSNNSegmentationConfig as E3DSNNSegmentationConfig,
)
from snnjax.models.e3dsnn_segmentation import SegmentationOutput as SegmentationOutput
from snnjax.models.e3dsnn_segmentation import e3dsnn_l_segmentation as e3dsnn_l_segmentation
from snnjax.models.info import DataInfo as DataInfo
from snnjax.models.snn_delays import SNNDelays as SNNDelays
from snnjax.models.snn_delays import SNNDelaysConfig as SNNDelaysConfig
from snnjax.models.snn_delays import snn_delays_gsc as snn_delays_gsc
from snnjax.models.snn_delays import snn_delays_shd as snn_delays_shd
from snnjax.models.snn_delays import snn_delays_ssc as snn_delays_ssc
