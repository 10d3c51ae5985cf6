"""Neurons that process a full sequence in parallel: parallel spiking neurons, LIF and IF.

For long sequences on an accelerator they compute all steps together; on a CPU
`snnjax.unroll.unroll` of a step is faster. Without a reset the dynamics are one
`snnjax.unroll.linear_recurrence`; with one they are solved by fixed-point iteration or in closed
form. Neurons without a reset can be sharded in time over the devices of a mesh: `time_axis` of
`lif_reset_free`, `crf_parallel` and `sliding_psn`, inside `jax.shard_map`.
"""
