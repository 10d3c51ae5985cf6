"""The LIF neuron with dendritic branches, each with its own time constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, FACTOR, as_current, as_param
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan


class DHLIFParams(NamedTuple):
    """Parameters of LIF neurons with D branches; the authors learn the logits of both decays."""

    branch_decay: ArrayLike  # [], [D] or [N, D], in [0, 1]
    decay: ArrayLike  # [] or [N], in [0, 1]: decay of the soma
    threshold: ArrayLike  # [] or [N]; 0.5 in the paper


class DHLIFState(NamedTuple):
    """State of LIF neurons with branches."""

    i: Array  # [..., N, D], branch currents
    u: Array  # [..., N], potential of the soma; not yet reset
    z: Array  # [..., N], spikes of the last step


def dhlif_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> DHLIFState:
    """The resting state of a population of `shape` [..., N, D]: all zeros.

    The authors start potential and spikes at random in [0, 1], which makes an evaluation
    non-deterministic; to reproduce that, replace `u` and `z`.

    >>> [field.shape for field in dhlif_init((2, 3, 4))]
    [(2, 3, 4), (2, 3), (2, 3)]
    """
    if not shape:
        raise ValueError(
            "`shape` must be that of one step of branch currents, [..., N, D]; got ()."
        )
    soma = jnp.zeros(shape[:-1], dtype)
    return DHLIFState(i=jnp.zeros(shape, dtype), u=soma, z=soma)


def branch_masks(inputs: int, neurons: int, branches: int, *, key: Array) -> Array:
    """Masks from inputs to branches: each neuron assigns its inputs to its branches at random.

    Every input reaches one branch of every neuron, and the numbers of inputs of a neuron's branches
    differ by at most one. The branch currents of x are
    `einsum("...i,ind->...nd", x, where(mask, weight, 0))`.

    Args:
      inputs, neurons, branches: I, N and D, with D at most I.
      key: a typed random key.

    Returns:
      Booleans, shape [I, N, D].

    >>> mask = branch_masks(6, 2, 3, key=jax.random.key(0))
    >>> mask.sum(0).tolist(), bool((mask.sum(2) == 1).all())
    ([[2, 2, 2], [2, 2, 2]], True)
    """
    if not 1 <= branches <= inputs:
        raise ValueError(
            f"`branches` must be 1 to the number of inputs, so that none is left without input; "
            f"got {branches} branches for {inputs} inputs."
        )
    places = jnp.broadcast_to(jnp.arange(inputs)[:, None], (inputs, neurons))
    places = jax.random.permutation(key, places, independent=True)
    return (places * branches // inputs)[..., None] == jnp.arange(branches)


def dhlif_step(
    params: DHLIFParams,
    state: DHLIFState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
) -> tuple[DHLIFState, Array]:
    """One step of a LIF neuron with branches: filter each branch, reset and leak, add up, fire.

        i = branch_decay * i + current              (scale_input: + (1 - branch_decay) * current)
        u = reset(decay * u, z, threshold) + sum_d i           (scale_input: + (1 - decay) * sum)
        z = H(u - threshold)

    The reset for a spike acts in the next step, on the leaked potential, so `subtract`
    subtracts the full threshold, not `decay` of it. The paper has scale_input=True, and `zero`
    for its hard reset.

    Args:
      params: decays and thresholds; cast to the state's dtype.
      state: branch currents [..., N, D], potential and last spikes [..., N], float32 by default.
      current: input current of each branch, floating, shape [..., N, D]; see `branch_masks`.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether branches and soma have unit gain for a constant input.

    Returns:
      The next state, and spikes in {0, 1}, shape [..., N], in the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    Zheng et al., "Temporal dendritic heterogeneity incorporated with spiking neural networks for
    learning multi-timescale dynamics", Nature Communications 2024.

    >>> params, x = DHLIFParams(jnp.array([0.5, 0.75]), 0.5, 0.5), jnp.array([[2.0, 4.0]])
    >>> state, z = dhlif_step(params, dhlif_init((1, 2)), x, scale_input=True)
    >>> float(z[0]), state.i.tolist(), state.u.tolist()
    (1.0, [[1.0, 1.0]], [1.0])
    """
    current = jnp.asarray(current)
    x, branch = (
        as_current(current, state.i),
        as_param(params.branch_decay, state.i, "branch_decay", FACTOR),
    )
    decay = as_param(params.decay, state.u, "decay", FACTOR)
    threshold = as_param(params.threshold, state.u, "threshold", ABOVE_0)
    i = branch * state.i + ((1.0 - branch) * x if scale_input else x)
    total = (1.0 - decay) * i.sum(-1) if scale_input else i.sum(-1)
    u = reset(decay * state.u, state.z, threshold) + total
    z = spike(u - threshold)
    return DHLIFState(i, u, z), z.astype(current.dtype)
