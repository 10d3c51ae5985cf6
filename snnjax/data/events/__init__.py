"""Event-camera recordings: read and checked, changed at random, and made into frames.

    EventSource     a data set for training: recordings, `EventFrames`, `EventAugment`
    read_events     one file: N-MNIST .bin, AEDAT 2.0 and 3.1, .dat, .raw (EVT 2, EVT 3), .npz, text
    to_*            events to frames [T, H, W, C]: counts, binary, voxel grid, time surface
    EqualParts, TimeWindow, EventCount     which events belong to which frame, exactly

>>> import numpy as np
>>> events = check_events(t=np.array([0, 999, 1000, 2500]), x=np.array([0, 1, 1, 0]),
...                       y=np.array([0, 0, 0, 0]), p=np.array([1, 0, 1, 1]), sensor=(1, 2))
>>> frames = to_count_frames(events, TimeWindow(1000))  # the event at 1000 us is in frame 1
>>> frames.shape, frames.sum(axis=(1, 2, 3)).tolist()
((3, 1, 2, 2), [2, 1, 1])
"""

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
