"""Reward-modulated STDP: immediate (MSTDP), or through an eligibility trace (MSTDPET)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import exact
from snnjax.neurons.membrane import FACTOR, as_param
from snnjax.plasticity.bounds import Bound, additive
from snnjax.plasticity.coincidence import Coincidence, both
from snnjax.plasticity.product import Product, dense, pairs, pairs_each
from snnjax.plasticity.stdp import STDPParams, STDPState, read_traces, stdp_init, stdp_params
from snnjax.plasticity.trace import Trace, accumulate


def mstdp_step(
    params: STDPParams,
    state: STDPState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: ArrayLike,
    reward: ArrayLike,
    *,
    bound: Bound = additive,
    coincidence: Coincidence = both,
    trace: Trace = accumulate,
    product: Product = dense,
) -> tuple[STDPState, Array]:
    """One step of reward-modulated STDP, where the reward comes with the spikes.

        dW = sum_b reward_b * STDP_b

    STDP_b is the change that `stdp_step` would make for sample b. A negative reward turns
    potentiation into depression.

    Args:
      params, state, pre, post, weight: as for `stdp_step`; the state is `stdp_init`'s.
      reward: [] or one number for each sample, [B].
      bound, coincidence, trace, product: as for `stdp_step`.

    Returns:
      The next traces, and dW with the shape and dtype of `weight`.

    Raises:
      TypeError: spikes not floating. ValueError: shapes do not fit.

    Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic
    plasticity", Neural Computation 2007.

    >>> params, state = STDPParams(1.0, 0.0, 0.5, 0.5), stdp_init((2, 1), (2, 1))
    >>> ones = jnp.ones((2, 1))
    >>> mstdp_step(params, state, ones, ones, jnp.zeros((1, 1)), jnp.array([3.0, -1.0]))[1].tolist()
    [[2.0]]
    """
    weight = jnp.asarray(weight)
    state, (x, y), (pre, post) = read_traces(params, state, pre, post, coincidence, trace)
    plus, minus = as_param(params.plus, weight), as_param(params.minus, weight)
    up, down = bound(weight)
    raised = pairs(product, x, _each(reward, post) * post, weight)
    lowered = pairs(product, _each(reward, pre) * pre, y, weight)
    return state, plus * up * raised - minus * down * lowered


class MSTDPETParams(NamedTuple):
    """Parameters of reward-modulated STDP with an eligibility trace."""

    stdp: STDPParams
    decay: ArrayLike  # []: factor by which the eligibility decays in a step
    scale: ArrayLike  # []: fraction of a change that is added to it; 1 / tau_e in the paper


class MSTDPETState(NamedTuple):
    """State of reward-modulated STDP with an eligibility trace."""

    stdp: STDPState
    eligibility: Array  # [..., M, N], for each sample


def mstdpet_init(
    pre_shape: tuple[int, ...],
    post_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    batch_shape: tuple[int, ...] = (),
    dtype: DTypeLike = jnp.float32,
) -> MSTDPETState:
    """The initial state: no spikes and no eligibility.

    Args:
      pre_shape, post_shape: shapes of one step of spikes, including batch axes.
      weight_shape: shape of the weights. batch_shape: the leading batch axes of both spikes.

    >>> mstdpet_init((8, 3), (8, 2), (3, 2), (8,)).eligibility.shape
    (8, 3, 2)
    """
    if pre_shape[: len(batch_shape)] != tuple(batch_shape) or post_shape[
        : len(batch_shape)
    ] != tuple(batch_shape):
        raise ValueError(
            f"both spikes must start with the batch axes {batch_shape}; got shapes {pre_shape} "
            f"and {post_shape}."
        )
    eligibility = jnp.zeros((*batch_shape, *weight_shape), dtype)
    return MSTDPETState(stdp_init(pre_shape, post_shape, dtype), eligibility)


def mstdpet_params(
    dt: ArrayLike = 1.0, *, tau_e: ArrayLike = 25.0, **stdp: ArrayLike
) -> MSTDPETParams:
    """Parameters from time constants in the unit of `dt`; `stdp` is passed to `stdp_params`.

    >>> round(float(mstdpet_params(tau_e=10.0).decay), 4)
    0.9048
    """
    decay = exact(tau_e, dt)
    return MSTDPETParams(stdp_params(dt, **stdp), decay, 1.0 / jnp.asarray(tau_e, decay.dtype))


def mstdpet_step(
    params: MSTDPETParams,
    state: MSTDPETState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: ArrayLike,
    reward: ArrayLike,
    *,
    bound: Bound = additive,
    coincidence: Coincidence = both,
    trace: Trace = accumulate,
    product: Product = dense,
) -> tuple[MSTDPETState, Array]:
    """One step of reward-modulated STDP with an eligibility trace: the reward may come later.

        e  = decay * e + scale * STDP               for each sample and weight
        dW = sum_b reward_b * e_b

    With decay = exp(-dt/tau_e) a reward that comes a time tau_e after the spikes changes the
    weights by 1/e of what an immediate one would. The eligibility needs memory for [B, M, N]
    numbers.

    Args:
      params: parameters of STDP, decay and scale.
      state: traces and eligibility, from `mstdpet_init`.
      pre, post, weight, bound, coincidence, trace, product: as for `stdp_step`.
      reward: [] or one number for each sample, [B].

    Returns:
      The next state, and dW with the shape and dtype of `weight`.

    Raises:
      TypeError: spikes not floating. ValueError: shapes do not fit.

    Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic
    plasticity", Neural Computation 2007.

    >>> params = MSTDPETParams(STDPParams(1.0, 0.0, 0.5, 0.5), 0.5, 1.0)
    >>> state, w = mstdpet_init((1,), (1,), (1, 1)), jnp.zeros((1, 1))
    >>> state, dw = mstdpet_step(params, state, jnp.ones(1), jnp.ones(1), w, 0.0)
    >>> state, later = mstdpet_step(params, state, jnp.zeros(1), jnp.zeros(1), w, 1.0)
    >>> dw.tolist(), later.tolist()
    ([[0.0]], [[0.5]])
    """
    weight = jnp.asarray(weight)
    stdp, change = stdp_each(
        params.stdp, state, pre, post, weight, bound, coincidence, trace, product
    )
    decay = as_param(params.decay, state.eligibility, within=FACTOR, name="decay")
    scale = as_param(params.scale, state.eligibility)
    eligibility = decay * state.eligibility + scale * change
    rewarded = _each(reward, eligibility) * eligibility
    samples = tuple(range(eligibility.ndim - weight.ndim))
    return MSTDPETState(stdp, eligibility), rewarded.sum(samples).astype(weight.dtype)


def stdp_each(
    params: STDPParams,
    state: MSTDPETState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: Array,
    bound: Bound,
    coincidence: Coincidence,
    trace: Trace,
    product: Product,
) -> tuple[STDPState, Array]:
    """Traces after a step and the changes of pair STDP for each sample, not summed."""
    axes = state.eligibility.ndim - weight.ndim
    stdp, (x, y), (pre, post) = read_traces(params, state.stdp, pre, post, coincidence, trace)
    weight = weight.astype(state.eligibility.dtype)
    plus, minus = as_param(params.plus, weight), as_param(params.minus, weight)
    up, down = bound(weight)
    raised = pairs_each(product, x, post, weight, axes)
    lowered = pairs_each(product, pre, y, weight, axes)
    return stdp, plus * up * raised - minus * down * lowered


def _each(reward: ArrayLike, values: Array) -> Array:
    """The reward, [] or [*B], reshaped to multiply values [*B, ...]."""
    reward = jnp.asarray(reward, values.dtype)
    if reward.shape != values.shape[: reward.ndim]:
        raise ValueError(
            f"`reward` must be one number or one for each sample; got shape {reward.shape} for "
            f"spikes or eligibilities of shape {values.shape}."
        )
    return reward.reshape(*reward.shape, *(1,) * (values.ndim - reward.ndim))
