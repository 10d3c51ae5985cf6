"""The base of neuron layers: constants, which of them are trained, and the unrolled call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.nn.neurons.checks import as_floating as as_floating
from snnjax.nn.neurons.checks import check_batch_shape as check_batch_shape
from snnjax.nn.neurons.checks import check_count as check_count
from snnjax.nn.neurons.checks import check_dt as check_dt
from snnjax.nn.neurons.checks import check_finite as check_finite
from snnjax.nn.neurons.checks import check_shape as check_shape
from snnjax.nn.neurons.checks import named as named
from snnjax.nn.neurons.checks import nearest as nearest
from snnjax.nn.neurons.checks import spread as spread
from snnjax.nn.neurons.domain import (
    REAL,
    Domain,
    free,
    held,
)
from snnjax.nn.stateful import Stateful, forgotten_state
from snnjax.surrogates.core import compute_dtype
from snnjax.unroll import unroll


class Fixed(nnx.Variable):
    """A constant of a layer, such as a time constant that is not trained; not an `nnx.Param`."""


class Population(Stateful):
    """Neurons of one kind with constants of their own, unrolled over [T, B, ..., N].

    A subclass names its constants with `constant`, and defines `rest` and `step`.

    Args:
      features: N.
      trainable: names of the constants that are trained.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest: ClassVar[Callable[..., Any]]
    """`rest(shape, dtype)`: the resting state of one step's shape."""

    spiking: bool | None = True
    """Whether the outputs are events, most of them 0; else they are membranes or activations."""

    def __init__(self, features: int, *, trainable: Sequence[str], checkpoint: bool | int):
        layer = type(self).__name__
        if isinstance(trainable, (str, bool)):
            raise TypeError(
                f'{layer}: `trainable` must be a tuple of names, such as ("tau",); got '
                f"{trainable!r}."
            )
        self.features = check_count("features", features, layer)
        self.checkpoint = checkpoint
        self.trainable = tuple(trainable)
        self.domains: tuple[tuple[str, Domain], ...] = ()

    def constant(
        self,
        name: str,
        value: ArrayLike,
        domain: Domain = REAL,
        shape: tuple[int, ...] | None = None,
        *,
        limit: ArrayLike = 0.0,
    ) -> None:
        """Store a constant of `shape`, by default one per neuron; as a parameter if trainable.

        A number stands for all of them, and so does an array of the shape's last axes. `limit` is
        the value of the constant that `domain` names in `above` or `under`; both concern
        trainable constants alone.

        Raises:
          ValueError: it lies outside the domain, or has another shape.
        """
        known = np.asarray(value, jnp.result_type(float)).astype(np.float64)  # as it will be held
        trained = name in self.trainable
        layer = type(self).__name__
        if not domain.inside(known):
            raise ValueError(f"{layer}: `{name}` must {domain.words}; got {value}.")
        shape = (self.features,) if shape is None else shape
        check_shape(name, known.shape, shape, f"{layer}: ")
        if trained:
            low, high = domain.limits(np, np.asarray(limit, np.float64))
            if not np.all((known > low) & (known < high)):
                of = domain.above or domain.under
                beyond = f" with {of}={limit}. Move them apart." if of else "."
                raise ValueError(
                    f"{layer}: `{name}` must lie strictly inside its bounds to be trained; got "
                    f"{value}{beyond}"
                )
            known = free(known, low, high)
        else:
            domain = domain._replace(above="", under="")
        stored = spread(name, known, shape)
        self.domains += ((name, domain),)
        setattr(
            self,
            domain.prefix + name if trained else name,
            nnx.Param(stored) if trained else Fixed(stored),
        )

    def check_trainable(self) -> None:
        """Raise for unknown names in `trainable`; a subclass calls it after its last constant."""
        known = dict(self.domains)
        for name in self.trainable:
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__}: `trainable` names {name!r}, which is not a constant "
                    f"here; {nearest(name, known)}"
                )

    def choice(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function as a static attribute, or as data if it is a Partial that carries arrays."""
        if not callable(function):
            raise TypeError(
                f"{type(self).__name__}: `spike` and `reset` are functions, such as "
                f"snnjax.surrogates.atan; got {function!r}."
            )
        leaves = jax.tree.leaves(function)
        carries = any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves)
        return nnx.data(function) if carries else function

    def value(self, name: str) -> Array:
        """The value of a constant, [N] in most cases, inside its domain whether trained or not."""
        if name not in self.trainable:
            return getattr(self, name)[...]
        domain = dict(self.domains)[name]
        of = domain.above or domain.under
        low, high = domain.limits(jnp, self.value(of) if of else 0.0)
        return held(getattr(self, domain.prefix + name)[...], low, high)

    def step(self) -> Callable[[Any, Array], tuple[Any, Any]]:
        """`step(state, current) -> (state, out)` with the current constants."""
        raise NotImplementedError(
            f"{type(self).__name__} must define step(), a function of (state, current)."
        )

    def init_state(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32) -> Any:
        """The resting state for input [T, *batch_shape, N]."""
        return type(self).rest(self.shape(batch_shape), dtype)

    def shape(self, batch_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one step."""
        return (*check_batch_shape(batch_shape), self.features)

    def rest_for(self, x: Any) -> Any:
        """The resting state for input `x` [T, B, ..., N], of which shape and dtype are read.

        >>> from snnjax.nn import LIF
        >>> LIF(3).rest_for(jax.ShapeDtypeStruct((5, 2, 3), jnp.bfloat16)).v.dtype
        dtype('float32')
        """
        x = x if hasattr(x, "dtype") else jnp.asarray(x)
        self._check_shape(x.shape)
        return self.init_state(self.batch_shape(x), membrane_dtype(x.dtype))

    def __call__(
        self, state: Any, current: ArrayLike | None = None, *, record: Sequence[str] = ()
    ) -> tuple[Any, Any]:
        """`current` is [T, B, ..., N]; returns the last state and the output of every step.

        A state of None is the resting one. `record=("v",)` returns that field of the state over
        time too: see `snnjax.unroll.unroll`.
        """
        if current is None:
            raise forgotten_state(self)
        current = self.check_input(state, current)
        state = self.rest_for(current) if state is None else state
        return unroll(self.step(), state, current, checkpoint=self.checkpoint, record=record)

    def check_input(self, state: Any, current: ArrayLike) -> Array:
        """`current` as an array [T, B, ..., N], checked to fit the state unless that is None.

        Raises:
          ValueError: it does not fit, has no steps, or is known to hold NaN or infinity.
          TypeError: it is not floating point.
        """
        current = jnp.asarray(current)
        layer = f"{type(self).__name__}({self.features})"
        self._check_shape(current.shape, state)
        if not current.shape[0]:
            raise ValueError(
                f"{layer} got input {current.shape} with T = 0 time steps; give at least one."
            )
        if not jnp.issubdtype(current.dtype, jnp.floating):
            raise TypeError(
                f"{layer}: `current` must be floating point; got {current.dtype} {current.shape}. "
                "Cast it first, for instance with .astype(jnp.float32)."
            )
        check_finite(layer, current)
        return current

    def _check_shape(self, shape: tuple[int, ...], state: Any = None) -> None:
        """Raise unless the input is [T, B, ..., N] and fits `state`, if there is one."""
        own, held = self.shape(()), jax.tree.map(jnp.shape, state)
        axes = len(own)
        fits = len(shape) > axes and shape[-axes:] == own
        if fits and state is not None:
            rest = jax.eval_shape(lambda: self.init_state(shape[1:-axes]))
            fits = held == jax.tree.map(jnp.shape, rest)
        if fits:
            return
        last = ", ".join(map(str, own))
        got = f"input {shape}" if state is None else f"input {shape} and state {held}"
        if shape[-axes:] == own and state is not None:
            hint = _batch_first(shape[: len(shape) - axes], state, axes)
        else:
            hint = _other_width(shape, own)
        raise ValueError(
            f"{type(self).__name__}({self.features}) takes input [T, B, ..., {last}] and a state "
            f"of one step's shape; got {got}. {hint}"
        )

    def check_back(self, layer: str, out: ArrayLike, current: Array) -> None:
        """Raise if the previous output in the state of `layer` has the wrong shape."""
        want = (*self.batch_shape(current), self.features)
        if jnp.shape(out) != want:
            raise ValueError(
                f"{layer}({type(self).__name__}) takes a state whose `out` is {want} for input "
                f"{current.shape}; got {jnp.shape(out)}. Make the state with "
                f"init_state({want[:-1]})."
            )

    def batch_shape(self, current: ArrayLike) -> tuple[int, ...]:
        """What `init_state` takes for the input [T, *batch_shape, N]."""
        return jnp.shape(current)[1 : jnp.ndim(current) - len(self.shape(()))]


def _batch_first(lead: tuple[int, ...], state: Any, axes: int) -> str:
    """The suggested fix for input with leading axes `lead`, [T, B, ...], that does not fit a state.

    Where the state fits with the first two axes exchanged, the input has its batch first.
    """
    batches = {leaf.shape[:-axes] for leaf in jax.tree.leaves(state) if jnp.ndim(leaf) > axes}
    if len(lead) == 2 and lead[0] != lead[1] and batches == {lead[:1]}:
        return "Time comes first: pass jnp.swapaxes(x, 0, 1) if your batch does."
    return "Pass None as the state to start at rest, or make one with rest_for(x)."


def _other_width(shape: tuple[int, ...], own: tuple[int, ...]) -> str:
    """The suggested fix for input whose axes, or the last of them, are not those of a layer."""
    if len(shape) <= len(own):
        return "The axes of time, batch or features are missing; add them, as in x[None]."
    given, wanted = (shape[-len(own) :], own) if own[1:] else (shape[-1], own[-1])
    return f"Its width is {given}, not {wanted}: change the layer's features, or what is before it."


def membrane_dtype(dtype: DTypeLike) -> DTypeLike:
    """The dtype of a membrane for input of `dtype`: float32 at least."""
    return compute_dtype(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.float32
