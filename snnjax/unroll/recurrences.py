"""Ways to compute a linear recurrence; `linear_recurrence` chooses and differentiates."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from snnjax.unroll.time_axis import state_before

METHODS = ("scan", "associative", "chunked", "toeplitz", "fft")
CONSTANT = ("toeplitz", "fft")  # methods for constant decays only


class Plan(NamedTuple):
    """How a recurrence is computed; all fields are static."""

    method: str
    chunk: int
    reverse: bool
    varies: bool  # whether the decay has a time axis
    time_axis: str | None = None  # mesh axis over which time is sharded


def run(plan: Plan, decay: Array, x: Array, initial: Array) -> Array:
    """All states; decay [...] or [T, ...], x [T, ...], initial [...], all of one dtype."""
    if plan.time_axis is not None:
        return _over_devices(decay, x, initial, plan, plan.time_axis)
    if plan.method == "scan":
        return _scan(decay, x, initial, plan)
    if plan.reverse:
        decay, x = jnp.flip(decay, 0) if plan.varies else decay, jnp.flip(x, 0)
    if plan.method == "chunked":
        h = _chunked(decay, x, initial, plan)
    elif plan.method == "associative":
        reach, h = _associative(_in_time(decay, x, plan), x)
        h = h + reach * initial
    elif plan.method == "toeplitz":
        h = _toeplitz(decay, x) + _powers(decay, len(x) + 1)[1:] * initial
    else:
        h = _fft(decay, x) + _powers(decay, len(x) + 1)[1:] * initial
    return jnp.flip(h, 0) if plan.reverse else h


def _over_devices(decay: Array, x: Array, initial: Array, plan: Plan, time_axis: str) -> Array:
    """The chunk of this device from zero, plus the contribution of the state before it."""
    local = run(plan._replace(time_axis=None), decay, x, jnp.zeros_like(initial))
    if plan.varies:
        reach = lax.cumprod(decay, reverse=plan.reverse)
    else:
        reach = _powers(decay, len(x) + 1)[1:]
        reach = jnp.flip(reach, 0) if plan.reverse else reach
    end = 0 if plan.reverse else -1
    before = state_before(
        reach[end],
        local[end],
        initial,
        time_axis,
        reverse=plan.reverse,
        varies=plan.varies,
    )
    return local + reach * before


def _scan(decay: Array, x: Array, initial: Array, plan: Plan) -> Array:
    def step(h, inputs):
        a, b = inputs if plan.varies else (decay, inputs)
        h = a * h + b
        return h, h

    xs = (decay, x) if plan.varies else x
    return lax.scan(step, initial, xs, reverse=plan.reverse)[1]


def _associative(decay: Array, x: Array, axis: int = 0) -> tuple[Array, Array]:
    """Cumulative products of the decays, and states from a zero initial state."""

    def join(first, second):
        (a, b), (c, d) = first, second
        return a * c, c * b + d

    return lax.associative_scan(join, (decay, x), axis=axis)


def _chunked(decay: Array, x: Array, initial: Array, plan: Plan) -> Array:
    steps, size = len(x), min(plan.chunk, len(x))
    count = -(-steps // size)

    def split(values):
        padded = jnp.pad(values, ((0, count * size - steps), *((0, 0),) * (values.ndim - 1)))
        return padded.reshape(count, size, *values.shape[1:])

    pieces = split(x)
    if plan.varies:
        reach, local = _associative(split(decay), pieces, axis=1)
    else:
        local = jax.vmap(partial(_toeplitz, decay))(pieces)
        powers = _powers(decay, size + 1)[1:]
        reach = jnp.broadcast_to(powers, (count, *powers.shape))

    def join(carry, last):
        a, b = last
        return a * carry + b, carry

    _, carried = lax.scan(join, initial, (reach[:, -1], local[:, -1]))
    h = local + reach * carried[:, None]
    return h.reshape(count * size, *h.shape[2:])[:steps]


def _toeplitz(decay: Array, x: Array) -> Array:
    """States from a zero initial state, as a product with the lower triangle of decay^(t - s)."""
    steps = len(x)
    lag = np.arange(steps)[:, None] - np.arange(steps)
    below = (lag >= 0).reshape(steps, steps, *(1,) * decay.ndim)
    kernel = jnp.where(below, _powers(decay, steps)[np.maximum(lag, 0)], jnp.zeros((), x.dtype))
    # leading axes of x that the decay does not have share a kernel
    own = next((i for i, n in enumerate(decay.shape) if n > 1), decay.ndim)
    shape = np.broadcast_shapes(decay.shape[own:], x.shape[1 + own :])
    kernel = jnp.broadcast_to(
        kernel.reshape(steps, steps, *decay.shape[own:]), (steps,) * 2 + shape
    )
    h = jnp.einsum(
        "tsn,sbn->tbn",
        kernel.reshape(steps, steps, -1),
        x.reshape(steps, -1, int(np.prod(shape))),
        precision=lax.Precision.HIGHEST,
    )
    return h.reshape(x.shape)


def _fft(decay: Array, x: Array) -> Array:
    """States from a zero initial state, as a convolution with decay^t over 2T points."""
    steps, real = len(x), jnp.issubdtype(x.dtype, jnp.floating)
    there, back = (jnp.fft.rfft, jnp.fft.irfft) if real else (jnp.fft.fft, jnp.fft.ifft)
    kernel = there(_powers(decay, steps), 2 * steps, axis=0)
    return back(there(x, 2 * steps, axis=0) * kernel, 2 * steps, axis=0)[:steps]


def _powers(decay: Array, count: int) -> Array:
    """Decay to the power 0 .. count - 1, [count, ...]."""
    factors = jnp.broadcast_to(decay, (count - 1, *decay.shape))
    return jnp.cumprod(jnp.concatenate([jnp.ones_like(decay)[None], factors]), axis=0)


def _in_time(decay: Array, x: Array, plan: Plan) -> Array:
    return decay if plan.varies else jnp.broadcast_to(decay, (len(x), *decay.shape))
