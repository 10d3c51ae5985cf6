"""What all spiking layers share: constants, which of them learn, and the unrolled call."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import concrete
from snnjax.nn.stateful import Stateful, forgotten_state
from snnjax.surrogates.core import compute_dtype
from snnjax.unroll import unroll


class Fixed(nnx.Variable):
    """A constant of a layer, such as a time constant that is not learned; no `nnx.Param`."""


class Domain(NamedTuple):
    """The interval in which a constant lies.

    A constant that learns is held as a number x without limits, so that no update leaves the
    interval:

        x                                 without limits
        low + exp(x) or high - exp(x)     with one
        low + (high - low) sigmoid(x)     with two
        high tanh(x / high)               with two that are opposite; near 0 it moves as x does

    Attributes:
      low, high: the limits.
      closed: whether a constant that does not learn may lie on them.
      reason: what they come from, for errors.
      above, under: another constant that is the low or the high limit where it is the tighter.
    """

    low: float = -math.inf
    high: float = math.inf
    closed: bool = False
    reason: str = ""
    above: str = ""
    under: str = ""

    @property
    def prefix(self) -> str:
        """Of the learned variable's name: that of a learned `tau` above 0 is `log_tau`."""
        known = {REAL: "", POSITIVE: "log_", UNIT: "logit_"}
        return known.get(self, "free_")

    def inside(self, value: np.ndarray) -> bool:
        """Whether all of `value` lie in the interval, on its ends if it is closed."""
        within = (value > self.low) & (value < self.high)
        ends = self.closed & ((value == self.low) | (value == self.high))
        return bool(np.all(np.isfinite(value) & (within | ends)))

    @property
    def words(self) -> str:
        """What a constant must do."""
        if self.closed:
            return f"lie in [{self.low:g}, {self.high:g}]"
        if self.high < math.inf:
            return f"lie between {self.low:.4g} and {self.high:.4g}{self.reason}"
        least = f" and above {self.low:.4g}" if self.low > -math.inf else ""
        return f"be finite{least}{self.reason}"


REAL = Domain()
POSITIVE = Domain(low=0.0)
UNIT = Domain(low=0.0, high=1.0, closed=True)
APART = 1e-6  # between a constant and another that limits it; float32 tells numbers near 1 apart
INNER = 1.0 + 1e-6  # a limit that is not to be reached when x runs away is drawn in by this factor


def euler_time_constant(dt: ArrayLike) -> Domain:
    """Time constants with which forward Euler decays: above dt / 2, for the longest step."""
    longest = float(np.max(np.asarray(dt)))
    reason = f" (half of dt={longest:g}) to be learned, for forward Euler diverges below it"
    return Domain(low=0.5 * longest * INNER, reason=reason)


def euler_frequency(dt: ArrayLike) -> Domain:
    """Angular frequencies with dt * abs(w) < 1, for the longest step."""
    longest = float(np.max(np.asarray(dt)))
    reason = f", for `dt` * abs(w) < 1 with dt={longest:g}, beyond which Euler rotations diverge"
    return Domain(low=-1.0 / (longest * INNER), high=1.0 / (longest * INNER), reason=reason)


