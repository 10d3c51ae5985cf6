"""Data on the host: what a source is, and its batches as a resumable iterator."""

from .checks import check_finite as check_finite
from .errors import DataError as DataError
from .memory import ArraySource as ArraySource
from .memory import from_arrays as from_arrays
from .pipeline import batches as batches
from .pipeline import steps_per_epoch as steps_per_epoch
from .source import Batch as Batch
from .source import DataInfo as DataInfo
from .source import Dataset as Dataset
from .source import Layout as Layout
from .source import Sample as Sample
from .source import Shapes as Shapes
from .source import Source as Source
from .source import SourceBase as SourceBase
from .source import Static as Static
