"""Speech as sequences of frames: recordings through a front end, or recorded spikes."""

from .augment import SpeechAugment as SpeechAugment
from .bins import bin_events as bin_events
from .cochlea import erb as erb
from .cochlea import erb_centres as erb_centres
from .cochlea import gammatone as gammatone
from .cochlea import hair_cells as hair_cells
from .cochlea import lif_spikes as lif_spikes
from .front_end import FrontEnd as FrontEnd
from .load import load_speech as load_speech
from .load import read_recording as read_recording
from .mel import log_mel as log_mel
from .mel import mel_filters as mel_filters
from .mel import unit_range as unit_range
from .sequences import SequenceSet as SequenceSet
from .source import SpeechSource as SpeechSource
from .wav import read_wav as read_wav
