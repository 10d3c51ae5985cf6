"""Delta activation: quantised activations sent as changes, and the product that sums them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import ABOVE_0, as_current, as_params, concrete, positive
from snnjax.surrogates import atan
from snnjax.surrogates.core import compute_dtype


class DeltaActivationParams(NamedTuple):
    """Parameters of quantised activations."""

    delta: ArrayLike  # [] or [N], above 0: Δ


class DeltaSendParams(NamedTuple):
    """Parameters of quantised activations that are sent when they have changed enough."""

    delta: ArrayLike  # [] or [N], above 0: Δ
    threshold: ArrayLike  # [] or [N], at least Δ/2: θ


class DeltaActivationState(NamedTuple):
    """State of quantised activations: the levels last sent to the receiver."""

    k: Array  # [..., N], integers: the last activation in units of Δ


class DeltaProductState(NamedTuple):
    """State of a linear map that is updated by the changes of its input."""

    k: Array  # [..., N], integers: the last activation in units of Δ
    z: Array  # the linear map of Δ k


def delta_activation_init(
    shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> DeltaActivationState:
    """The initial state of a site of `shape`, with nothing sent."""
    return DeltaActivationState(k=jnp.zeros(shape, dtype))


def quantiser_bounds(bits: int, signed: bool) -> tuple[int, int]:
    """The lowest and highest level: 0 and 2^b - 1; signed -2^(b-1) and 2^(b-1) - 1.

    >>> quantiser_bounds(8, False), quantiser_bounds(4, True)
    ((0, 255), (-8, 7))
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 + signed <= bits <= 16:
        raise ValueError(f"`bits` must be an int from {1 + signed} to 16; got {bits!r}.")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def delta_step_size(x: ArrayLike, *, bits: int = 8, signed: bool = False) -> Array:
    """An initial step size, from activations of a typical batch: 2 mean|x| / sqrt(p).

    p is the highest level. Esser et al., "Learned step size quantization", ICLR 2020.

    >>> float(delta_step_size(jnp.array([0.0, 3.0]), bits=1))
    3.0
    """
    high = quantiser_bounds(bits, signed)[1]
    return 2.0 * jnp.abs(jnp.asarray(x)).mean() / float(np.sqrt(high))


