"""Shared by the non-linear neurons: a reset to a value, and an exponential that stays finite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from snnjax.neurons.membrane import as_param

# exp(20) = 4.9e8: a larger rate or slope completes within one step at any practical step length.
LARGEST_EXPONENT = 20.0


def hard(v: Array, z: Array, value: Array) -> Array:
    """The reset to a value: (1 - z) * v + z * value.

    It has the signature of the resets of `snnjax.neurons`, but its third argument is the value to
    reset to, not the threshold. `detach(hard)` has no gradient through z; `none` leaves v
    unchanged.

    >>> float(hard(jnp.array(1.5), jnp.array(1.0), jnp.array(-0.5)))
    -0.5
    """
    return (1.0 - z) * v + z * value


def clipped_exp(x: Array) -> Array:
    """exp(min(x, 20)), whose slope is 0 above 20: value and gradient are finite for every x."""
    return jnp.exp(jnp.minimum(x, as_param(LARGEST_EXPONENT, x)))


def on_host(params: Any) -> Any:
    """The parameters of a neuron, a NamedTuple, as float64 on the host, to compute its rest state.

    Raises:
      ValueError: traced parameters.
    """
    try:
        return jax.tree.map(lambda value: np.asarray(value, np.float64), params)
    except jax.errors.TracerArrayConversionError as error:
        raise ValueError(
            "`params` must be concrete, since the resting state is computed from them on the host. "
            "Make the state outside of jit and grad, and pass it in."
        ) from error


def filled(shape: tuple[int, ...], value: Any, dtype: DTypeLike) -> Array:
    """An array of `shape` filled with `value`, [] or [N]."""
    return jnp.broadcast_to(jnp.asarray(value, dtype), shape)
