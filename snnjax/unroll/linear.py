"""Linear recurrences over time, step by step or in parallel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.unroll.recurrences import CONSTANT, METHODS, Plan, run
from snnjax.unroll.time_axis import check_time_axis, from_before
from snnjax.unroll.unroll import _length, vary_like


def linear_recurrence(
    decay: ArrayLike,
    x: ArrayLike,
    initial: ArrayLike | None = None,
    *,
    method: str | None = None,
    chunk: int = 64,
    reverse: bool = False,
    differentiate: str = "fast",
    time_axis: str | None = None,
) -> Array:
    """All states of h[t] = decay[t] * h[t-1] + x[t], with h[-1] = initial.

    With `reverse`, h[t] = decay[t] * h[t+1] + x[t] and h[T] = initial. All methods give the same
    values up to rounding, for real and complex decays, including 0 and those above 1:

    * "scan": step by step. Always the fastest on a CPU.
    * "associative": `lax.associative_scan` of (a, b), (a', b') -> (a a', a' b + b').
    * "chunked": inside chunks, all in parallel, a triangular matrix product (or, for a decay that
      varies in time, an associative scan); then a scan over the last states of the chunks.
    * "toeplitz": one triangular matrix product [T, T]. Constant decays only.
    * "fft": a convolution with the powers of the decay. Constant decays only; its rounding error
      is relative to the largest state, not to each, and is not causal.
    * None: "scan" on a CPU; elsewhere "chunked", or "associative" for a decay that varies in time.

    Decays are only multiplied; no division and no logarithm is taken. So only negligible terms
    underflow, and a decay of 0 (a hard reset) is exact.

    Args:
      decay: constant if it has fewer axes than `x`, broadcastable to [...]; with as many axes as
        `x` it varies in time, of a shape [T, ...] broadcastable to the shape of `x`.
      x: input, floating or complex, [T, ...].
      initial: state before the first step, broadcastable to [...]; None for zeros.
      method: see above; static.
      chunk: chunk length for "chunked".
      reverse: whether time runs backwards.
      differentiate: "fast" has a custom reverse rule, a recurrence in the opposite direction that
        stores only the states; it has no forward mode. "both" is plain autodiff, for `jax.jvp`,
        `jax.hessian` and the like. Under `jax.jit` forward mode through "fast" raises JAX's error
        "can't apply forward-mode autodiff (jvp) to a custom_vjp function", which means that
        "both" is needed.
      time_axis: mesh axis over which time is sharded, inside `jax.shard_map`: `x`, and a decay
        that varies in time, are this device's chunk of the sequence, and `initial` is the state
        before the full sequence. Each device computes its chunk from zero, gathers the last states
        of all chunks (and their decay products, if the decay varies), and adds the contribution of
        the state before its chunk. The gradient sends the same amount, and one state to the
        neighbour.

    Returns:
      States [T, ...], in the widest dtype of `x` and `initial` and at least float32, complex if
      anything is; `decay` is cast to it. To continue, pass the last state as `initial`.

    Raises:
      TypeError: `x` not floating or complex. ValueError: T = 0, shapes that do not fit, an unknown
      method, one that needs a constant decay, or a `time_axis` that is not manual here.

    Blelloch, "Prefix sums and their applications", 1990; Martin and Cundy, "Parallelizing linear
    recurrent neural nets over sequence length", ICLR 2018.

    >>> linear_recurrence(0.5, jnp.array([1.0, 0.0, 1.0]), 4.0).tolist()
    [3.0, 1.5, 1.75]

    Over the devices of a mesh, here of one:

    >>> from functools import partial
    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((1,), ("time",), axis_types=(jax.sharding.AxisType.Auto,))
    >>> run = partial(linear_recurrence, 0.5, time_axis="time")
    >>> over = jax.shard_map(run, mesh=mesh, in_specs=P("time"), out_specs=P("time"))
    >>> over(jnp.array([1.0, 0.0, 1.0])).tolist()
    [1.0, 0.5, 1.25]
    """
    decay, x, initial = _as_arrays(decay, x, initial)
    varies = decay.ndim == x.ndim
    plan = Plan(pick_method(method, varies), chunk, reverse, varies, time_axis)
    _check_plan(plan, differentiate)
    if differentiate == "both":
        return run(plan, decay, x, initial)
    with naming_the_switch("linear_recurrence"):
        return _run_fast(plan, decay, x, initial)


def pick_method(method: str | None, varies: bool) -> str:
    """The given method, or the one for this backend."""
    if method is not None:
        return method
    if jax.default_backend() == "cpu":
        return "scan"
    return "associative" if varies else "chunked"


@contextmanager
def naming_the_switch(function: str) -> Iterator[None]:
    """Raise an error that names the argument to change when forward mode is not supported."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise TypeError(
            f'forward-mode differentiation of {function} needs differentiate="both"; the default '
            '"fast" has a reverse rule only.'
        ) from error


