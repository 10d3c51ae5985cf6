"""Time: one function that steps neurons, cells and models through it, and linear recurrences.

`unroll` is the one to use on a CPU. Where long sequences meet an accelerator,
`linear_recurrence` computes all steps at once, over the devices of a mesh too (`time_axis`, inside
`jax.shard_map`); neurons in that form are in `snnjax.neurons`. Where memory must not grow with
time, `online_gradient` and `unroll_truncated` end the backward pass early; where it must fit a
budget, `checkpoint_for` says what to recompute.
"""

from snnjax.unroll.budget import checkpoint_for as checkpoint_for
from snnjax.unroll.budget import scratch_bytes as scratch_bytes
from snnjax.unroll.budget import segment_lengths as segment_lengths
from snnjax.unroll.linear import linear_recurrence as linear_recurrence
from snnjax.unroll.online import online_gradient as online_gradient
from snnjax.unroll.online import online_update as online_update
from snnjax.unroll.online import unroll_truncated as unroll_truncated
from snnjax.unroll.unroll import unroll as unroll
