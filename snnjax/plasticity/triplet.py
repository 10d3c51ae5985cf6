"""Spike-timing-dependent plasticity from triplets of spikes."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import exact
from snnjax.neurons.membrane import FACTOR, as_param
from snnjax.plasticity.bounds import Bound, additive
from snnjax.plasticity.coincidence import Coincidence, both
from snnjax.plasticity.product import Product, dense, pairs
from snnjax.plasticity.stdp import STDPParams, STDPState, read_traces, stdp_init
from snnjax.plasticity.trace import Trace, accumulate


class TripletParams(NamedTuple):
    """Parameters of triplet STDP."""

    pair: STDPParams  # A2+, A2- and the decays of the fast traces
    plus: ArrayLike  # [] or [N]: A3+, for each unit of the slow post trace
    minus: ArrayLike  # [] or [M]: A3-, for each unit of the slow pre trace
    pre_decay: ArrayLike  # [] or [M]: decay of the slow pre trace
    post_decay: ArrayLike  # [] or [N]: decay of the slow post trace


class TripletState(NamedTuple):
    """Traces of triplet STDP."""

    fast: STDPState  # x1, y1
    slow: STDPState  # x2, y2


def triplet_init(
    pre_shape: tuple[int, ...], post_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> TripletState:
    """The initial traces of inputs and outputs of these shapes, without spikes so far."""
    return TripletState(*(stdp_init(pre_shape, post_shape, dtype) for _ in range(2)))


def triplet_params(
    dt: ArrayLike = 1.0,
    *,
    plus2: ArrayLike = 5e-10,
    minus2: ArrayLike = 7e-3,
    plus3: ArrayLike = 6.2e-3,
    minus3: ArrayLike = 2.3e-4,
    tau_plus: ArrayLike = 16.8,
    tau_minus: ArrayLike = 33.7,
    tau_x: ArrayLike = 101.0,
    tau_y: ArrayLike = 125.0,
) -> TripletParams:
    """Parameters from time constants in the unit of `dt`; defaults in ms, for all-to-all pairing.

    They were fitted to data from slices of visual cortex; rates are in units of the weight.

    >>> round(float(triplet_params().post_decay), 4)
    0.992
    """
    pair = STDPParams(plus2, minus2, exact(tau_plus, dt), exact(tau_minus, dt))
    return TripletParams(pair, plus3, minus3, exact(tau_x, dt), exact(tau_y, dt))


def triplet_step(
    params: TripletParams,
    state: TripletState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: ArrayLike,
    *,
    bound: Bound = additive,
    coincidence: Coincidence = both,
    trace: Trace = accumulate,
    product: Product = dense,
) -> tuple[TripletState, Array]:
    """One step of triplet STDP: pair STDP with rates that depend on slow traces of both sides.

        x1, y1, x2, y2: decayed, then the spikes of this step added, as in `stdp_step`
        dW = up(W) x1 (outer) post (A2+ + A3+ y2-)  -  down(W) pre (A2- + A3- x2-) (outer) y1

    y2- and x2- are the slow traces before the spikes of this step: a spike does not affect itself.
    So potentiation grows with the post rate, as in experiments and unlike in pair STDP.

    Args:
      params: rates and decays; `pair` holds those of the fast traces.
      state: traces, float32 by default.
      pre, post, weight, bound, trace, product: as for `stdp_step`.
      coincidence: for the fast traces, as for `stdp_step`.

    Returns:
      The next traces, and dW with the shape and dtype of `weight`, summed over the batch.

    Raises:
      TypeError: spikes not floating. ValueError: shapes do not fit.

    Pfister and Gerstner, "Triplets of spikes in a model of spike timing-dependent plasticity",
    Journal of Neuroscience 2006.

    >>> params = TripletParams(STDPParams(0.0, 0.0, 0.5, 0.5), 1.0, 0.0, 0.5, 0.5)
    >>> state, w = triplet_init((1,), (1,)), jnp.zeros((1, 1))
    >>> for a, b in ((0.0, 1.0), (1.0, 0.0), (0.0, 1.0)):      # post, pre, post
    ...     state, dw = triplet_step(params, state, jnp.array([a]), jnp.array([b]), w)
    >>> dw.tolist()
    [[0.125]]
    """
    weight = jnp.asarray(weight)
    fast, (x, y), (pre, post) = read_traces(params.pair, state.fast, pre, post, coincidence, trace)
    x2 = as_param(params.pre_decay, state.slow.pre, "pre_decay", FACTOR) * state.slow.pre
    y2 = as_param(params.post_decay, state.slow.post, "post_decay", FACTOR) * state.slow.post
    plus2, plus3 = as_param(params.pair.plus, post), as_param(params.plus, post)
    minus2, minus3 = as_param(params.pair.minus, pre), as_param(params.minus, pre)
    raised = pairs(product, x, post * (plus2 + plus3 * y2), weight)
    lowered = pairs(product, pre * (minus2 + minus3 * x2), y, weight)
    up, down = bound(weight)
    slow = STDPState(trace(x2, pre), trace(y2, post))
    return TripletState(fast, slow), up * raised - down * lowered
