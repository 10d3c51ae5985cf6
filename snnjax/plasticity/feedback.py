"""Learning signals: random feedback in place of the transposed weights, and a rate regulariser."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, as_params
from snnjax.plasticity.trace import as_spikes


def feedback_dense(x: ArrayLike, weight: ArrayLike, feedback: ArrayLike) -> Array:
    """A dense product whose input is differentiated through fixed feedback weights.

        value      x @ weight
        gradients  weight: x (outer) g;   x: L = g @ feedback^T;   feedback: 0

    With feedback = weight it is the plain product (symmetric e-prop). Drawn once at random it gives
    broadcast alignment: the error reaches the layer through weights that never learn. As a readout
    after `eprop_step`, with the squared error (y - y*)^2 / 2, L is (y - y*) @ feedback^T.

    Args:
      x: [..., N]. weight: [N, K]. feedback: [N, K].

    Returns:
      [..., K].

    Lillicrap et al., Nature Communications 2016; Bellec et al., Nature Communications 2020.

    >>> w, b = jnp.array([[1.0], [2.0]]), jnp.array([[10.0], [20.0]])
    >>> y, pull = jax.vjp(lambda x: feedback_dense(x, w, b), jnp.array([1.0, 1.0]))
    >>> y.tolist(), pull(jnp.array([1.0]))[0].tolist()
    ([3.0], [10.0, 20.0])
    """
    return _feedback_dense(*map(jnp.asarray, (x, weight, feedback)))


@jax.custom_jvp
def _feedback_dense(x: Array, weight: Array, feedback: Array) -> Array:
    del feedback
    return x @ weight


@_feedback_dense.defjvp
def _feedback_jvp(primals, tangents):
    x, weight, feedback = primals
    dx, dweight, _ = tangents
    return x @ weight, dx @ feedback + x @ dweight


class RateParams(NamedTuple):
    """Parameters of a rate regulariser."""

    target: ArrayLike  # [] or [N]: f*, target spikes per step
    strength: ArrayLike  # [] or [N]: c
    decay: ArrayLike  # [] or [N]: factor by which the running rate decays in a step


class RateState(NamedTuple):
    """Running rates of neurons."""

    rate: Array  # [..., N], mean spikes per step


def rate_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RateState:
    """The initial running rates of neurons of `shape`: zero."""
    return RateState(jnp.zeros(shape, dtype))


def rate_step(params: RateParams, state: RateState, spikes: ArrayLike) -> tuple[RateState, Array]:
    """One step of the rate regulariser, a loss whose learning signal is c (f - f*).

        f'   = decay * f + (1 - decay) * spikes
        loss = sum_j c_j (f_j' - f*_j) spikes_j,    differentiated in the last factor only

    Add it to the loss of the step: its gradient adds c (f' - f*) to L. The value itself is not
    meaningful to monitor. It is summed over neurons and batch.

    Args:
      params: target, strength and decay.
      state: running rates, [..., N].
      spikes: spikes of this step, [..., N].

    Returns:
      The next state, and the loss, a scalar in the state's dtype.

    Bellec et al., Nature Communications 2020, with a running mean instead of the rate over a trial.

    >>> params, state = RateParams(0.1, 2.0, 0.5), rate_init((1,))
    >>> (state, loss), pull = jax.vjp(lambda z: rate_step(params, state, z), jnp.array([1.0]))
    >>> round(float(loss), 6)
    0.8
    """
    spikes = as_spikes("spikes", spikes, state.rate.shape)
    target, strength, decay = as_params(params, state.rate, decay=FACTOR)
    spikes = spikes.astype(state.rate.dtype)
    rate = lax.stop_gradient(decay * state.rate + (1.0 - decay) * spikes)
    return RateState(rate), jnp.sum(strength * (rate - target) * spikes)
