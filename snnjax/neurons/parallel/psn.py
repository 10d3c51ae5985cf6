"""Parallel spiking neurons: the potential is a learned mixture of the inputs of many steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import as_arrays, concrete
from snnjax.neurons.parallel.window import check_window, dot, push
from snnjax.surrogates import atan, check_floating
from snnjax.unroll.unroll import _length

Spike = Callable[[Array], Array]


class PSNParams(NamedTuple):
    """Parameters of (masked) parallel spiking neurons, shared by all neurons of a layer."""

    weight: Array  # [T, T], from the input of step j (column) to the potential of step i (row)
    bias: Array  # [T], minus the threshold of each step


class MaskedPSNState(NamedTuple):
    """State of masked parallel spiking neurons: the inputs of the last steps."""

    recent: Array  # [..., N, K - 1], the last inputs, the newest last
    t: Array  # [B], int32: the number of steps so far of each sample; [] for a shape [N]


def psn_params(steps: int, *, key: Array, dtype: DTypeLike = jnp.float32) -> PSNParams:
    """Parameters for sequences of T = `steps`: weights uniform in +-1/sqrt(T), thresholds 1."""
    bound = 1.0 / math.sqrt(steps)
    weight = jax.random.uniform(key, (steps, steps), dtype, -bound, bound)
    return PSNParams(weight, jnp.full((steps,), -1.0, dtype))


def psn(params: PSNParams, currents: ArrayLike, *, spike: Spike = atan) -> Array:
    """Run parallel spiking neurons, which have no reset and no state, over a full sequence.

        h = W currents,   z[t] = H(h[t] + bias[t])

    The weight is full: z[0] depends on the last input, so the neuron cannot run step by step, and
    T is fixed by the weight. `masked_psn` becomes causal in training; `sliding_psn` is causal.

    Args:
      params: see `psn_params`.
      currents: input, floating, [T, ...].
      spike: surrogate spike function.

    Returns:
      Spikes in {0, 1}, shape and dtype of `currents`.

    Raises:
      TypeError: currents not floating, or wider than the weights and float32. ValueError: T does
      not match the weights.

    Fang et al., "Parallel spiking neurons with high efficiency and ability to learn long-term
    dependencies", NeurIPS 2023.

    >>> params = PSNParams(jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.full((2,), -1.0))
    >>> psn(params, jnp.array([0.0, 2.0])).tolist()
    [1.0, 0.0]
    """
    params = as_arrays(params)
    return _mix(params, params.weight, currents, spike)


def psn_step(params: PSNParams, state: object, current: ArrayLike) -> NoReturn:
    """Always raises a ValueError: a parallel spiking neuron depends on later inputs."""
    del params, state, current
    raise ValueError(
        "a PSN cannot run step by step: its weight [T, T] is full, so that the spike of a step "
        "depends on later inputs. Apply psn to the full sequence, or use sliding_psn, or "
        "masked_psn trained to strength=1, which have a step."
    )


def masked_psn(
    params: PSNParams,
    currents: ArrayLike,
    *,
    window: int,
    strength: ArrayLike = 1.0,
    spike: Spike = atan,
) -> Array:
    """Run masked parallel spiking neurons over a full sequence.

        h = (W * (strength * M + 1 - strength)) currents,   z[t] = H(h[t] + bias[t])

    M[i, j] = 1 where i - window < j <= i, else 0. With strength 0 it is `psn`; in training the
    strength goes from 0 to 1, where the neuron is causal with a window of `window` steps.

    Args:
      params: see `psn_params`; they fix T.
      currents: input, floating, [T, ...].
      window: K, the number of input steps of the causal neuron, at least 1; static.
      strength: lambda of the paper, in [0, 1]; traced, not learned.
      spike: surrogate spike function.

    Returns:
      Spikes in {0, 1}, shape and dtype of `currents`.

    Raises:
      As `psn`; ValueError for a window below 1.

    Fang et al., as for `psn`.

    >>> params = PSNParams(jnp.ones((3, 3)), jnp.full((3,), -1.0))
    >>> masked_psn(params, jnp.array([0.0, 1.0, 0.0]), window=1).tolist()
    [0.0, 1.0, 0.0]
    """
    params = as_arrays(params)
    age = np.arange(len(params.weight))[:, None] - np.arange(len(params.weight))
    strength = jnp.asarray(strength, params.weight.dtype)
    seen = jnp.asarray((age >= 0) & (age < check_window(window)), params.weight.dtype)
    return _mix(params, params.weight * (strength * seen + 1.0 - strength), currents, spike)


def masked_psn_init(
    shape: tuple[int, ...], window: int, dtype: DTypeLike = jnp.float32
) -> MaskedPSNState:
    """The state before the first step of a population of `shape`."""
    recent = jnp.zeros((*shape, check_window(window) - 1), dtype)
    return MaskedPSNState(recent, jnp.zeros(shape[:-1][:1], jnp.int32))


def masked_psn_step(
    params: PSNParams,
    state: MaskedPSNState,
    current: ArrayLike,
    *,
    strength: float = 1.0,
    spike: Spike = atan,
) -> tuple[MaskedPSNState, Array]:
    """One step of a causal masked parallel spiking neuron: `masked_psn` at strength 1.

    The window is set by the state. There are weights for T steps only: a later step is silent, or
    an error if the state is concrete.

    Args:
      params: see `psn_params`.
      state: last inputs, [..., N, K - 1], and number of steps so far.
      current: input of the step, floating, [..., N].
      strength: strength of the trained neuron, a Python number; only 1 is causal.
      spike: surrogate spike function.

    Returns:
      The next state, and spikes of the shape of the state's inputs and the dtype of `current`.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit, a
      strength below 1, a step after the last.
    """
    if strength < 1:
        raise ValueError(
            "a masked PSN runs step by step only at strength 1, where it no longer sees later "
            f"inputs; got strength={strength}. Apply masked_psn to the full sequence."
        )
    params = as_arrays(params)
    steps, window = len(params.weight), state.recent.shape[-1] + 1
    _check_time(state.t, steps)
    inputs = push(state.recent, current)
    t = state.t.reshape(state.t.shape + (1,) * (inputs.ndim - 1 - state.t.ndim))
    columns = t[..., None] - jnp.arange(window - 1, -1, -1, dtype=jnp.int32)
    columns = jnp.where(columns < 0, steps, columns)  # before the first step: no weight
    weight = params.weight.at[t[..., None], columns].get(mode="fill", fill_value=0)
    bias = params.bias.at[t].get(mode="fill", fill_value=-jnp.inf)
    h = (weight.astype(inputs.dtype) * inputs).sum(-1)
    z = spike(h + bias.astype(inputs.dtype)).astype(jnp.asarray(current).dtype)
    return MaskedPSNState(inputs[..., 1:], state.t + 1), z


# --- mixing ---


def _mix(params: PSNParams, weight: Array, currents: ArrayLike, spike: Spike) -> Array:
    """Spikes from a mixture of all steps with a weight [T, T]."""
    currents = check_floating(currents, "currents")
    steps = len(weight)
    if _length(currents) != steps:
        raise ValueError(
            f"the weights are for T = {steps} steps; got currents of shape {currents.shape}, time "
            "first. T cannot change after training; sliding_psn accepts any T."
        )
    x = currents.astype(np.promote_types(currents.dtype, np.float32))
    bias = params.bias.astype(x.dtype).reshape(steps, *(1,) * (x.ndim - 1))
    return spike(dot(weight, x) + bias).astype(currents.dtype)


def _check_time(t: Array, steps: int) -> None:
    known = concrete(t)
    if known is not None and np.any(known >= steps):
        raise ValueError(
            f"this masked PSN has weights for T = {steps} steps; got one more. Start a new "
            "sequence with masked_psn_init, or use sliding_psn, which has no last step."
        )
