"""Event-camera recordings: read and checked, changed at random, and made into frames."""

from .augment import EventAugment as EventAugment
from .dataset import EventSet as EventSet
from .files import read_events as read_events
from .frames import to_binary_frames as to_binary_frames
from .frames import to_count_frames as to_count_frames
from .frames import to_time_surface as to_time_surface
from .frames import to_voxel_grid as to_voxel_grid
from .framing import EventFrames as EventFrames
from .source import EventSource as EventSource
from .stream import Events as Events
from .stream import check_events as check_events
from .stream import downsample as downsample
from .windows import EqualParts as EqualParts
from .windows import EventCount as EventCount
from .windows import Frames as Frames
from .windows import TimeWindow as TimeWindow
