"""Running neurons, cells and models over time step by step, and linear recurrences in parallel.

`unroll` is the one to use on a CPU. For long sequences on an accelerator,
`linear_recurrence` computes all steps at once, also sharded over a mesh (`time_axis`, inside
`jax.shard_map`); neurons in that form are in `snnjax.neurons`. Where memory must not grow with
time, `online_gradient` and `unroll_truncated` end the backward pass early; where it must fit a
budget, `checkpoint_for` chooses what to recompute.
"""

from snnjax.unroll.budget import checkpoint_for as checkpoint_for
from snnjax.unroll.budget import scratch_bytes as scratch_bytes
from snnjax.unroll.budget import segment_lengths as segment_lengths
from snnjax.unroll.linear import linear_recurrence as linear_recurrence
from snnjax.unroll.online import online_gradient as online_gradient
from snnjax.unroll.online import online_update as online_update
from snnjax.unroll.online import unroll_truncated as unroll_truncated
from snnjax.unroll.unroll import unroll as unroll
