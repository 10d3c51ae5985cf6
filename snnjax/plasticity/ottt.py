"""Online training through time: products differentiated at a trace of the spikes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, as_param
from snnjax.plasticity.product import Product, dense
from snnjax.plasticity.trace import as_spikes


class OTTTParams(NamedTuple):
    """Weights of a layer, and the decay of the membrane that they drive."""

    weight: Array  # [M, N], or the shape that the product expects
    decay: ArrayLike  # [] or [M]: decay of the membranes after the weights


class OTTTState(NamedTuple):
    """Trace of the presynaptic spikes."""

    trace: Array  # [..., M]


def traced_product(
    product: Product, spikes: ArrayLike, weight: ArrayLike, trace: ArrayLike
) -> Array:
    """A product of spikes and weights, with its weight derivative taken at a trace of the spikes.

        value      product(spikes, weight)
        tangent    product(dspikes, weight) + product(trace, dweight)

    In reverse mode the weights get trace (outer) g, the spikes get g times the weights, and the
    trace gets no gradient. It is a custom JVP, so forward and reverse mode agree.

    Args:
      product: `dense`, a `convolution` or a custom one; a fixed function that does not close over
        traced arrays.
      spikes: presynaptic spikes, [..., M].
      weight: [M, N], or the shape that the product expects.
      trace: trace with the shape of `spikes`.

    Returns:
      Currents, [..., N].

    >>> f = lambda w: traced_product(dense, jnp.array([1.0, 0.0]), w, jnp.array([1.5, 0.5])).sum()
    >>> jax.grad(f)(jnp.ones((2, 1))).tolist()
    [[1.5], [0.5]]
    """
    return _traced_product(product, *map(jnp.asarray, (spikes, weight, trace)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _traced_product(product: Product, spikes: Array, weight: Array, trace: Array) -> Array:
    del trace
    return product(spikes, weight)


def _traced_product_jvp(product, primals, tangents):
    spikes, weight, trace = primals
    dspikes, dweight, _ = tangents
    out = product(spikes, weight)
    dout = jnp.zeros_like(out)
    if not isinstance(dspikes, SymbolicZero):
        dout += product(dspikes, weight)
    if not isinstance(dweight, SymbolicZero):
        dout += product(trace.astype(spikes.dtype), dweight)
    return out, dout


_traced_product.defjvp(_traced_product_jvp, symbolic_zeros=True)


def ottt_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> OTTTState:
    """The initial trace of inputs of `shape`, without spikes so far."""
    return OTTTState(jnp.zeros(shape, dtype))


def ottt_step(
    params: OTTTParams, state: OTTTState, spikes: ArrayLike, *, product: Product = dense
) -> tuple[OTTTState, Array]:
    """One step of a weighted layer for online training through time (OTTT).

        trace' = decay * trace + spikes
        current = product(spikes, weight),    weight derivative taken at trace'

    With v' = decay * v + current after it, trace' is the derivative of v' with respect to the
    weights, without the reset. So the gradient of a loss of this step, with the membrane of the
    last step held constant, includes the effect of earlier inputs:

        dW = trace' (outer) g,    g = dloss/dv' of this step, through the layers above

    It is exact for one layer without reset, and also what e-prop computes for LIF neurons, in a
    recurrent layer too (give it the spikes of the last step). Nothing here stops the gradient
    through membranes: `snnjax.unroll.online_gradient` does, or `spatial` round a step. The input
    is not scaled; the step of the neuron may scale it (`scale_input`). A bias added after the
    product is not traced: append an input that is always 1.

    Args:
      params: weights and decay.
      state: trace, float32 by default, [..., M]. It passes no gradient.
      spikes: presynaptic spikes, floating, [..., M].
      product: `dense`, a `convolution` or a custom one.

    Returns:
      The next state, and currents [..., N].

    Raises:
      TypeError: spikes not floating. ValueError: their shape differs from the trace's.

    Xiao et al., "Online Training Through Time for Spiking Neural Networks", NeurIPS 2022; for LIF
    e-prop, Bellec et al., Nature Communications 2020.

    >>> params, state = OTTTParams(jnp.ones((2, 1)), 0.5), ottt_init((2,))
    >>> state, _ = ottt_step(params, state, jnp.array([1.0, 0.0]))
    >>> state, current = ottt_step(params, state, jnp.array([1.0, 1.0]))
    >>> state.trace.tolist(), current.tolist()
    ([1.5, 1.0], [2.0])
    """
    spikes = as_spikes("spikes", spikes, state.trace.shape)
    weight = jnp.asarray(params.weight)
    decay = as_param(params.decay, state.trace, "decay", FACTOR)
    trace = lax.stop_gradient(decay * state.trace + spikes.astype(state.trace.dtype))
    return OTTTState(trace), traced_product(product, spikes, weight, trace)


def spatial(step: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """A step function with the gradient through its input state stopped (SLTT).

        spatial(step)(state, x) = step(stop_gradient(state), x)

    The gradient of a sum of losses over time is then the sum of the gradients of single steps. For
    memory that does not grow with time use `snnjax.unroll.online_gradient`, which stops the state
    gradient itself.

    Meng et al., "Towards Memory- and Time-Efficient Backpropagation for Training Spiking Neural
    Networks", ICCV 2023.

    >>> def double(state, x):
    ...     return 2.0 * state + x, 2.0 * state + x
    >>> jax.grad(lambda s, x: spatial(double)(s, x)[1], argnums=(0, 1))(1.0, 1.0)
    (Array(0., dtype=float32, weak_type=True), Array(1., dtype=float32, weak_type=True))
    """

    @functools.wraps(step)
    def stopped(state: Any, x: Any) -> tuple[Any, Any]:
        return step(lax.stop_gradient(state), x)

    return stopped
