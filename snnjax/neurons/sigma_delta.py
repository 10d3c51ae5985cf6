"""Sigma-delta coding: a sender of changes, and a receiver that sums them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_params
from snnjax.surrogates import atan


class DeltaParams(NamedTuple):
    """Parameters of sigma-delta senders."""

    threshold: ArrayLike  # [] or [N], above 0


class DeltaState(NamedTuple):
    """State of sigma-delta senders."""

    ref: Array  # [..., N], the sum of all that was sent


class SigmaState(NamedTuple):
    """State of sigma-delta receivers."""

    total: Array  # [..., N], the sum of all that was received


def delta_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> DeltaState:
    """The initial state of senders of `shape`, with nothing sent."""
    return DeltaState(ref=jnp.zeros(shape, dtype))


def sigma_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> SigmaState:
    """The initial state of receivers of `shape`, with nothing received."""
    return SigmaState(total=jnp.zeros(shape, dtype))


def delta_step(
    params: DeltaParams,
    state: DeltaState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
) -> tuple[DeltaState, Array]:
    """One step of send-on-delta: send the change since the last sending once it is large enough.

        e   = current - ref
        out = e * H(abs(e) - threshold)
        ref = ref + out

    The events are graded and signed, and not rounded. After the step abs(current - ref) is below
    the threshold, and `ref` equals the receiver's sum bit for bit: errors do not accumulate. The
    gradient passes through e where it is sent, and through the decision by the surrogate.

    Args:
      params: thresholds, shape [] or [N]; cast to the state's dtype.
      state: reference, float32 by default, shape [..., N].
      current: the signal itself, not its change; floating, shape [..., N].
      spike: surrogate spike function.

    Returns:
      The next state, and events in the state's dtype and shape: if narrowed, their sum would drift.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    >>> sender, receiver = delta_init((1,)), sigma_init((1,))
    >>> for x in (1.0, 1.25, 1.5):
    ...     sender, event = delta_step(DeltaParams(0.5), sender, jnp.array([x]))
    ...     receiver, total = sigma_step(receiver, event)
    ...     print(float(event[0]), float(total[0]))
    1.0 1.0
    0.0 1.0
    0.5 1.5
    """
    x, (threshold,) = (
        as_current(current, state.ref),
        as_params(params, state.ref, threshold=ABOVE_0),
    )
    e = x - state.ref
    out = e * spike(jnp.abs(e) - threshold)
    return DeltaState(state.ref + out), out


def sigma_step(state: SigmaState, current: ArrayLike) -> tuple[SigmaState, Array]:
    """One step of a receiver: add the incoming events and return the sum.

    Weights go between sender and receiver, an activation such as `jax.nn.relu` acts on the sum, and
    another `delta_step` sends the result. There are no parameters.

    Args:
      state: sum, float32 by default, shape [..., N].
      current: weighted events of the step, floating, shape [..., N].

    Returns:
      The next state, and the sum in the state's dtype.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    >>> float(sigma_step(SigmaState(jnp.array([2.0])), jnp.array([-0.5]))[1][0])
    1.5
    """
    total = state.total + as_current(current, state.total)
    return SigmaState(total), total
