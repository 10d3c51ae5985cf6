"""Shared by all surrogates: the step with a custom derivative, and its soft form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Spike = Callable[..., Array]
_S = TypeVar("_S", bound=Spike)

_SOFT: dict[Spike, Spike] = {}


def compute_dtype(dtype: Any) -> jnp.dtype:
    """The dtype in which derivatives and sums are computed: `dtype`, but at least float32."""
    return jnp.dtype(dtype) if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


def check_floating(x: ArrayLike, name: str) -> Array:
    """`x` as an array; raises a TypeError that names the argument unless it is floating."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must be floating point; got {x.dtype}. "
            "Cast it first, for instance with .astype(jnp.float32)."
        )
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _step(
    x: Array, params: dict[str, Array], derivative: Callable[..., Array], strict: bool
) -> Array:
    fires = (x > 0 if strict else x >= 0).astype(x.dtype)
    return jnp.where(jnp.isnan(x), x, fires)


@_step.defjvp
def _step_jvp(derivative, strict, primals, tangents):
    x, params = primals
    named = dict(params)
    gain = named.pop("gain")
    g = gain * derivative(x.astype(gain.dtype), **named)
    dx = tangents[0].astype(gain.dtype)
    return _step(x, params, derivative, strict), (g * dx).astype(x.dtype)


def heaviside(
    x: ArrayLike,
    derivative: Callable[..., Array],
    *,
    gain: ArrayLike = 1.0,
    strict: bool = False,
    **params: ArrayLike,
) -> Array:
    """The unit step, differentiated as `gain * derivative(x, **params)`.

        forward   H(x) = 1 where x >= 0 (x > 0 with `strict`), else 0; NaN where x is NaN
        tangent   gain * derivative(x, **params) * dx

    All of `gain` and `params` are traced: changing them recompiles nothing. The step does not
    depend on them, so their own derivatives are zero; learn a width in the `soft` form.

    Args:
      x: distance of the membrane to the threshold, any shape. NaN stays NaN, so that a diverged
        membrane is visible in its spikes instead of looking silent.
      derivative: `g(x, **params)`, called in float32 or wider, with one keyword per parameter. Pass
        the same function object each time (not a new lambda), or each call is traced again.
      gain: factor on the derivative only.
      strict: whether x = 0 stays silent.
      **params: parameters of `derivative`, such as its slope.

    Returns:
      Zeros and ones, and NaN for NaN, with the shape and dtype of `x`.
    """
    x = check_floating(x, "x")
    dtype = compute_dtype(x.dtype)
    arrays = {name: jnp.asarray(value, dtype) for name, value in params.items()}
    return _step(x, {"gain": jnp.asarray(gain, dtype), **arrays}, derivative, strict)


def with_primitive(
    primitive: Callable[..., Array], *, uncast: Collection[str] = ()
) -> Callable[[_S], _S]:
    """Declare `primitive`, with primitive' = g, as the soft form of the surrogate below it.

    The primitive takes the same parameters as the surrogate, without `gain` and `strict`. They
    are passed as arrays of the compute dtype, except for the keywords in `uncast`, which need not
    be numbers.
    """

    def declare(spike: _S) -> _S:
        def softened(x: ArrayLike, *args: Any, gain: ArrayLike = 1.0, **params: Any) -> Array:
            x = check_floating(x, "x")
            dtype = compute_dtype(x.dtype)
            args = tuple(jnp.asarray(value, dtype) for value in args)
            params = {
                name: value if name in uncast else jnp.asarray(value, dtype)
                for name, value in params.items()
            }
            y = jnp.asarray(gain, dtype) * primitive(x.astype(dtype), *args, **params)
            return y.astype(x.dtype)

        softened.__name__ = softened.__qualname__ = f"soft_{getattr(spike, '__name__', 'spike')}"
        softened.__doc__ = f"{primitive.__doc__ or ''}\n\nThe soft form of a surrogate."
        _SOFT[spike] = softened
        return spike

    return declare


def soft(spike: Spike) -> Spike:
    """The smooth function that a surrogate is the derivative of, with the surrogate's arguments.

        soft(spike)(x, ..., gain=c) = c * P(x, ...),   dP/dx = g

    With it in place of the spike function a network is smooth, so that finite differences can check
    its gradients and a width or slope can be learned. `strict` has no effect there and is ignored.

    Args:
      spike: a surrogate of this package or from `custom`, or a `functools.partial` or
        `jax.tree_util.Partial` of one.

    Returns:
      A function of the same arguments; the same object for the same surrogate.

    Raises:
      ValueError: when the surrogate has no primitive.

    >>> from snnjax.surrogates import atan
    >>> float(atan(jnp.array(-0.2))), round(float(soft(atan)(jnp.array(-0.2))), 3)
    (0.0, 0.321)
    """
    if isinstance(spike, functools.partial):
        named = {key: value for key, value in spike.keywords.items() if key != "strict"}
        return type(spike)(soft(spike.func), *spike.args, **named)
    if not callable(spike):
        raise TypeError(f"`spike` must be a function; got {spike!r}. See snnjax.surrogates.")
    if spike not in _SOFT:
        name = getattr(spike, "__name__", repr(spike))
        raise ValueError(
            f"{name} has no primitive, so it has no soft form. Use a surrogate that has one, such "
            "as atan, or declare one: custom(derivative, primitive)."
        )
    return _SOFT[spike]


def custom(
    derivative: Callable[..., Array], primitive: Callable[..., Array] | None = None
) -> Spike:
    """A custom surrogate from its derivative, and optionally its primitive.

    Args:
      derivative: `g(x, **params)`; parameters are passed by keyword when the surrogate is called.
      primitive: `P(x, **params)` with dP/dx = g, for `soft`; may be None.

    Returns:
      `spike(x, *, gain=1.0, strict=False, **params)`.

    >>> super_spike = custom(lambda x, height: height / (1.0 + jnp.abs(x)) ** 2)
    >>> float(jax.grad(super_spike)(1.0, height=2.0))
    0.5
    """

    def spike(
        x: ArrayLike, *, gain: ArrayLike = 1.0, strict: bool = False, **params: ArrayLike
    ) -> Array:
        return heaviside(x, derivative, gain=gain, strict=strict, **params)

    spike.__name__ = spike.__qualname__ = getattr(derivative, "__name__", "custom")
    return spike if primitive is None else with_primitive(primitive)(spike)
