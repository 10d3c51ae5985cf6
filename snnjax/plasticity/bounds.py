"""Bounds of plastic weights, and functions that apply a change of weights.

A bound is a function of the weights that returns two factors of their shape (or plain ones), for
increases and for decreases.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons.membrane import concrete

Bound = Callable[[Array], tuple[Array, Array]]


def additive(weight: Array) -> tuple[Array, Array]:
    """No dependence on the weight: factors 1 and 1.

    >>> [float(factor) for factor in additive(jnp.array(0.3))]
    [1.0, 1.0]
    """
    one = jnp.ones((), weight.dtype)
    return one, one


@functools.cache
def soft(low: float = 0.0, high: float = 1.0, mu: float = 1.0) -> Bound:
    """Soft bounds: the step towards a limit shrinks as the weight approaches it.

        up = max(high - W, 0)^mu,   down = max(W - low, 0)^mu

    With mu = 1, steps with A x <= 1 cannot cross a limit; for mu < 1 clip as well, with `apply`.
    mu = 1 is multiplicative STDP, mu -> 0 additive.

    Args:
      low, high: limits. mu: exponent above 0.

    Guetig et al., "Learning input correlations through nonlinear temporally asymmetric Hebbian
    plasticity", Journal of Neuroscience 2003.

    >>> [float(factor) for factor in soft(0.0, 1.0, 2.0)(jnp.array(0.25))]
    [0.5625, 0.0625]
    """
    _check(low, high)
    if not mu > 0:
        raise ValueError(
            f"`mu` must be above 0; got {mu}. Use `additive` for no dependence on the weight."
        )

    def bound(weight: Array) -> tuple[Array, Array]:
        return jnp.maximum(high - weight, 0.0) ** mu, jnp.maximum(weight - low, 0.0) ** mu

    return bound


@functools.cache
def hard(low: float = 0.0, high: float = 1.0) -> Bound:
    """Hard bounds: full steps up to the limit, none beyond it.

        up = 1 where W < high, else 0;   down = 1 where W > low, else 0

    The last step may cross a limit; clip with `apply` where that matters.

    >>> [float(factor) for factor in hard(0.0, 1.0)(jnp.array(1.0))]
    [0.0, 1.0]
    """
    _check(low, high)

    def bound(weight: Array) -> tuple[Array, Array]:
        return (weight < high).astype(weight.dtype), (weight > low).astype(weight.dtype)

    return bound


def apply(
    weight: ArrayLike, change: ArrayLike, low: ArrayLike = -math.inf, high: ArrayLike = math.inf
) -> Array:
    """The changed weights, clipped: clip(W + dW, low, high), in the weights' dtype.

    Args:
      weight, change: arrays of the same shape.
      low, high: limits, low <= high; numbers, or arrays of the weights' shape.

    Raises:
      ValueError: a concrete low limit above the high one, or a NaN.

    >>> apply(jnp.array([0.5, 0.9]), jnp.array([-0.25, 0.25]), 0.0, 1.0).tolist()
    [0.25, 1.0]
    """
    known = concrete(low), concrete(high)
    if known[0] is not None and known[1] is not None and not np.all(known[0] <= known[1]):
        raise ValueError(f"`low` must not be above `high`; got {low} and {high}. Swap them.")
    weight, change = jnp.asarray(weight), jnp.asarray(change)
    low, high = jnp.asarray(low, weight.dtype), jnp.asarray(high, weight.dtype)
    return jnp.clip(weight + change.astype(weight.dtype), low, high)


def as_gradient(change: Any) -> Any:
    """A change of weights as a gradient, -dW, for an optimiser that descends.

    Plain gradient descent with rate 1 then adds dW; momentum or weight decay change the rule.

    >>> float(as_gradient(jnp.array(0.5)))
    -0.5
    """
    return jax.tree.map(jnp.negative, change)


def _check(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"`low` must be below `high`; got {low} and {high}.")
