"""Shared by all neurons: checks of currents and parameters, and decays from time constants."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.surrogates.core import compute_dtype


def as_current(current: ArrayLike, v: Array) -> Array:
    """The input current in the membrane's dtype, checked to broadcast to its shape.

    Args:
      current: input of one step, floating point, broadcastable to the shape of `v`.
      v: membrane potential.

    Raises:
      TypeError: when `current` is not floating, or wider than the membrane (which would narrow it).
      ValueError: when `current` does not broadcast to the shape of `v`.
    """
    current = jnp.asarray(current)
    if not jnp.issubdtype(current.dtype, jnp.floating):
        raise TypeError(
            f"`current` must be floating point; got {current.dtype}. "
            "Cast it first, for instance with .astype(jnp.float32)."
        )
    if jnp.finfo(current.dtype).bits > jnp.finfo(v.dtype).bits:
        raise TypeError(
            f"`current` is {current.dtype} but the membrane {v.dtype}: adding it would narrow it. "
            f"Make the state with dtype={current.dtype}, or cast the current."
        )
    if not _fits(current, v):
        raise ValueError(
            f"`current` has shape {current.shape}, which does not fit the membrane's {v.shape}. "
            "Make the state with the shape of one step of the input, [B, ..., N]."
        )
    return current.astype(v.dtype)


class Range(NamedTuple):
    """The valid range of a parameter: between `low` and `high`, inclusive if `closed`."""

    low: ArrayLike = -math.inf
    high: float = math.inf
    closed: bool = False

    def check(self, name: str, value: ArrayLike) -> None:
        """Raise for a concrete value outside the range; traced values pass.

        Raises:
          ValueError: some entries of `value` lie outside, or are NaN.
        """
        known = concrete(value)
        if known is None:
            return
        above = (known > self.low) | (self.closed & (known == self.low))
        below = (known < self.high) | (known == self.high if self.closed else math.isinf(self.high))
        if not np.all(above & below):
            low, high = (str(limit) if np.ndim(limit) else f"{limit:g}" for limit in self[:2])
            limits = f"[{low}, {high}]" if self.closed else f"({low}, {high})"
            wanted = f"lie in {limits}" if math.isfinite(self.high) else f"be above {low}"
            raise ValueError(f"`{name}` must {wanted}; got {value}.")


ABOVE_0 = Range(low=0.0)
SHARE = Range(0.0, 1.0, closed=True)
FACTOR = Range(-1.0, 1.0, closed=True)
"""Decays of one step: at 1 nothing leaks, below 0 (forward Euler, dt > tau) the sign alternates."""


def above(v_rest: ArrayLike) -> Range:
    """The valid range of a threshold of neurons that rest at `v_rest`."""
    known = concrete(v_rest)
    return Range(low=-math.inf if known is None else known)


def as_param(value: ArrayLike, v: Array, name: str = "", within: Range | None = None) -> Array:
    """A parameter in the membrane's dtype; if `name` is given, it must broadcast to its shape.

    Raises:
      ValueError: a named parameter does not fit the shape of `v`, or would enlarge it; or a
        concrete one lies outside `within`.
    """
    if within is not None:
        within.check(name, value)
    value = jnp.asarray(value, v.dtype)
    if name and not _fits(value, v):
        raise ValueError(
            f"`{name}` has shape {value.shape}, which does not broadcast to the state's {v.shape}. "
            "Give a number, or one per neuron, [N] as the state's last axis, or make the state "
            "larger."
        )
    return value


def as_params(params: Any, v: Array, **within: Range) -> Any:
    """The parameters of a neuron, a NamedTuple, in the membrane's dtype.

    Args:
      params: parameters by field. v: membrane potential. within: valid ranges, by field name.

    Raises:
      ValueError: a parameter does not broadcast to the shape of `v`, or is concrete and lies
        outside its range; the message names it.
    """
    named = params._asdict().items()
    return type(params)(*(as_param(value, v, name, within.get(name)) for name, value in named))


def as_arrays(params: Any) -> Any:
    """The parameters of a neuron, a NamedTuple of arrays, NumPy arrays or lists, as arrays."""
    return type(params)(*map(jnp.asarray, params))


def _fits(value: Array, v: Array) -> bool:
    """Whether `value` broadcasts to the shape of `v` without enlarging it."""
    try:
        return jnp.broadcast_shapes(value.shape, v.shape) == v.shape
    except ValueError:
        return False


def concrete(x: ArrayLike) -> np.ndarray | None:
    """The values of `x` on the host, or None while it is being traced."""
    try:
        return np.asarray(x)
    except jax.errors.TracerArrayConversionError:
        return None


def positive(name: str, value: ArrayLike) -> Array:
    """A parameter of at least float32; integers become the default float dtype.

    Raises:
      ValueError: it is concrete, and not finite and above 0.
    """
    known = concrete(value)
    if known is not None and not np.all(np.isfinite(known) & (known > 0)):
        raise ValueError(f"`{name}` must be finite and above 0; got {value}.")
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value.astype(float)
    return value.astype(compute_dtype(value.dtype))


def exact(tau: ArrayLike, dt: ArrayLike = 1.0) -> Array:
    """The factor by which a membrane decays in a step, solved exactly: exp(-dt / tau).

    Args:
      tau: time constant above 0, any shape, in the unit of `dt`.
      dt: length of a step.

    Returns:
      Decays in (0, 1), at least float32. Only concrete values are checked, never traced ones.

    Warns:
      UserWarning: dt exceeds tau, so that little of the membrane is left after a step; often they
        are in different units.

    >>> round(float(exact(20.0)), 4)
    0.9512
    """
    known_tau, known_dt = concrete(tau), concrete(dt)
    tau, dt = positive("tau", tau), positive("dt", dt)
    if known_tau is not None and known_dt is not None and np.any(known_dt > known_tau):
        left = float(np.exp(-np.max(known_dt / known_tau)))
        warnings.warn(
            f"`dt` exceeds `tau`: a membrane keeps exp(-dt/tau) = {left:.2g} of itself in a step; "
            f"got dt={known_dt} with tau={known_tau}. Give both in one unit, such as tau=20.0 and "
            "dt=1.0 in ms.",
            UserWarning,
            stacklevel=2,
        )
    return jnp.exp(-dt.astype(tau.dtype) / tau)


def time_constant(decay: ArrayLike, dt: ArrayLike = 1.0) -> Array:
    """The time constant of a decay of one step, -dt / ln(decay): the inverse of `exact`.

    It converts the decays (beta, alpha) that other libraries use instead of time constants:
    snnTorch's Leaky(beta=0.9) has tau=time_constant(0.9).

    Args:
      decay: in (0, 1), any shape. dt: length of a step.

    Returns:
      Time constants in the unit of `dt`, at least float32.

    Raises:
      ValueError: a concrete decay outside (0, 1).

    >>> round(float(time_constant(0.9)), 4), round(float(exact(time_constant(0.9))), 4)
    (9.4912, 0.9)
    """
    Range(0.0, 1.0).check("decay", decay)
    decay, dt = jnp.asarray(decay, float), positive("dt", dt)
    return -dt.astype(decay.dtype) / jnp.log(decay)


def leak(decay: Array, v: Array, v_rest: ArrayLike) -> Array:
    """The membrane after a step without input: v_rest + decay * (v - v_rest)."""
    if isinstance(v_rest, (int, float)) and v_rest == 0:
        return decay * v
    v_rest = as_param(v_rest, v, "v_rest")
    return v_rest + decay * (v - v_rest)


def euler(tau: ArrayLike, dt: ArrayLike = 1.0) -> Array:
    """The factor by which a membrane decays in a forward-Euler step: 1 - dt / tau.

    For dt between tau and 2 tau it is negative: the membrane decays with alternating sign.

    Args:
      tau: time constant above dt / 2, at best at least dt, any shape, in the unit of `dt`.
      dt: length of a step.

    Returns:
      Decays in (-1, 1), at least float32. Only concrete values are checked, never traced ones.

    Raises:
      ValueError: dt is 2 tau or more, for which the membrane does not decay.

    Warns:
      UserWarning: dt exceeds tau.

    >>> float(euler(2.0))
    0.5
    """
    known_tau, known_dt = concrete(tau), concrete(dt)
    tau, dt = positive("tau", tau), positive("dt", dt)
    if known_tau is not None and known_dt is not None and np.any(known_dt > known_tau):
        given = f"got dt={known_dt} with tau={known_tau}. Use a smaller dt, or exact(tau, dt)."
        if np.any(known_dt >= 2 * known_tau):
            raise ValueError(
                f"`dt` must be below 2 `tau`: otherwise the decay 1 - dt/tau is -1 or less and "
                f"the membrane grows; {given}"
            )
        warnings.warn(
            f"`dt` exceeds `tau`: the Euler decay 1 - dt/tau is negative; {given}",
            UserWarning,
            stacklevel=2,
        )
    return 1.0 - dt.astype(tau.dtype) / tau