def delta_levels(x: ArrayLike, delta: ArrayLike, *, bits: int = 8, signed: bool = False) -> Array:
    """Activations quantised to integer multiples of their step.

        k = clip(round(x / Δ), low, high)

    The gradient passes straight through to x, over Δ, where low < x/Δ < high. The step gets none,
    so a penalty on k or its changes cannot be avoided by a coarser step; only the task trains it.

    Args:
      x: floating, any shape. delta: Δ, the step, above 0, [] or [N].
      bits, signed: see `quantiser_bounds`.

    Returns:
      Integers, at least float32, with the shape of `x`. Narrower dtypes do not hold all of them.

    Raises:
      ValueError: a concrete `delta` is not above 0.

    >>> delta_levels(jnp.array([-0.3, 0.3, 0.8, 9.0]), 0.5, bits=2).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    return _levels(*quantiser_bounds(bits, signed), *_wide(jnp.asarray(x), delta))


def delta_quantise(
    x: ArrayLike, delta: ArrayLike, *, bits: int = 8, signed: bool = False, count: int = 1
) -> Array:
    """Activations rounded to their step, which learns by the LSQ rule.

        q = Δ k,   k = clip(round(x / Δ), low, high)
        dq/dx = 1[low < x/Δ < high]
        dq/dΔ = g * (k - x/Δ inside, high above, low below),   g = 1 / sqrt(count * high)

    Args:
      x, delta, bits, signed: as for `delta_levels`. count: how many activations share a step.

    Returns:
      Dtype and shape of `x`.

    Raises:
      ValueError: a concrete `delta` is not above 0.

    Esser et al., "Learned step size quantization", ICLR 2020.

    >>> x = jnp.array([-0.3, 0.3, 9.0])
    >>> delta_quantise(x, 0.5, bits=2).tolist()
    [0.0, 0.5, 1.5]
    >>> jax.grad(lambda x: delta_quantise(x, 0.5, bits=2).sum())(x).tolist()
    [0.0, 1.0, 0.0]
    """
    x = jnp.asarray(x)
    low, high = quantiser_bounds(bits, signed)
    scale = float(1.0 / np.sqrt(count * high))
    return _quantise(low, high, scale, *_wide(x, delta)).astype(x.dtype)


def delta_activation_step(
    params: DeltaActivationParams,
    state: DeltaActivationState,
    current: ArrayLike,
    *,
    bits: int = 8,
    signed: bool = False,
    count: int = 1,
) -> tuple[DeltaActivationState, Array]:
    """One frame of a quantised site: `delta_quantise`, with the levels as state.

    Only the change k - state.k has to be sent to the receiver. The output does not depend on the
    state, so frames need no scan in training: see `snnjax.nn.DeltaActivation`.

    Args:
      params: steps, cast to the state's dtype. state: levels, float32 by default.
      current: activations of the frame, floating, shape [..., N].
      bits, signed, count: see `delta_quantise`.

    Returns:
      The next state, and q in the state's dtype and shape.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit, the
        state's dtype does not hold all levels, or a concrete delta is not above 0.

    "Training for temporal sparsity in deep neural networks, application in video processing", 2021.

    >>> params, state = DeltaActivationParams(0.5), delta_activation_init((1,))
    >>> state, q = delta_activation_step(params, state, jnp.array([0.8]))
    >>> float(q[0]), float(state.k[0])
    (1.0, 2.0)
    """
    _check_holds(state.k, bits, signed)
    as_params(
        params, state.k, delta=ABOVE_0, threshold=ABOVE_0
    )  # raises for a shape that does not fit
    x = jnp.broadcast_to(as_current(current, state.k), state.k.shape)
    k = delta_levels(x, params.delta, bits=bits, signed=signed).astype(state.k.dtype)
    q = delta_quantise(x, params.delta, bits=bits, signed=signed, count=count)
    return DeltaActivationState(k), q


def delta_send_step(
    params: DeltaSendParams,
    state: DeltaActivationState,
    current: ArrayLike,
    *,
    spike: Callable[[Array], Array] = atan,
) -> tuple[DeltaActivationState, Array]:
    """One frame of a site that sends once its signal differs from the last sent by a threshold.

        e = current - Δ k
        d = H(abs(e) - θ) * round(e / Δ)
        k = k + d,   q = Δ k

    After the frame abs(current - q) <= max(θ, Δ/2): errors do not accumulate. With θ above Δ/2
    noise at a rounding boundary sends nothing, where the plain quantiser would flip. The gradient
    passes through e where it is sent, and through the decision by the surrogate. It is `delta_step`
    with integer multiples of Δ.

    Args:
      params: steps and thresholds, cast to the state's dtype.
      state: levels, float32 by default; unbounded.
      current: activations of the frame, floating, shape [..., N].
      spike: surrogate spike function.

    Returns:
      The next state, and q in the state's dtype and shape.

    Raises:
      TypeError: current not floating, or wider than the state. ValueError: shapes do not fit.

    >>> state = delta_activation_init((1,))
    >>> for x in (1.0, 1.3, 1.6):
    ...     state, q = delta_send_step(DeltaSendParams(0.25, 0.5), state, jnp.array([x]))
    ...     print(float(q[0]))
    1.0
    1.0
    1.5
    """
    x = as_current(current, state.k)
    positive("delta", params.delta)
    size, threshold = as_params(params, state.k, delta=ABOVE_0, threshold=ABOVE_0)
    e = x - size * state.k
    k = state.k + spike(jnp.abs(e) - threshold) * _round(e / size)
    return DeltaActivationState(k), size * k


def delta_encode(state: DeltaActivationState, k: ArrayLike) -> tuple[DeltaActivationState, Array]:
    """The changes of the levels between frames, which are sent; the first frame is sent in full.

    >>> state, d = delta_encode(DeltaActivationState(jnp.array([3.0])), jnp.array([5.0]))
    >>> float(d[0])
    2.0
    """
    k = jnp.asarray(k)
    return DeltaActivationState(k), k - jnp.asarray(state.k)


def delta_product_init(
    shape: tuple[int, ...], linear: Callable[[Array], Array], dtype: DTypeLike = jnp.float32
) -> DeltaProductState:
    """The initial state of `linear` behind a site of `shape`, with nothing sent.

    Raises:
      ValueError: `linear` is not linear, at 0 and at two random arguments: it adds a bias, or has
        an activation or a max-pool inside. Not checked while its weights are traced.
    """
    with jax.ensure_compile_time_eval():
        a, b = (jax.random.normal(key, shape, dtype) for key in jax.random.split(jax.random.key(0)))
        together, apart = linear(a + b), linear(a) + linear(b)
        bias = concrete(linear(jnp.zeros(shape, dtype)))
    state = DeltaProductState(jnp.zeros(shape, dtype), jnp.zeros_like(together))
    known, wanted = concrete(together - apart), concrete(apart)
    if known is None or wanted is None or bias is None:
        return state
    if np.any(np.abs(bias) > 0):
        raise ValueError(
            f"changes pass through linear maps only, and `linear` is not one: linear(0) reaches "
            f"{np.abs(bias).max()}. Add a bias to the product, once, on the sum."
        )
    if np.abs(known).max() > 1e-2 * np.abs(wanted).max():
        raise ValueError(
            "changes pass through linear maps only, and `linear` is not one: linear(a + b) differs "
            "from linear(a) + linear(b). Add a bias to the product, once, and put activations and "
            "max-pools after it, on the sum."
        )
    return state


def _wide(x: Array, delta: ArrayLike) -> tuple[Array, Array]:
    """Activations and their step in float32 at least, in which all levels are exact."""
    delta = positive("delta", delta)
    dtype = compute_dtype(x.dtype)
    return x.astype(dtype), delta.astype(dtype)


def _check_holds(k: Array, bits: int, signed: bool) -> None:
    """Raise if the state's dtype would round levels."""
    top, exact = max(map(abs, quantiser_bounds(bits, signed))), 2 ** (jnp.finfo(k.dtype).nmant + 1)
    if top > exact:
        raise ValueError(
            f"levels of {bits} bits reach {top}, but {k.dtype} is exact up to {exact} only. Make "
            "the state with dtype=jnp.float32, or use fewer bits."
        )


