"""Embedded LiDAR scans of generated streets, with exact labels and boxes; no files are needed."""

from .boxes import SceneBoxes as SceneBoxes
from .classes import BOX_CLASSES as BOX_CLASSES
from .classes import MATERIALS as MATERIALS
from .classes import POINT_CLASSES as POINT_CLASSES
from .source import LidarScenes as LidarScenes
from .source import Scan as Scan
from .source import SceneSet as SceneSet
from .voxels import SceneVoxels as SceneVoxels
