"""Checks of arguments that layers share."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from snnjax.neurons.membrane import concrete


def check_finite(layer: str, current: ArrayLike) -> None:
    """Refuse a NaN or an infinity in the input.

    Traced values, and arrays that are partly on other processes, are not checked.
    """
    if isinstance(current, Tracer):
        return
    if isinstance(current, jax.Array) and not current.is_fully_addressable:
        return
    known = np.asarray(current)
    if not np.isfinite(known).all():
        wrong = int((~np.isfinite(known)).sum())
        raise ValueError(
            f"{layer}: the input {known.shape} must be finite; got {wrong} NaN or infinite of "
            f"{known.size} values. Look at what made it, or mask them with jnp.nan_to_num."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."


def spread(name: str, value: ArrayLike, shape: tuple[int, ...], layer: str = "") -> Array:
    """A number, or numbers for the last axes of `shape`, as floats of that shape.

    An error begins with `layer`.
    """
    check_shape(name, np.shape(value), shape, layer)
    return jnp.broadcast_to(jnp.asarray(value, float), shape)


def check_shape(name: str, given: tuple[int, ...], shape: tuple[int, ...], layer: str = "") -> None:
    """Raise unless a shape is that of a number or of the last axes of `shape`."""
    if len(given) > len(shape) or given != shape[len(shape) - len(given) :]:
        each = f"one for each of the {shape[0]} features" if len(shape) == 1 else f"of {shape}"
        wanted = f"a number or {each}" if shape else "a number, which all features share"
        raise ValueError(f"{layer}`{name}` must be {wanted}; got shape {given}.")


def as_floating(x: ArrayLike, like: Array) -> Array:
    """`x` unchanged if it is floating; integers and bools cast to the dtype of `like`."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(like.dtype)


def check_dt(layer: str, dt: ArrayLike) -> None:
    """Raise unless `dt` is a finite positive number; traced values are not checked."""
    length = concrete(dt)
    if length is not None and not np.all(np.isfinite(length) & (length > 0)):
        raise ValueError(
            f"{layer}: `dt` must be finite and above 0; got {dt}. Give the length of a step."
        )


def named(layer: str, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, prefixing any ValueError with the layer's name."""
    try:
        return function(*args)
    except ValueError as error:
        raise ValueError(f"{layer}: {error}") from error


def check_batch_shape(batch_shape: tuple[int, ...]) -> tuple[int, ...]:
    """A tuple; jax itself checks the entries."""
    if not isinstance(batch_shape, (tuple, list)):
        raise TypeError(
            f"`batch_shape` must be a tuple of ints, such as x.shape[1:-1]; got "
            f"{type(batch_shape).__name__}."
        )
    return tuple(batch_shape)


def check_count(name: str, count: int, layer: str = "") -> int:
    """A Python int of at least 1; an error begins with the layer's name."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        named = f"{layer}: " if layer else ""
        raise ValueError(f"{named}`{name}` must be a Python int of at least 1; got {count!r}.")
    return count


# names used by other libraries: our name, and how to write it
_SYNONYMS = {
    "beta": ("tau", "tau=snnjax.neurons.time_constant({value!r})"),
    "alpha": ("tau_c", "tau_c=snnjax.neurons.time_constant({value!r})"),
    "tau_mem": ("tau", "tau={value!r}"),
    "tau_m": ("tau", "tau={value!r}"),
    "tau_syn": ("tau_c", "tau_c={value!r}"),
    "init_tau": ("tau", "tau={value!r}"),
    "v_th": ("threshold", "threshold={value!r}"),
    "v_threshold": ("threshold", "threshold={value!r}"),
    "v_leak": ("v_rest", "v_rest={value!r}"),
    "v_reset": ("reset", "reset=snnjax.neurons.reset_to({value!r})"),
    "reset_mechanism": ("reset", "reset=snnjax.neurons.subtract or zero"),
    "detach_reset": ("reset", "reset=snnjax.neurons.detach(subtract)"),
    "surrogate_function": ("spike", "spike=snnjax.surrogates.atan"),
    "spike_grad": ("spike", "spike=snnjax.surrogates.atan"),
    "surrogate": ("spike", "spike=snnjax.surrogates.atan"),
    "decay_input": ("scale_input", "scale_input={value!r}"),
    "learn": ("trainable", "trainable={value!r}"),
    "learn_beta": ("trainable", 'trainable=("tau",)'),
    "learn_threshold": ("trainable", 'trainable=("threshold",)'),
}


def with_hints(init: Callable[..., None]) -> Callable[..., None]:
    """Wraps `__init__` so that an unknown keyword raises with the nearest valid name.

    The signature is unchanged, for help and completion.
    """
    parameters = inspect.signature(init).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return init
    known = [name for name in parameters if name != "self"]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        for name, value in given.items():
            if name not in parameters:
                ours, words = _SYNONYMS.get(name, ("", ""))
                ours = f"write {words.format(value=value)}." if ours in known else ""
                hint = ours or nearest(name, known)
                raise TypeError(f"{type(self).__name__} has no argument {name!r}; {hint}")
        init(self, *args, **given)

    return checked


class InitSignature:
    """`__signature__` of a class: the arguments of its `__init__`, for help and completion.

    The metaclass of Flax modules would show `(*args, **kwargs)`. Instances do not have it.
    """

    def __init__(self, init: Callable[..., None]):
        signature = inspect.signature(init)
        self.signature = signature.replace(
            parameters=list(signature.parameters.values())[1:],
            return_annotation=inspect.Signature.empty,
        )

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return self.signature
