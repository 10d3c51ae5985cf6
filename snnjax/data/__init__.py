"""Labelled point clouds on the host: generated or read, augmented, and served in batches.

Sequences of frames, such as `speech`, are served by the same iterator.
"""

from .augment import Augment as Augment
from .batch import PointBatch as PointBatch
from .batch import PointDataset as PointDataset
from .cloud import CloudSet as CloudSet
from .cloud import normalise as normalise
from .cloud import sample_points as sample_points
from .errors import DataError as DataError
from .files import read_cloud as read_cloud
from .load import load_dataset as load_dataset
from .off import Mesh as Mesh
from .off import read_off as read_off
from .off import sample_mesh as sample_mesh
from .packed import load_packed as load_packed
from .pipeline import batches as batches
from .pipeline import steps_per_epoch as steps_per_epoch
from .shapes3d import Shapes3D as Shapes3D
from .voxels import shell as shell
from .voxels import shell_points as shell_points
