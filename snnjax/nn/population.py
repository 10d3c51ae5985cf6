"""What all spiking layers share: constants, which of them learn, and the unrolled call."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from snnjax.unroll import unroll


class Fixed(nnx.Variable):
    """A constant of a layer, such as a time constant that is not learned; no `nnx.Param`."""


class Domain(NamedTuple):
    """Where a constant lies, and the unconstrained number that stands for it while it learns.

    Attributes:
      prefix: of the learned variable's name; that of a learned `tau` is `log_tau`.
      inside, bounds: which values are allowed, and in words; while learning: `open` to both ends.
      free, value: from the constant to the unconstrained number, and back.
    """

    prefix: str
    inside: Callable[[np.ndarray], Any]
    bounds: str
    free: Callable[[np.ndarray], Any]
    value: Callable[[Array], Array]
    open: Callable[[np.ndarray], Any] | None = None


REAL = Domain("", np.isfinite, "be finite", np.asarray, lambda x: x)
POSITIVE = Domain(
    "log_", lambda x: np.isfinite(x) & (x > 0), "be finite and above 0", np.log, jnp.exp
)
UNIT = Domain(
    "logit_",
    lambda x: (x >= 0) & (x <= 1),
    "lie in [0, 1]",
    lambda x: np.log(x / (1 - x)),
    jax.nn.sigmoid,
    lambda x: (x > 0) & (x < 1),
)


class Population(nnx.Module):
    """Neurons of one kind with constants of their own, unrolled over [T, B, ..., N].

    A subclass names its constants with `constant`, and defines `rest` and `step`.

    Args:
      features: N.
      learn: names of the constants that learn.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest: ClassVar[Callable[..., Any]]
    """`rest(shape, dtype)`: the resting state of one step's shape."""

    spiking: ClassVar[bool] = True
    """Whether the outputs are events, most of them 0; else they are membranes or activations."""

    def __init__(self, features: int, *, learn: Sequence[str], checkpoint: bool | int):
        if isinstance(learn, (str, bool)):
            raise TypeError(f'`learn` must be a tuple of names, such as ("tau",); got {learn!r}.')
        self.features, self.checkpoint = check_count("features", features), checkpoint
        self.learn = tuple(learn)
        self.domains: tuple[tuple[str, Domain], ...] = ()

    def constant(
        self,
        name: str,
        value: ArrayLike,
        domain: Domain = REAL,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Hold a constant of `shape`, by default one a neuron; as a parameter if `learn` names it.

        A number stands for all of them, and so does an array of the shape's last axes.

        Raises:
          ValueError: it lies outside the domain, or has another shape.
        """
        known, learned = np.asarray(value, np.float32), name in self.learn
        layer = type(self).__name__
        if not np.all(domain.inside(known)):
            raise ValueError(f"{layer}: `{name}` must {domain.bounds}; got {value}.")
        if learned and domain.open is not None and not np.all(domain.open(known)):
            raise ValueError(
                f"{layer}: `{name}` must lie strictly inside its bounds to be learned; got {value}."
            )
        shape = (self.features,) if shape is None else shape
        stored = spread(name, domain.free(known) if learned else known, shape, f"{layer}: ")
        self.domains += ((name, domain),)
        setattr(
            self,
            domain.prefix + name if learned else name,
            nnx.Param(stored) if learned else Fixed(stored),
        )

    def check_learned(self) -> None:
        """Refuse names in `learn` that are no constants; a subclass calls it when it has all."""
        for name in self.learn:
            known = dict(self.domains)
            if name not in known:
                hint = nearest(name, known)
                raise ValueError(f"`learn` names {name!r}, which is no constant here; {hint}")

    def value(self, name: str) -> Array:
        """A constant, [N] in most cases, in its domain whether it is learned or not."""
        if name not in self.learn:
            return getattr(self, name)[...]
        domain = dict(self.domains)[name]
        return domain.value(getattr(self, domain.prefix + name)[...])

    def step(self) -> Callable[[Any, Array], tuple[Any, Any]]:
        """`step(state, current) -> (state, out)` with the constants of now."""
        raise NotImplementedError

    def init_state(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32) -> Any:
        """The resting state for input [T, *batch_shape, N]."""
        return type(self).rest(self.shape(batch_shape), dtype)

    def shape(self, batch_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one step."""
        if not isinstance(batch_shape, (tuple, list)):  # jax itself checks the entries
            raise TypeError(
                f"`batch_shape` must be a tuple of ints, such as x.shape[1:-1]; got "
                f"{type(batch_shape).__name__}."
            )
        return (*batch_shape, self.features)

    def __call__(
        self, state: Any, current: ArrayLike, *, record: Sequence[str] = ()
    ) -> tuple[Any, Any]:
        """`current` is [T, B, ..., N]; returns the last state and the output of every step.

        `record=("v",)` returns that field of the state over time too: see `snnjax.unroll.unroll`.
        """
        current = self.check_input(state, current)
        return unroll(self.step(), state, current, checkpoint=self.checkpoint, record=record)

    def check_input(self, state: Any, current: ArrayLike) -> Array:
        """`current` as an array [T, B, ..., N] that fits the state.

        Raises:
          ValueError: it does not, has no steps, or is known to hold a NaN or an infinity.
          TypeError: it is not floating point.
        """
        current = jnp.asarray(current)
        own, layer = self.shape(()), f"{type(self).__name__}({self.features})"
        axes = len(own)
        held = jax.tree.map(jnp.shape, state)
        fits = current.ndim > axes and current.shape[-axes:] == own
        if fits:
            rest = jax.eval_shape(lambda: self.init_state(current.shape[1:-axes]))
            fits = held == jax.tree.map(jnp.shape, rest)
        if not fits:
            last = ", ".join(map(str, own))
            raise ValueError(
                f"{layer} takes input [T, B, ..., {last}] and a state of one step's "
                f"shape; got input {current.shape} and state {held}. "
                f"Make the state with init_state(x.shape[1:-{axes}])."
            )
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

    def check_back(self, layer: str, out: ArrayLike, current: Array) -> None:
        """Refuse an output of the step before, in the state of `layer`, of another shape."""
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


def check_finite(layer: str, current: ArrayLike) -> None:
    """Refuse a NaN or an infinity, which neurons would answer with silence.

    Traced values pass, and those of which other processes hold a part.
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
    """What to say of a name that is none: the nearest that is, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."


def spread(name: str, value: ArrayLike, shape: tuple[int, ...], layer: str = "") -> Array:
    """A number, or numbers for the last axes of `shape`, as float32 of that shape.

    What `layer` says stands before an error.
    """
    value = jnp.asarray(value, jnp.float32)
    if value.ndim > len(shape) or value.shape != shape[len(shape) - value.ndim :]:
        each = f"one for each of the {shape[0]} features" if len(shape) == 1 else f"of {shape}"
        wanted = f"a number or {each}" if shape else "a number, which all features share"
        raise ValueError(f"{layer}`{name}` must be {wanted}; got shape {value.shape}.")
    return jnp.broadcast_to(value, shape)


def as_floating(x: ArrayLike, like: Array) -> Array:
    """`x` as it is where it is floating; whole numbers and bools in the dtype of `like`."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(like.dtype)


def check_count(name: str, count: int) -> int:
    """A Python int of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a Python int of at least 1; got {count!r}.")
    return count


def choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as a static attribute, or as data where it is a Partial that carries arrays."""
    if not callable(function):
        raise TypeError(
            f"`spike` and `reset` are functions, such as snnjax.surrogates.atan; got {function!r}."
        )
    carries = any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(function))
    return nnx.data(function) if carries else function