class Population(Stateful):
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
        layer = type(self).__name__
        if isinstance(learn, (str, bool)):
            raise TypeError(
                f'{layer}: `learn` must be a tuple of names, such as ("tau",); got {learn!r}.'
            )
        self.features = check_count("features", features, layer)
        self.checkpoint = checkpoint
        self.learn = tuple(learn)
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
        """Hold a constant of `shape`, by default one a neuron; as a parameter if `learn` names it.

        A number stands for all of them, and so does an array of the shape's last axes. `limit` is
        the value of the constant that `domain` names in `above` or `under`; both concern what
        learns alone.

        Raises:
          ValueError: it lies outside the domain, or has another shape.
        """
        known = np.asarray(value, jnp.result_type(float)).astype(np.float64)  # as it will be held
        learned = name in self.learn
        layer = type(self).__name__
        if not domain.inside(known):
            raise ValueError(f"{layer}: `{name}` must {domain.words}; got {value}.")
        shape = (self.features,) if shape is None else shape
        check_shape(name, known.shape, shape, f"{layer}: ")
        if learned:
            low, high = _limits(np, domain, np.asarray(limit, np.float64))
            if not np.all((known > low) & (known < high)):
                of = domain.above or domain.under
                beyond = f" with {of}={limit}. Move them apart." if of else "."
                raise ValueError(
                    f"{layer}: `{name}` must lie strictly inside its bounds to be learned; got "
                    f"{value}{beyond}"
                )
            known = _free(known, low, high)
        else:
            domain = domain._replace(above="", under="")
        stored = spread(name, known, shape)
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
                raise ValueError(
                    f"{type(self).__name__}: `learn` names {name!r}, which is no constant here; "
                    f"{hint}"
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
        """A constant, [N] in most cases, in its domain whether it is learned or not."""
        if name not in self.learn:
            return getattr(self, name)[...]
        domain = dict(self.domains)[name]
        of = domain.above or domain.under
        low, high = _limits(jnp, domain, self.value(of) if of else 0.0)
        return _held(getattr(self, domain.prefix + name)[...], low, high)

    def step(self) -> Callable[[Any, Array], tuple[Any, Any]]:
        """`step(state, current) -> (state, out)` with the constants of now."""
        raise NotImplementedError

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
        """`current` as an array [T, B, ..., N] that fits the state; None as a state fits all.

        Raises:
          ValueError: it does not, has no steps, or is known to hold a NaN or an infinity.
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
        """Refuse an input that is not [T, B, ..., N], or does not fit `state` if there is one."""
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
        hint = _batch_first(shape[: len(shape) - axes], state, axes)
        raise ValueError(
            f"{type(self).__name__}({self.features}) takes input [T, B, ..., {last}] and a state "
            f"of one step's shape; got {got}. {hint}"
        )

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


def _batch_first(lead: tuple[int, ...], state: Any, axes: int) -> str:
    """The remedy for input with the leading axes `lead`, [T, B, ...], that does not fit a state.

    Where the state fits with the first two axes exchanged, the input has its batch first.
    """
    batches = {leaf.shape[:-axes] for leaf in jax.tree.leaves(state) if jnp.ndim(leaf) > axes}
    if len(lead) == 2 and lead[0] != lead[1] and batches == {lead[:1]}:
        return "Time comes first: pass jnp.swapaxes(x, 0, 1) if your batch does."
    return "Pass None as the state to start at rest, or make one with rest_for(x)."


def membrane_dtype(dtype: DTypeLike) -> DTypeLike:
    """The dtype of a membrane for input of `dtype`: float32 at least."""
    return compute_dtype(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.float32


def _limits(xp: ModuleType, domain: Domain, limit: Any) -> tuple[Any, Any]:
    """The limits of a constant that learns: floats, or arrays where another constant limits it."""
    low = xp.asarray(xp.maximum(domain.low, limit + APART)) if domain.above else domain.low
    high = xp.asarray(xp.minimum(domain.high, limit - APART)) if domain.under else domain.high
    return low, high


def _there(limit: Any) -> bool:
    return not (isinstance(limit, float) and math.isinf(limit))


def _opposite(low: Any, high: Any) -> bool:
    return isinstance(low, float) and isinstance(high, float) and low == -high


def _free(value: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """The number without limits that stands for a constant between `low` and `high`."""
    if not _there(high):
        return np.log(value - low) if _there(low) else value
    if not _there(low):
        return np.log(high - value)
    if _opposite(low, high):
        return high * np.arctanh(value / high)
    return np.log((value - low) / (high - value))


def _held(x: Array, low: Any, high: Any) -> Array:
    """The constant between `low` and `high` that `x` stands for."""
    if not _there(high):
        return low + jnp.exp(x) if _there(low) else x
    if not _there(low):
        return high - jnp.exp(x)
    if _opposite(low, high):
        return high * jnp.tanh(x / high)
    return low + (high - low) * jax.nn.sigmoid(x)


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
    """A number, or numbers for the last axes of `shape`, as floats of that shape.

    What `layer` says stands before an error.
    """
    check_shape(name, np.shape(value), shape, layer)
    return jnp.broadcast_to(jnp.asarray(value, float), shape)


def check_shape(name: str, given: tuple[int, ...], shape: tuple[int, ...], layer: str = "") -> None:
    """Refuse what is no number and has not the last axes of `shape`."""
    if len(given) > len(shape) or given != shape[len(shape) - len(given) :]:
        each = f"one for each of the {shape[0]} features" if len(shape) == 1 else f"of {shape}"
        wanted = f"a number or {each}" if shape else "a number, which all features share"
        raise ValueError(f"{layer}`{name}` must be {wanted}; got shape {given}.")


def as_floating(x: ArrayLike, like: Array) -> Array:
    """`x` as it is where it is floating; whole numbers and bools in the dtype of `like`."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(like.dtype)


def check_dt(layer: str, dt: ArrayLike) -> None:
    """Refuse a step that is none; a traced one passes."""
    length = concrete(dt)
    if length is not None and not np.all(np.isfinite(length) & (length > 0)):
        raise ValueError(
            f"{layer}: `dt` must be finite and above 0; got {dt}. Give the length of a step."
        )


def named(layer: str, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, whose ValueError begins with the layer's name."""
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
