"""Gradients over time with memory for a window of steps only: online rules and truncated BPTT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from snnjax.unroll.unroll import State, Step, _length, time_arrays, unroll, vary_like

LossStep = Callable[[Any, State, Any], tuple[State, Any]]


def unroll_truncated(
    step: Step, state: State, xs: Any, *, window: int, **options: Any
) -> tuple[State, Any]:
    """`unroll`, with no gradient through the state from one window of steps to the next.

        state, out[t] = step(stop_gradient(state), xs[t])     t = K, 2K, 3K, ...
        state, out[t] = step(state, xs[t])                    all other t

    Values equal those of `unroll`; gradients are those of truncated backpropagation through time,
    and with window >= T the full ones. Memory is the same as for `unroll`; for memory that does
    not grow with T use `online_gradient`.

    Args:
      step, state, xs: as for `unroll`.
      window: K, at least 1. With 1 no gradient passes through time.
      **options: `checkpoint` and `record` of `unroll`; not `reverse`.

    Williams and Peng, "An efficient gradient-based algorithm for on-line training of recurrent
    network trajectories", Neural Computation 1990.

    >>> def last(x, window):
    ...     return unroll_truncated(lambda s, x: (s + x, s), 0.0, x, window=window)[0]
    >>> jax.grad(last)(jnp.zeros(5), 2).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0]
    """
    _check_window(window)
    if options.get("reverse"):
        raise ValueError("windows are counted from the first step; `reverse` is not supported.")
    xs = time_arrays(xs)
    time = jnp.arange(_length(xs))
    boundary = (time % window == 0) & (time > 0)

    def body(state: State, x: Any) -> tuple[State, Any]:
        stop, x = x
        kept = jax.tree.map(lambda s: jnp.where(stop, lax.stop_gradient(s), s), state)
        return step(kept, x)

    return unroll(body, state, (boundary, xs), **options)


def online_gradient(
    step: LossStep, params: Any, state: State, xs: Any, *, window: int = 1, has_aux: bool = False
) -> tuple[State, Any, Any]:
    """The gradient of a sum of losses over time, accumulated during the forward pass.

        for each window of K steps:
            state <- stop_gradient(state)
            grads <- grads + d/dparams sum_{t in window} loss_t

    Only `state` and `grads` are kept from window to window, so memory does not grow with T.
    The gradient is

        window=1    one step at a time (SLTT); OTTT and e-prop with a step built from `ottt_step` or
                    `eprop_step`, whose traces represent the past
        window=K    truncated backpropagation through time
        window>=T   backpropagation through time, with its memory

    The loss must be a sum over steps. A loss of the maximum or mean membrane over time is not
    supported, nor a step that mixes time steps, such as batch norm over T*B in training.

    Args:
      step: `step(params, state, x) -> (state, loss)`, the loss of this step a scalar; with
        `has_aux` `-> (state, (loss, aux))`. Targets are part of x.
      params: pytree of floating arrays to differentiate with respect to.
      state: initial state, a pytree of arrays.
      xs: inputs, and targets if they change with time, a pytree of arrays [T, ...].
      window: K, at least 1; the last window may be shorter.
      has_aux: whether the step returns auxiliary output in addition to its loss.

    Returns:
      The last state; gradients shaped like `params`, summed in at least float32; losses [T], with
      `has_aux` the pair of losses and aux stacked in time.

    Inside `jax.shard_map` gradients are those of `jax.grad` there, with one sum over devices at the
    end: for parameters replicated on all devices, the gradient of the sum of their losses.

    >>> def step(w, v, x):
    ...     v = 0.5 * v + w * x
    ...     return v, v
    >>> v, grad, losses = online_gradient(step, 2.0, 0.0, jnp.ones(3), window=3)
    >>> float(v), float(grad), losses.tolist()
    (3.5, 4.25, [2.0, 3.0, 3.5])
    >>> float(online_gradient(step, 2.0, 0.0, jnp.ones(3))[1])
    3.0
    """
    params, state = jax.tree.map(jnp.asarray, (params, state))
    xs = time_arrays(xs)
    local, pull = jax.vjp(lambda params: vary_like(params, (state, xs)), params)

    def body(carry: Any, chunk: Any) -> tuple[Any, Any]:
        state, sums = carry
        grads, (state, out) = _window_gradient(step, local, state, chunk, has_aux)
        return (state, jax.tree.map(lambda a, g: a + g.astype(a.dtype), sums, grads)), out

    zeros = jax.tree.map(_accumulator, local)
    state = vary_like(state, xs)
    (state, sums), out = _windows(body, (state, zeros), xs, window)
    grads = jax.tree.map(lambda p, g: g.astype(p.dtype), local, sums)
    return state, pull(grads)[0], out


def online_update(
    step: LossStep,
    update: Callable[[Any, Any, Any], tuple[Any, Any]],
    params: Any,
    memory: Any,
    state: State,
    xs: Any,
    *,
    window: int = 1,
    has_aux: bool = False,
) -> tuple[Any, Any, State, Any]:
    """Online training: the gradient of each window updates the parameters after that window.

        for each window of K steps:
            grads <- d/dparams sum_{t in window} loss_t,    from stop_gradient(state)
            params, memory <- update(params, memory, grads)

    Args:
      step, params, state, xs, window, has_aux: as for `online_gradient`.
      update: for instance, of an optax optimiser, `updates, memory = opt.update(grads, memory,
        params)` and then `(optax.apply_updates(params, updates), memory)`.
      memory: state of the optimiser.

    Returns:
      The parameters, the memory and the state at the end, and losses as from `online_gradient`.

    Inside `jax.shard_map` `update` receives the gradient that `jax.grad` gives there: for
    replicated parameters it is summed over devices in every window.

    >>> def step(w, v, x):
    ...     return v, (w - x) ** 2
    >>> def sgd(w, memory, g):
    ...     return w - 0.25 * g, memory
    >>> float(online_update(step, sgd, 0.0, None, 0.0, jnp.ones(2))[0])
    0.75
    """
    params, memory, state = jax.tree.map(jnp.asarray, (params, memory, state))
    xs = time_arrays(xs)

    def body(carry: Any, chunk: Any) -> tuple[Any, Any]:
        params, memory, state = carry
        grads, (state, out) = _window_gradient(step, params, state, chunk, has_aux)
        params, memory = update(params, memory, grads)
        return (params, memory, state), out

    carry = (params, memory, vary_like(state, (params, xs)))
    (params, memory, state), out = _windows(body, carry, xs, window)
    return params, memory, state, out


def _window_gradient(
    step: LossStep, params: Any, state: State, chunk: Any, has_aux: bool
) -> tuple[Any, tuple[State, Any]]:
    """Gradients of the losses of one window, the state after it, and the outputs of the steps."""

    def total(params: Any) -> tuple[Array, tuple[State, Any]]:
        after, out = unroll(partial(step, params), lax.stop_gradient(state), chunk)
        losses = out[0] if has_aux else out
        if losses.ndim != 1:
            raise ValueError(
                f"the loss of a step must be a scalar; got shape {losses.shape[1:]}. Sum or "
                "average it over the batch."
            )
        return losses.sum(), (after, out)

    return jax.grad(total, has_aux=True)(params)


def _windows(body: Step, carry: Any, xs: Any, window: int) -> tuple[Any, Any]:
    """Scan `body` over full windows of steps, then apply it to the shorter remaining one."""
    _check_window(window)
    steps = _length(xs)
    if window == 1:  # a reshape to [T, 1, ...] would make XLA copy all of `xs`
        return _single_steps(body, carry, xs)
    window = min(window, steps)
    count = steps // window
    covered = count * window
    windows = jax.tree.map(lambda x: x[:covered].reshape(count, window, *x.shape[1:]), xs)
    carry, out = lax.scan(body, carry, windows)
    out = jax.tree.map(lambda y: y.reshape(covered, *y.shape[2:]), out)
    if covered == steps:
        return carry, out
    carry, rest = body(carry, jax.tree.map(lambda x: x[covered:], xs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), out, rest)


def _single_steps(body: Step, carry: Any, xs: Any) -> tuple[Any, Any]:
    """Scan `body`, which expects windows, over windows of one step."""

    def one(carry: Any, x: Any) -> tuple[Any, Any]:
        carry, out = body(carry, jax.tree.map(lambda x: x[None], x))
        return carry, jax.tree.map(lambda y: y[0], out)

    return lax.scan(one, carry, xs)


def _check_window(window: int) -> None:
    if isinstance(window, bool) or not isinstance(window, int):
        raise TypeError(f"`window` must be an int; got {window!r}.")
    if window < 1:
        raise ValueError(f"`window` must be at least 1 step; got {window}.")


def _accumulator(x: Array) -> Array:
    wide = jnp.finfo(x.dtype).bits >= 32
    return jnp.zeros_like(x, dtype=x.dtype if wide else jnp.float32)
