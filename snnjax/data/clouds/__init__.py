"""Labelled point clouds: generated or read, augmented, and voxelised on the device."""

from .augment import Augment as Augment
from .cloud import CloudSet as CloudSet
from .cloud import normalise as normalise
from .cloud import sample_points as sample_points
from .files import read_cloud as read_cloud
from .load import load_dataset as load_dataset
from .off import Mesh as Mesh
from .off import read_off as read_off
from .off import sample_mesh as sample_mesh
from .packed import load_packed as load_packed
from .shapes import CloudShapes as CloudShapes
from .shapes3d import Shapes3D as Shapes3D
from .source import CloudSource as CloudSource
from .source import to_voxels as to_voxels
from .voxels import shell as shell
from .voxels import shell_points as shell_points
