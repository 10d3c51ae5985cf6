"""The gradient of a membrane that was not computed step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from snnjax.neurons.reset import Reset
from snnjax.unroll.linear import (
    check_differentiate,
    linear_recurrence,
    naming_the_switch,
    shift,
)
from snnjax.unroll.recurrences import CONSTANT
from snnjax.unroll.unroll import vary_like


class _Plan(NamedTuple):
    """The static arguments."""

    spike: Callable[..., Array]
    reset: Reset
    method: str | None


def attach_gradient(
    u: Array,
    decay: Array,
    x: Array,
    threshold: Array,
    v: Array,
    *,
    spike: Callable[[Array], Array],
    reset: Reset,
    method: str | None,
    differentiate: str,
    name: str,
) -> Array:
    """`u` unchanged, with the gradient of the recurrence that it solves.

        u[t] = decay * r(u[t-1]) + x[t],   r(u) = reset(u, spike(u - threshold), threshold)

    With r(u[-1]) = v. Given u, its derivatives are a linear recurrence with factors decay * r'(u):

        y[t]     = dL/du[t] + decay * r'(u[t]) * y[t+1]
        dL/dx    = y
        dL/ddecay     = sum_t y[t] r(u[t-1])
        dL/dthreshold = sum_t y[t] decay * dr(u[t-1])/dthreshold
        dL/dv    = decay * y[0]

    where r' is 1 - threshold * g for `subtract`, 1 - z - u g for `zero` (g the derivative of
    `spike`), and without the terms in g when the reset is detached. It is derived from `reset` and
    `spike` themselves. Only u is stored.

    Args:
      u: membrane before the reset, [T, ..., N]; its own gradient is dropped.
      decay, threshold: [] or [N]. x: [T, ..., N]. v: [..., N]. All of one dtype.
      spike, reset: as in `lif_step`.
      method: see `linear_recurrence`; one for constant decays is replaced by "associative".
      differentiate: "fast" for the reverse rule above; "both" for a forward rule that JAX
        transposes for reverse mode.
      name: the function to name in the error for forward mode with "fast".
    """
    check_differentiate(differentiate)
    u, decay, x, threshold, v = vary_like((lax.stop_gradient(u), decay, x, threshold, v), ())
    fire, constants = jax.closure_convert(spike, u)
    plan = _Plan(fire, reset, "associative" if method in CONSTANT else method)
    if differentiate == "both":
        return _both(plan, constants, u, decay, x, threshold, v)
    with naming_the_switch(name):
        return _fast(plan, constants, u, decay, x, threshold, v)


def _after(plan: _Plan, constants: list, u: Array, threshold: Array) -> Array:
    """The membrane after the reset."""
    return plan.reset(u, plan.spike(u - threshold, *constants), threshold)


def _charge(plan: _Plan, constants, u: Array, decay: Array, threshold: Array, v: Array) -> Array:
    """The contribution of the previous step to each step, as a function of all but the input."""
    return decay * shift(_after(plan, constants, u, threshold), v)


def _slope(plan: _Plan, constants, u: Array, threshold: Array) -> Array:
    """r'(u)."""
    return jax.jvp(lambda h: _after(plan, constants, h, threshold), (u,), (jnp.ones_like(u),))[1]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fast(plan, constants, u, decay, x, threshold, v):
    return u


def _forward(plan, constants, u, decay, x, threshold, v):
    u = _fast(plan, constants, u, decay, x, threshold, v)
    return u, (constants, u, decay, threshold, v)


def _backward(plan, residuals, grad):
    constants, u, decay, threshold, v = residuals
    factor = decay * _slope(plan, constants, u, threshold)
    y = linear_recurrence(factor, grad, method=plan.method, reverse=True)
    _, pull = jax.vjp(partial(_charge, plan, constants, u), decay, threshold, v)
    d_decay, d_threshold, d_v = pull(y)
    return None, None, d_decay, y, d_threshold, d_v


_fast.defvjp(_forward, _backward)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _both(plan, constants, u, decay, x, threshold, v):
    return u


@_both.defjvp
def _both_jvp(plan, primals, tangents):
    constants, _, decay, _, threshold, v = primals
    _, _, d_decay, d_x, d_threshold, d_v = tangents
    u = _both(plan, *primals)
    charge = partial(_charge, plan, constants, u)
    _, direct = jax.jvp(charge, (decay, threshold, v), (d_decay, d_threshold, d_v))
    factor = decay * _slope(plan, constants, u, threshold)
    factor = shift(factor, jnp.zeros_like(v))
    return u, linear_recurrence(factor, direct + d_x, method=plan.method, differentiate="both")
