"""Spike-timing-dependent plasticity from pairs of spikes."""

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
from snnjax.plasticity.trace import Trace, accumulate, as_spikes


class STDPParams(NamedTuple):
    """Parameters of pair STDP."""

    plus: ArrayLike  # [] or [N]: A+, change at a post spike for each unit of the pre trace
    minus: ArrayLike  # [] or [N]: A-, change at a pre spike for each unit of the post trace
    pre_decay: ArrayLike  # [] or [M]: factor by which the pre trace decays in a step
    post_decay: ArrayLike  # [] or [N]: factor by which the post trace decays in a step


class STDPState(NamedTuple):
    """Traces of pair STDP."""

    pre: Array  # [..., M], trace of the inputs' spikes
    post: Array  # [..., N], trace of the outputs' spikes


def stdp_init(
    pre_shape: tuple[int, ...], post_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> STDPState:
    """The initial traces of inputs and outputs of these shapes, without spikes so far."""
    return STDPState(jnp.zeros(pre_shape, dtype), jnp.zeros(post_shape, dtype))


def stdp_params(
    dt: ArrayLike = 1.0,
    *,
    plus: ArrayLike = 0.01,
    minus: ArrayLike = 0.012,
    tau_pre: ArrayLike = 20.0,
    tau_post: ArrayLike = 20.0,
) -> STDPParams:
    """Parameters from time constants in the unit of `dt`, with exponential decays.

    For linear decays, as in SpikingJelly's STDP, give `STDPParams` `euler(tau, dt)`. Rates of
    libraries whose traces grow by less than 1 per spike (norse: dt / tau) must be scaled.

    >>> round(float(stdp_params().pre_decay), 4)
    0.9512
    """
    return STDPParams(plus, minus, exact(tau_pre, dt), exact(tau_post, dt))


def stdp_step(
    params: STDPParams,
    state: STDPState,
    pre: ArrayLike,
    post: ArrayLike,
    weight: ArrayLike,
    *,
    bound: Bound = additive,
    coincidence: Coincidence = both,
    trace: Trace = accumulate,
    product: Product = dense,
) -> tuple[STDPState, Array]:
    """One step of pair STDP: decay the traces, add the spikes, then pair spikes with traces.

        x  = pre_decay * x + pre;    y = post_decay * y + post
        dW = A+ up(W) x (outer) post  -  A- down(W) pre (outer) y

    dW is summed over the batch, and over positions in a convolution. The weights are not changed:
    `apply` does that, optionally with limits. A pre spike followed by a post spike k steps later
    gives A+ pre_decay^k, the reverse order -A- post_decay^k.

    Args:
      params: rates and decays.
      state: traces, float32 by default.
      pre: spikes of the inputs, floating, [..., M].
      post: spikes of the outputs, floating, [..., N].
      weight: [M, N], or the shape that the product expects.
      bound: `additive`, `soft(low, high, mu)` or `hard(low, high)`.
      coincidence: the effect of spikes in the same step: `both`, `neither`, `potentiate`,
        `depress`.
      trace: `accumulate` pairs all spikes, `replace` the nearest ones.
      product: `dense` or a `convolution`.

    Returns:
      The next traces, and dW with the shape and dtype of `weight`.

    Raises:
      TypeError: spikes not floating. ValueError: shapes do not fit.

    Song, Miller and Abbott, "Competitive Hebbian learning through spike-timing-dependent synaptic
    plasticity", Nature Neuroscience 2000; traces: Morrison et al., Biological Cybernetics 2008.

    >>> params, w = STDPParams(1.0, 1.0, 0.5, 0.5), jnp.zeros((1, 1))
    >>> state, dw = stdp_step(params, stdp_init((1,), (1,)), jnp.ones(1), jnp.zeros(1), w)
    >>> state, dw = stdp_step(params, state, jnp.zeros(1), jnp.ones(1), w)
    >>> dw.tolist()
    [[0.5]]
    """
    weight = jnp.asarray(weight)
    state, (x, y), (pre, post) = read_traces(params, state, pre, post, coincidence, trace)
    plus, minus = as_param(params.plus, weight), as_param(params.minus, weight)
    up, down = bound(weight)
    raised = pairs(product, x, post, weight)
    lowered = pairs(product, pre, y, weight)
    return state, plus * up * raised - minus * down * lowered


def read_traces(
    params: STDPParams,
    state: STDPState,
    pre: ArrayLike,
    post: ArrayLike,
    coincidence: Coincidence,
    trace: Trace,
) -> tuple[STDPState, tuple[Array, Array], tuple[Array, Array]]:
    """The traces after a step, the traces that spikes read, and the spikes in the traces' dtype."""
    pre = as_spikes("pre", pre, state.pre.shape).astype(state.pre.dtype)
    post = as_spikes("post", post, state.post.shape).astype(state.post.dtype)
    x = as_param(params.pre_decay, state.pre, "pre_decay", FACTOR) * state.pre
    y = as_param(params.post_decay, state.post, "post_decay", FACTOR) * state.post
    after = trace(x, pre), trace(y, post)
    return STDPState(*after), coincidence((x, y), after), (pre, post)
