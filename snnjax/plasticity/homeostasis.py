"""Homeostasis: thresholds that follow the firing rate, and weights with a constant sum."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import exact
from snnjax.neurons.membrane import FACTOR, as_param, as_params


class HomeostasisParams(NamedTuple):
    """Parameters of homeostatic thresholds."""

    rate: ArrayLike  # [] or [N]: eta, change of the threshold for each excess spike
    target: ArrayLike = 0.0  # [] or [N]: f*, target spikes per step
    decay: ArrayLike = 1.0  # [] or [N]: factor by which the offset returns to 0 in a step


class HomeostasisState(NamedTuple):
    """State of homeostatic thresholds."""

    theta: Array  # [N], offset added to the threshold


def homeostasis_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HomeostasisState:
    """Initial threshold offsets of zero. `shape` is that of the neurons, without the batch."""
    return HomeostasisState(jnp.zeros(shape, dtype))


def homeostasis_params(
    dt: ArrayLike = 1.0, *, rate: ArrayLike = 0.05, tau: ArrayLike = 1e7
) -> HomeostasisParams:
    """Parameters of thresholds that rise with each spike and decay slowly; defaults in mV and ms.

    Diehl and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent
    plasticity", Frontiers in Computational Neuroscience 2015.

    >>> round(float(homeostasis_params(tau=10.0).decay), 4)
    0.9048
    """
    return HomeostasisParams(rate, 0.0, exact(tau, dt))


def homeostasis_step(
    params: HomeostasisParams, state: HomeostasisState, spikes: ArrayLike
) -> tuple[HomeostasisState, Array]:
    """One step of homeostatic thresholds.

        theta = decay * theta + eta * (mean_b spikes_b - f*)

    The next step's threshold is the fixed one plus theta, which is not bounded below. A decay below
    1 pulls the rate away from f*: with f* = 0 the threshold settles where rise and decay balance.

    Args:
      params: rate, target and decay.
      state: offsets, [N] or with more axes.
      spikes: spikes of this step, floating, [..., N]; leading axes beyond the state's are averaged.

    Returns:
      The next state, and theta.

    Raises:
      TypeError: spikes not floating. ValueError: their last axes are not those of the state.

    >>> state, theta = homeostasis_step(
    ...     HomeostasisParams(0.5, 0.25), homeostasis_init((2,)), jnp.array([1.0, 0.0])
    ... )
    >>> theta.tolist()
    [0.375, -0.125]
    """
    spikes = jnp.asarray(spikes)
    if not jnp.issubdtype(spikes.dtype, jnp.floating):
        raise TypeError(f"`spikes` must be floating point; got {spikes.dtype}. Cast them first.")
    extra = spikes.ndim - state.theta.ndim
    if extra < 0 or spikes.shape[extra:] != state.theta.shape:
        raise ValueError(
            f"`spikes` has shape {spikes.shape}, whose last axes are not those of theta, "
            f"{state.theta.shape}. Make the state with the shape of the neurons."
        )
    rate, target, decay = as_params(params, state.theta, decay=FACTOR)
    mean = spikes.astype(state.theta.dtype).mean(tuple(range(extra)))
    theta = decay * state.theta + rate * (mean - target)
    return HomeostasisState(theta), theta


def normalise_weights(
    weight: ArrayLike, total: ArrayLike = 78.4, *, axis: int | tuple[int, ...] = 0
) -> Array:
    """Weights scaled so that those into each neuron have a constant sum of magnitudes.

        W[m, n] <- W[m, n] * total / sum_m |W[m, n]|

    All-zero weights of a neuron stay zero.

    Args:
      weight: [M, N]. total: [] or [N]; the default is the paper's, for 784 inputs.
      axis: axes of the inputs; for a convolution all except the last.

    Diehl and Cook, Frontiers in Computational Neuroscience 2015.

    >>> normalise_weights(jnp.array([[1.0, 0.0], [3.0, 0.0]]), 1.0).tolist()
    [[0.25, 0.0], [0.75, 0.0]]
    """
    weight = jnp.asarray(weight)
    size = jnp.abs(weight).sum(axis, keepdims=True)
    present = size > 0
    scale = as_param(total, weight) / jnp.where(present, size, jnp.ones_like(size))
    return weight * jnp.where(present, scale, jnp.ones_like(scale))
