"""LIF neurons with a reset over a full sequence in parallel, by fixed-point iteration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.neurons.lif import LIFParams, LIFState
from snnjax.neurons.membrane import as_param
from snnjax.neurons.parallel.adjoint import attach_gradient
from snnjax.neurons.parallel.sequence import as_currents
from snnjax.neurons.reset import Reset, detach, subtract, zero
from snnjax.surrogates import atan
from snnjax.unroll.linear import linear_recurrence, shift
from snnjax.unroll.unroll import vary_like

Spike = Callable[[Array], Array]
SOFT = (subtract, detach(subtract))
HARD = (zero, detach(zero))


class Convergence(NamedTuple):
    """Result of the fixed-point iteration."""

    iterations: Array  # [], int32: number of passes over the full sequence
    settled: Array  # [], bool: whether the iteration found the solution


def lif_fixed_point(
    params: LIFParams,
    state: LIFState,
    currents: ArrayLike,
    *,
    spike: Spike = atan,
    reset: Reset = subtract,
    scale_input: bool = False,
    k: int | None = None,
    fallback: bool = True,
    method: str | None = None,
    differentiate: str = "fast",
) -> tuple[LIFState, Array, Convergence]:
    """Run LIF neurons with reset over a sequence, in parallel: equals `unroll` of `lif_step`.

    For given spikes the dynamics are linear. From no spikes at all, repeat

        u = all steps of u[t] = decay * (u[t-1] - threshold * z[t-1]) + current[t]     subtract
        u = all steps of u[t] = decay * (1 - z[t-1]) * u[t-1] + current[t]             zero
        z = H(u - threshold)

    until z no longer changes. Then it is the solution, which is unique since z[t] depends on
    earlier spikes only. For the same reason the first k steps are exact after k iterations, and T
    always suffice. The number needed depends on the data: few where decay / (1 - decay) <= 1 or
    firing is sparse, nearly T for decays of 0.9 and more with dense firing. On a CPU `unroll` is
    far faster. With `subtract` even iterates contain only true spikes and odd ones all true spikes;
    a fixed k should be even.

    u is rounded in a different order than in `lif_step`: spikes may differ where u lies within
    rounding of the threshold. The gradient is BPTT through `lif_step`, exact for the spikes
    found: it is one backward recurrence, not one for each iteration. Second derivatives are those
    of forward mode through the scan of `lif_step`.

    Args:
      params: decays and thresholds, shape [] or [N], differentiable; cast to the membrane's dtype.
      state: membrane potential, float32 by default, shape [..., N]; differentiable.
      currents: input, floating, shape [T, ..., N]; differentiable.
      spike: surrogate spike function. Values that it closes over get no gradient.
      reset: `subtract`, `zero`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      k: the largest number of iterations; None for T.
      fallback: whether a scan computes the solution if k iterations did not settle. Without it the
        k-th iterate is returned, which is not a LIF solution where `settled` is false.
      method: see `linear_recurrence`; "fft" is excluded, since it is not causal bit for bit.
      differentiate: "fast" for reverse mode; "both" for forward mode and second derivatives too.

    Returns:
      The last state, spikes in {0, 1} of shape [T, ..., N] and the dtype of `currents`, and how
      the iteration ended, for the full batch.

    Raises:
      TypeError: currents not floating, or wider than the membrane. ValueError: shapes do not fit;
      an unsupported reset; a `k` below 1; method "fft".

    Feng et al., "Efficient parallel training methods for spiking neural networks with constant
    time complexity", ICML 2025, stops at k = 3, learns the matrix and samples spikes, which is not
    done here.

    >>> from snnjax.neurons import lif_init
    >>> currents = jnp.array([[1.5], [0.6], [0.6], [0.6]])
    >>> state, z, how = lif_fixed_point(LIFParams(0.5, 1.0), lif_init((1,)), currents)
    >>> z[:, 0].tolist(), int(how.iterations), round(float(state.v[0]), 3)
    ([1.0, 0.0, 1.0, 0.0], 4, 0.613)
    """
    _check(reset, k, method)
    x = as_currents(currents, state.v)
    decay, threshold = as_param(params.decay, state.v), as_param(params.threshold, state.v)
    x = (1.0 - decay) * x if scale_input else x
    limit = len(x) if k is None else min(k, len(x))
    fixed = lax.stop_gradient(vary_like((decay, x, threshold, state.v), ()))
    u, how = _solve(*fixed, spike=spike, reset=reset, limit=limit, method=method)
    if fallback and limit < len(x):
        by_scan = partial(_step_by_step, spike, reset)
        u = lax.cond(how.settled, lambda *_: u, by_scan, *fixed)
    u = attach_gradient(
        u,
        decay,
        x,
        threshold,
        state.v,
        spike=spike,
        reset=reset,
        method=method,
        differentiate=differentiate,
        name="lif_fixed_point",
    )
    z = spike(u - threshold)
    v = reset(u[-1], z[-1], threshold)
    return LIFState(v), z.astype(jnp.asarray(currents).dtype), how


def _solve(
    decay: Array,
    x: Array,
    threshold: Array,
    v: Array,
    *,
    spike: Spike,
    reset: Reset,
    limit: int,
    method: str | None,
) -> tuple[Array, Convergence]:
    """The membrane before the reset after at most `limit` iterations; T are always enough."""

    def charge(z: Array) -> Array:
        before = shift(z, jnp.zeros_like(v))
        if reset in HARD:
            return linear_recurrence(decay * (1.0 - before), x, v, method=method)
        return linear_recurrence(decay, x - decay * threshold * before, v, method=method)

    def go_on(carry: tuple) -> Array:
        count, settled, _, _ = carry
        return (count < limit) & ~settled

    def iterate(carry: tuple) -> tuple:
        count, _, _, z = carry
        u = charge(z)
        after = spike(u - threshold)
        return count + 1, (after == z).all(), u, after

    start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool), jnp.zeros_like(x), jnp.zeros_like(x))
    count, settled, u, _ = lax.while_loop(go_on, iterate, vary_like(start, x))
    return u, Convergence(count, settled | (count >= len(x)))


def _step_by_step(
    spike: Spike, reset: Reset, decay: Array, x: Array, threshold: Array, v: Array
) -> Array:
    """The membrane before the reset, by a scan."""

    def step(v: Array, current: Array) -> tuple[Array, Array]:
        u = decay * v + current
        return reset(u, spike(u - threshold), threshold), u

    return lax.scan(step, v, x)[1]


def _check(reset: Reset, k: int | None, method: str | None) -> None:
    if reset not in SOFT + HARD:
        raise ValueError(
            "`reset` must be subtract, zero, detach(subtract) or detach(zero); got "
            f"{getattr(reset, '__name__', reset)!r}. Without a reset use lif_reset_free; with "
            "any other, unroll(partial(lif_step, ...))."
        )
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise ValueError(f"`k` must be None or an int of at least 1; got {k!r}.")
    if method == "fft":
        raise ValueError(
            'method="fft" makes the rounding of early steps depend on later ones, so that the '
            'iteration may not end. Use "scan", "associative", "chunked", or, with a soft reset, '
            '"toeplitz".'
        )
