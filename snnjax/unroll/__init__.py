"""Time: one function that steps neurons, cells and models through it, and parallel forms.

`unroll` is the one to use on a CPU. Where long sequences meet an accelerator, the parallel forms
compute all steps at once: `linear_recurrence`, neurons without a reset, neurons with one by
fixed-point iteration or in closed form, and the family of parallel spiking neurons. Where memory
must not grow with time, `online_gradient` and `unroll_truncated` cut the way back; where it must
fit a budget, `checkpoint_for` says what to recompute. What has no reset can be cut in time over the
devices of a mesh: `time_axis` of `linear_recurrence`, `lif_reset_free`, `crf_parallel` and
`sliding_psn`, inside `jax.shard_map`.
"""

from snnjax.unroll.budget import checkpoint_for as checkpoint_for
from snnjax.unroll.budget import scratch_bytes as scratch_bytes
from snnjax.unroll.budget import segment_lengths as segment_lengths
from snnjax.unroll.closed_form import if_closed_form as if_closed_form
from snnjax.unroll.fixed_point import Convergence as Convergence
from snnjax.unroll.fixed_point import lif_fixed_point as lif_fixed_point
from snnjax.unroll.linear import linear_recurrence as linear_recurrence
from snnjax.unroll.online import online_gradient as online_gradient
from snnjax.unroll.online import online_update as online_update
from snnjax.unroll.online import unroll_truncated as unroll_truncated
from snnjax.unroll.psn import MaskedPSNState as MaskedPSNState
from snnjax.unroll.psn import PSNParams as PSNParams
from snnjax.unroll.psn import masked_psn as masked_psn
from snnjax.unroll.psn import masked_psn_init as masked_psn_init
from snnjax.unroll.psn import masked_psn_step as masked_psn_step
from snnjax.unroll.psn import psn as psn
from snnjax.unroll.psn import psn_params as psn_params
from snnjax.unroll.psn import psn_step as psn_step
from snnjax.unroll.reset_free import CRFParams as CRFParams
from snnjax.unroll.reset_free import CRFState as CRFState
from snnjax.unroll.reset_free import crf_init as crf_init
from snnjax.unroll.reset_free import crf_parallel as crf_parallel
from snnjax.unroll.reset_free import crf_step as crf_step
from snnjax.unroll.reset_free import lif_reset_free as lif_reset_free
from snnjax.unroll.sliding_psn import SlidingPSNParams as SlidingPSNParams
from snnjax.unroll.sliding_psn import SlidingPSNState as SlidingPSNState
from snnjax.unroll.sliding_psn import sliding_psn as sliding_psn
from snnjax.unroll.sliding_psn import sliding_psn_init as sliding_psn_init
from snnjax.unroll.sliding_psn import sliding_psn_params as sliding_psn_params
from snnjax.unroll.sliding_psn import sliding_psn_step as sliding_psn_step
from snnjax.unroll.unroll import unroll as unroll
