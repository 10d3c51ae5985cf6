"""The Tsodyks-Markram synapse: facilitation and depression over short times."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, SHARE, as_current, as_params, euler


class TsodyksMarkramParams(NamedTuple):
    """Parameters of synapses with short-term plasticity, one for each presynaptic neuron."""

    use: ArrayLike  # [] or [N]: U, the fraction of the resources that a first spike releases
    facilitation: ArrayLike  # [] or [N]: factor by which u - U decays in a step
    recovery: ArrayLike  # [] or [N]: factor by which 1 - x decays in a step
    decay: ArrayLike  # [] or [N]: factor by which the current decays in a step


class TsodyksMarkramState(NamedTuple):
    """State of synapses with short-term plasticity."""

    u: Array  # [..., N], fraction of the resources that the next spike releases
    x: Array  # [..., N], remaining resources, 1 at rest
    i: Array  # [..., N], synaptic current


def tsodyks_markram_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, use: ArrayLike = 0.45
) -> TsodyksMarkramState:
    """The resting state of synapses of `shape`: u = U, x = 1 and no current.

    Args:
      shape: shape of one step of spikes, [..., N].
      dtype: dtype of the state.
      use: U, as in the parameters, shape [] or [N].
    """
    SHARE.check("use", use)
    u = jnp.broadcast_to(jnp.asarray(use, dtype), shape)
    return TsodyksMarkramState(u=u, x=jnp.ones(shape, dtype), i=jnp.zeros(shape, dtype))


def tsodyks_markram_params(
    dt: ArrayLike = 1.0,
    *,
    use: ArrayLike = 0.45,
    tau_f: ArrayLike = 50.0,
    tau_d: ArrayLike = 750.0,
    tau_s: ArrayLike = 20.0,
) -> TsodyksMarkramParams:
    """Parameters from time constants, all in the unit of `dt`, by forward Euler.

    The defaults, in ms, are those of a depressing synapse; a facilitating one has for instance
    use=0.15, tau_f=750 and tau_d=50.

    Args:
      dt: length of a step.
      use: U.
      tau_f, tau_d, tau_s: time constants of facilitation, recovery and current.

    >>> params = tsodyks_markram_params(2.0)
    >>> [round(float(factor), 4) for factor in params]
    [0.45, 0.96, 0.9973, 0.9]
    """
    SHARE.check("use", use)
    return TsodyksMarkramParams(
        jnp.asarray(use, float), euler(tau_f, dt), euler(tau_d, dt), euler(tau_s, dt)
    )


def tsodyks_markram_step(
    params: TsodyksMarkramParams, state: TsodyksMarkramState, current: ArrayLike
) -> tuple[TsodyksMarkramState, Array]:
    """One step of short-term plasticity: presynaptic spikes in, synaptic current out.

        r  = u * x * spikes
        u' = U + facilitation * (u - U) + U * (1 - u) * spikes
        x' = 1 + recovery * (x - 1) - r
        i' = decay * i + r

    All lines use the old u and x, so a first spike releases U. Elsewhere u rests at 0 and a spike
    raises it by U * (1 - u) before it releases; that u maps to ours by U + (1 - U) * u, and
    in continuous time the models are equal. The current is unweighted.

    Args:
      params: U and the factors, shape [] or [N]; cast to the state's dtype.
      state: u, x and the current, float32 by default, shape [..., N].
      current: spikes of the step, floating, shape [..., N]; cast to the state's dtype. Values
        between 0 and 1 act as expected numbers of spikes.

    Returns:
      The next state, and its current in the state's dtype.

    Raises:
      TypeError: spikes not floating, or wider than the state. ValueError: shapes do not fit, or a
        concrete U lies outside [0, 1], or a factor outside [-1, 1].

    Tsodyks, Pawelzik and Markram, "Neural networks with dynamic synapses", Neural Computation 1998.

    >>> state = tsodyks_markram_init((1,), use=0.5)
    >>> params = TsodyksMarkramParams(0.5, 0.5, 0.5, 0.5)
    >>> for _ in range(2):
    ...     state, i = tsodyks_markram_step(params, state, jnp.array([1.0]))
    ...     print(float(i[0]), float(state.u[0]), float(state.x[0]))
    0.5 0.75 0.5
    0.625 0.75 0.375
    """
    spikes = as_current(current, state.u)
    use, facilitation, recovery, decay = as_params(
        params, state.u, use=SHARE, facilitation=FACTOR, recovery=FACTOR, decay=FACTOR
    )
    released = state.u * state.x * spikes
    u = use + facilitation * (state.u - use) + use * (1.0 - state.u) * spikes
    x = 1.0 + recovery * (state.x - 1.0) - released
    i = decay * state.i + released
    return TsodyksMarkramState(u, x, i), i
