"""Dopamine-modulated STDP: a reward released into a slow pool, credited to tagged synapses."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import exact
from snnjax.neurons.membrane import FACTOR, as_param
from snnjax.plasticity.bounds import Bound, additive
from snnjax.plasticity.coincidence import Coincidence, both
from snnjax.plasticity.product import Product, dense
from snnjax.plasticity.reward import MSTDPETState, _each, mstdpet_init, stdp_each
from snnjax.plasticity.stdp import STDPParams, stdp_params
from snnjax.plasticity.trace import Trace, accumulate


class DopamineParams(NamedTuple):
    """Parameters of dopamine-modulated STDP."""

    stdp: STDPParams
    tag_decay: ArrayLike  # []: factor by which the tags c decay in a step
    decay: ArrayLike  # []: factor by which dopamine decays in a step
    release: ArrayLike  # []: k, dopamine released for a reward of 1
    dt: ArrayLike  # []: length of a step, in the time unit of the change


class DopamineState(NamedTuple):
    """State of dopamine-modulated STDP."""

    synapse: MSTDPETState  # traces, and the tags c of the synapses as eligibility
    dopamine: Array  # [] or [*B]: d, for each sample


def dopamine_init(
    pre_shape: tuple[int, ...],
    post_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    batch_shape: tuple[int, ...] = (),
    dtype: DTypeLike = jnp.float32,
) -> DopamineState:
    """The initial state: no spikes, tags or dopamine. Arguments are those of `mstdpet_init`."""
    synapse = mstdpet_init(pre_shape, post_shape, weight_shape, batch_shape, dtype)
    return DopamineState(synapse, jnp.zeros(batch_shape, dtype))


def dopamine_params(
    dt: ArrayLike = 1.0,
    *,
    tau_c: ArrayLike = 1000.0,
    tau_d: ArrayLike = 200.0,
    release: ArrayLike = 5e-3,
    plus: ArrayLike = 0.01,
    minus: ArrayLike = 0.0105,
    **stdp: ArrayLike,
) -> DopamineParams:
    """Parameters from time constants, defaults in ms; `stdp` is passed to `stdp_params`.

    >>> round(float(dopamine_params().tag_decay), 4)
    0.999
    """
    pair = stdp_params(dt, plus=plus, minus=minus, **stdp)
    return DopamineParams(pair, exact(tau_c, dt), exact(tau_d, dt), release, dt)


def dopamine_step(
    params: DopamineParams,
    state: DopamineState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: ArrayLike,
    reward: ArrayLike,
    *,
    bound: Bound = additive,
    coincidence: Coincidence = both,
    trace: Trace = accumulate,
    product: Product = dense,
) -> tuple[DopamineState, Array]:
    """One step of dopamine-modulated STDP.

        c  = tag_decay * c + STDP                   for each sample and weight
        d  = decay * d + k * reward                 for each sample
        dW = sum_b c_b * d_b * dt

    Spikes only tag a synapse; dopamine changes tagged synapses while both traces last. No tonic
    level of dopamine is added: include it as a constant part of the reward.

    Args:
      params: parameters of STDP, tags and dopamine.
      state: from `dopamine_init`.
      pre, post, weight, bound, coincidence, trace, product: as for `stdp_step`.
      reward: [] or one number for each sample, [B].

    Returns:
      The next state, and dW with the shape and dtype of `weight`.

    Raises:
      TypeError: spikes not floating. ValueError: shapes do not fit.

    Izhikevich, "Solving the distal reward problem through linkage of STDP and dopamine signaling",
    Cerebral Cortex 2007.

    >>> params = DopamineParams(STDPParams(1.0, 0.0, 0.5, 0.5), 0.5, 0.5, 1.0, 1.0)
    >>> state, w = dopamine_init((1,), (1,), (1, 1)), jnp.zeros((1, 1))
    >>> state, _ = dopamine_step(params, state, jnp.ones(1), jnp.ones(1), w, 0.0)
    >>> for reward in (1.0, 0.0):
    ...     state, dw = dopamine_step(params, state, jnp.zeros(1), jnp.zeros(1), w, reward)
    ...     print(dw.tolist())
    [[0.5]]
    [[0.125]]
    """
    weight = jnp.asarray(weight)
    stdp, change = stdp_each(
        params.stdp, state.synapse, pre, post, weight, bound, coincidence, trace, product
    )
    tags = state.synapse.eligibility
    tags = as_param(params.tag_decay, tags, "tag_decay", FACTOR) * tags + change
    decay = as_param(params.decay, state.dopamine, "decay", FACTOR)
    release, dt = (as_param(p, state.dopamine) for p in (params.release, params.dt))
    dopamine = decay * state.dopamine + release * jnp.asarray(reward, state.dopamine.dtype)
    samples = tuple(range(tags.ndim - weight.ndim))
    change = (_each(dopamine, tags) * tags).sum(samples) * dt
    return DopamineState(MSTDPETState(stdp, tags), dopamine), change.astype(weight.dtype)