# --- the reverse rule: one recurrence in the opposite direction ---


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run_fast(plan: Plan, decay: Array, x: Array, initial: Array) -> Array:
    return run(plan, decay, x, initial)


def _forward(plan, decay, x, initial):
    h = _run_fast(plan, decay, x, initial)
    return h, (decay, initial, h)


def _backward(plan, residuals, grad):
    decay, initial, h = residuals
    ahead = decay
    if plan.varies:
        ahead = shift(decay, jnp.zeros_like(decay[0]), not plan.reverse, plan.time_axis)
    other = plan._replace(reverse=not plan.reverse)
    dx = _run_fast(other, ahead, grad, jnp.zeros_like(initial))
    _, pull = jax.vjp(
        lambda a, start: a * shift(h, start, plan.reverse, plan.time_axis), decay, initial
    )
    d_decay, d_initial = pull(dx)
    return d_decay, dx, d_initial


_run_fast.defvjp(_forward, _backward)


def shift(h: Array, first: Array, reverse: bool = False, time_axis: str | None = None) -> Array:
    """The states one step earlier, [first, h[0], ..., h[T-2]]; with `reverse` one step later."""
    if time_axis is not None:
        first = from_before(h[0] if reverse else h[-1], first, time_axis, reverse)
    parts = (h[1:], first[None]) if reverse else (first[None], h[:-1])
    return jnp.concatenate(parts)


# --- checks ---


def _as_arrays(
    decay: ArrayLike, x: ArrayLike, initial: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Arguments in one dtype: the decay with the axes of `x` or one less, `initial` broadcast."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(
            f"`x` must be floating point or complex; got {x.dtype}. "
            "Cast it first, for instance with .astype(jnp.float32)."
        )
    _length(x)
    dtype = np.promote_types(x.dtype, np.float32)
    if initial is not None and hasattr(initial, "dtype"):
        dtype = np.promote_types(dtype, jnp.asarray(initial).dtype)
    if jnp.iscomplexobj(decay) or jnp.iscomplexobj(initial):
        dtype = np.promote_types(dtype, np.complex64)
    decay, x = jnp.asarray(decay, dtype), x.astype(dtype)
    wanted = x.shape if decay.ndim == x.ndim else x.shape[1:]
    _check_shape("decay", decay, wanted, x.shape)
    if decay.ndim == x.ndim and len(decay) != len(x):
        raise ValueError(
            f"`decay` has {x.ndim} axes, like `x`, so its first is time: it needs T = {len(x)} "
            f"steps; got shape {decay.shape}. Drop that axis for a constant decay."
        )
    if decay.ndim < x.ndim:
        decay = decay.reshape((1,) * (x.ndim - 1 - decay.ndim) + decay.shape)
    start = jnp.zeros((), dtype) if initial is None else jnp.asarray(initial, dtype)
    _check_shape("initial", start, x.shape[1:], x.shape)
    return vary_like((decay, x, jnp.broadcast_to(start, x.shape[1:])), ())


def _check_shape(name: str, value: Array, wanted: tuple[int, ...], shape: tuple[int, ...]) -> None:
    try:
        fits = jnp.broadcast_shapes(value.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"`{name}` has shape {value.shape}, which does not broadcast to {wanted}, where `x` "
            f"has {shape} with time first."
        )


def _check_plan(plan: Plan, differentiate: str) -> None:
    if plan.method not in METHODS:
        raise ValueError(
            f"`method` must be None or one of {', '.join(METHODS)}; got {plan.method!r}."
        )
    if plan.varies and plan.method in CONSTANT:
        raise ValueError(
            f'method="{plan.method}" needs a constant decay, but this one varies in time. '
            'Use "scan", "associative" or "chunked".'
        )
    if plan.chunk < 1:
        raise ValueError(f"`chunk` must be at least 1; got {plan.chunk}.")
    check_differentiate(differentiate)
    check_time_axis(plan.time_axis)


def check_differentiate(differentiate: str) -> None:
    """Raise unless `differentiate` is "fast" or "both"."""
    if differentiate not in ("fast", "both"):
        raise ValueError(f'differentiate must be "fast" or "both"; got {differentiate!r}.')
