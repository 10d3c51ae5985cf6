"""An absolute refractory period for any neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import as_param, concrete


class RefractoryState(NamedTuple):
    """State of a population with a refractory period."""

    neuron: Any  # the state of the neuron inside, a NamedTuple
    wait: Array  # [..., N], int32: steps still to rest


def refractory_init(
    init: Callable[..., Any], shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> RefractoryState:
    """The resting state of a population of `shape`, ready to fire.

    >>> from snnjax.neurons import lif_init
    >>> refractory_init(lif_init, (2,)).wait.tolist()
    [0, 0]
    """
    return RefractoryState(init(shape, dtype), jnp.zeros(shape, jnp.int32))


def refractory_step(
    step: Callable[[Any, Any], tuple[Any, Array]],
    state: RefractoryState,
    current: ArrayLike,
    *,
    period: ArrayLike = 5,
    hold: tuple[str, ...] | None = None,
) -> tuple[RefractoryState, Array]:
    """One step of a neuron that rests for `period` steps after each of its spikes.

        after, z' = step(neuron, current)
        z      = 0      where wait > 0, else z'     (NaN stays NaN)
        neuron = neuron where wait > 0, else after  (of the fields in `hold`; others: after)
        wait   = period where z != 0,   else max(wait - 1, 0)

    After a spike come `period` silent steps, so that the rate is at most 1 / (period + 1). Input
    that arrives at rest is lost. By default the full state of a neuron at rest is frozen. With
    `hold=("v",)` the remaining state keeps evolving, such as the synaptic current of CUBA. Leave
    only fields unheld that the neuron's own spikes do not change, since a step with a suppressed
    spike still updates them.

    The counter is an integer: a narrow float would stop counting at 2,048 (float16) or 256
    (bfloat16). No gradient passes through it, nor through values suppressed at rest.

    Args:
      step: `step(state, current) -> (state, z)`, for instance `partial(lif_step, params)`, with
        spikes where z is not 0.
      state: from `refractory_init`.
      current: input of `step`, shape [..., N].
      period: integers, 0 or more, shape [] or [N]; a constant, never trained.
      hold: names of the fields that are frozen at rest; None for all.

    Returns:
      The next state, and spikes as `step` gives them.

    Raises:
      ValueError: a concrete period that is negative or not an integer; a name in `hold` that the
      neuron's state lacks; a held field that does not have the shape of the population.

    >>> from functools import partial
    >>> from snnjax.neurons import LIFParams, lif_init, lif_step
    >>> from snnjax.unroll import unroll
    >>> step = partial(refractory_step, partial(lif_step, LIFParams(0.5, 1.0)), period=2)
    >>> unroll(step, refractory_init(lif_init, ()), jnp.full(7, 1.5))[1].tolist()
    [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """
    known = concrete(period)
    if known is not None and not np.all((known >= 0) & (known == np.floor(known))):
        raise ValueError(f"`period` must be an integer number of steps, 0 or more; got {known}.")
    resting = state.wait > 0
    after, z = step(state.neuron, current)
    z = jnp.where(resting & ~jnp.isnan(z), jnp.zeros_like(z), z)
    wait = jnp.where(z != 0, as_param(period, state.wait, "period"), jnp.maximum(state.wait - 1, 0))
    return RefractoryState(_held(resting, state.neuron, after, hold), wait), z


def _held(resting: Array, before: Any, after: Any, hold: tuple[str, ...] | None) -> Any:
    """The state `after`, with its fields in `hold` taken from `before` where resting."""
    names = before._fields if hold is None else hold
    for name in names:
        if name not in before._fields:
            raise ValueError(
                f"`hold` names {name!r}, but the neuron's state has no such field; it has "
                f"{', '.join(before._fields)}."
            )
        shape = jnp.shape(getattr(before, name))
        if shape != resting.shape:
            raise ValueError(
                f"the field {name!r} of shape {shape} cannot be held for a population of shape "
                f"{resting.shape}; both must have the same shape. Remove it from `hold`."
            )
    held = {n: jnp.where(resting, getattr(before, n), getattr(after, n)) for n in names}
    return after._replace(**held)
