"""Integrate-and-fire neurons over a full sequence in closed form."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.neurons.integrate_fire import IFParams, IFState
from snnjax.neurons.membrane import as_param
from snnjax.neurons.parallel.adjoint import attach_gradient
from snnjax.neurons.parallel.fixed_point import SOFT
from snnjax.neurons.parallel.sequence import as_currents
from snnjax.neurons.reset import Reset, subtract
from snnjax.surrogates import atan
from snnjax.unroll.linear import shift


def if_closed_form(
    params: IFParams,
    state: IFState,
    currents: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
    reset: Reset = subtract,
    method: str | None = None,
    differentiate: str = "fast",
) -> tuple[IFState, Array]:
    """Run IF neurons with soft reset over a sequence, in one pass: equals `unroll` of `if_step`.

        U[t] = v + current[0] + ... + current[t]
        n[t] = max(0, max over s <= t of floor(U[s] / threshold))       spikes so far
        z[t] = n[t] - n[t-1],   v = U[T-1] - n[T-1] * threshold

    It holds if every current is at most the threshold, of any sign, and the membrane starts below
    it: then no step has more than one spike. For a larger current it fails: the neuron emits one
    spike and keeps the rest, the formula emits two at once (z = 2). That is not checked, since
    currents may be traced. With a leak there is no such formula. On a CPU `unroll` is faster.

    U grows with time. In float32 a spike may come a step early or late where U is within rounding
    of a multiple of the threshold, but none is lost; the sums should stay below 1e6 thresholds.

    Args:
      params: thresholds, shape [] or [N], differentiable.
      state: membrane potential below the threshold, shape [..., N]; differentiable.
      currents: input, floating, at most the threshold, shape [T, ..., N]; differentiable.
      spike: surrogate, used only for its derivative: firing is at U >= n * threshold, never strict.
      reset: `subtract`, or `detach(subtract)`.
      method, differentiate: for the recurrence of the gradient, as in `lif_fixed_point`.

    Returns:
      The last state, and spikes of shape [T, ..., N] and the dtype of `currents`.

    Raises:
      TypeError: currents not floating, or wider than the membrane. ValueError: shapes do not fit,
      or an unsupported reset.

    >>> from snnjax.neurons import if_init
    >>> currents = jnp.array([[0.75], [-0.5], [0.75], [1.0]])
    >>> state, z = if_closed_form(IFParams(1.0), if_init((1,)), currents)
    >>> z[:, 0].tolist(), float(state.v[0])
    ([0.0, 0.0, 1.0, 1.0], 0.0)
    """
    if reset not in SOFT:
        raise ValueError(
            "`reset` must be subtract or detach(subtract): a hard reset has no closed form; got "
            f"{getattr(reset, '__name__', reset)!r}. Use lif_fixed_point with decay 1, or unroll."
        )
    x = as_currents(currents, state.v)
    threshold = as_param(params.threshold, state.v)
    total = lax.stop_gradient(state.v + jnp.cumsum(x, axis=0))
    fixed = lax.stop_gradient(threshold)
    count = jnp.maximum(lax.cummax(_multiples(total, fixed)), 0.0)
    before = shift(count, jnp.zeros_like(count[0]))
    u = attach_gradient(
        total - fixed * before,
        as_param(1.0, x),
        x,
        threshold,
        state.v,
        spike=spike,
        reset=reset,
        method=method,
        differentiate=differentiate,
        name="if_closed_form",
    )
    fired = spike(u - threshold)
    # the value of `count - before` with the derivative of `fired`
    z = count - before + (fired - lax.stop_gradient(fired))
    return IFState(reset(u[-1], z[-1], threshold)), z.astype(jnp.asarray(currents).dtype)


def _multiples(total: Array, threshold: Array) -> Array:
    """The number of thresholds reached, corrected where the quotient rounds past a multiple."""
    count = jnp.floor(total / threshold)
    count = jnp.where(total - count * threshold < 0, count - 1.0, count)
    return jnp.where(total - (count + 1.0) * threshold >= 0, count + 1.0, count)