def delta_product_step(
    params: DeltaActivationParams,
    state: DeltaProductState,
    current: ArrayLike,
    *,
    linear: Callable[[Array], Array],
    bits: int = 8,
    signed: bool = False,
) -> tuple[DeltaProductState, Array]:
    """One frame of streaming inference: quantise, take the change, add its product.

        k = clip(round(current / Δ), low, high),   z = z + linear(Δ (k - k_before))

    which is linear(q) of the frame: bit for bit where Δ is a power of two and the weights are
    integers, otherwise up to rounding.

    Args:
      params: steps. state: levels, and the product so far. current: activations, [..., N].
      linear: a linear map; static. bits, signed: see `quantiser_bounds`.

    Returns:
      The next state, and z.

    >>> double = lambda d: 2.0 * d
    >>> params, state = DeltaActivationParams(0.5), delta_product_init((1,), double)
    >>> for x in (1.0, 1.1, 0.4):
    ...     state, z = delta_product_step(params, state, jnp.array([x]), linear=double)
    ...     print(float(z[0]))
    2.0
    2.0
    1.0
    """
    _check_holds(state.k, bits, signed)
    x, (size,) = (
        as_current(current, state.k),
        as_params(params, state.k, delta=ABOVE_0, threshold=ABOVE_0),
    )
    k = delta_levels(x, params.delta, bits=bits, signed=signed).astype(state.k.dtype)
    k = jnp.broadcast_to(k, state.k.shape)
    _, d = delta_encode(DeltaActivationState(state.k), k)
    z = state.z + linear(size * d)
    return DeltaProductState(k, z), z


# --- rounding with chosen derivatives ---


@jax.custom_jvp
def _round(x: Array) -> Array:
    return jnp.round(x)


@_round.defjvp
def _round_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return jnp.round(primals[0]), tangents[0]


def _inside(low: int, high: int, x: Array, step: Array) -> tuple[Array, Array, Array]:
    ratio = x / step
    within = ((ratio > low) & (ratio < high)).astype(x.dtype)
    return ratio, jnp.clip(jnp.round(ratio), low, high), within


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _levels(low: int, high: int, x: Array, step: Array) -> Array:
    return _inside(low, high, x, step)[1]


@_levels.defjvp
def _levels_jvp(low: int, high: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    _, k, within = _inside(low, high, *primals)
    return k, within * tangents[0] / primals[1]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _quantise(low: int, high: int, scale: float, x: Array, step: Array) -> Array:
    return step * _inside(low, high, x, step)[1]


@_quantise.defjvp
def _quantise_jvp(
    low: int, high: int, scale: float, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    ratio, k, within = _inside(low, high, *primals)
    along_step = scale * jnp.where(within > 0, k - ratio, k)
    return primals[1] * k, within * tangents[0] + along_step * tangents[1]
