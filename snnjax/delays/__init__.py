"""Learnable and integer delays, as functions over time and as steps with a buffer.

A delay is a number of steps in 0 .. max_delay; a larger one means a later arrival. A kernel has
K = max_delay + 1 taps. DCLS and SNN-delays store the position P = max_delay / 2 - delay instead.
"""

from snnjax.delays.dense import delayed as delayed
from snnjax.delays.dense import delayed_dense as delayed_dense
from snnjax.delays.forms import FormRule as FormRule
from snnjax.delays.forms import FormTable as FormTable
from snnjax.delays.kernels import SIGMA_OFFSET as SIGMA_OFFSET
from snnjax.delays.kernels import Taps as Taps
from snnjax.delays.kernels import gaussian_taps as gaussian_taps
from snnjax.delays.kernels import kernel_of as kernel_of
from snnjax.delays.kernels import triangle_taps as triangle_taps
from snnjax.delays.kernels import two_taps as two_taps
from snnjax.delays.ring import RingState as RingState
from snnjax.delays.ring import deliver_step as deliver_step
from snnjax.delays.ring import ring_init as ring_init
from snnjax.delays.ring import ring_push as ring_push
from snnjax.delays.ring import ring_step as ring_step
from snnjax.delays.rounded import clamp_delay as clamp_delay
from snnjax.delays.rounded import clamp_occupancy as clamp_occupancy
from snnjax.delays.rounded import count_collisions as count_collisions
from snnjax.delays.rounded import integer_delayed as integer_delayed
from snnjax.delays.rounded import round_delay as round_delay
from snnjax.delays.rounded import rounded_kernel as rounded_kernel
from snnjax.delays.schedule import sigma_schedule as sigma_schedule
from snnjax.delays.spacing import spaced_conv as spaced_conv
from snnjax.delays.spacing import spaced_kernel as spaced_kernel
