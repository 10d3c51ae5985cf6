"""Spiking layers: thin holders of time constants over the neurons, unrolled over [T, B, ..., N]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import (
    IFParams,
    IFState,
    ILIFParams,
    ILIFState,
    LIFParams,
    LIFState,
    LIParams,
    LIState,
    PLIFParams,
    PLIFState,
    Reset,
    exact,
    if_init,
    if_step,
    ilif_init,
    ilif_step,
    li_init,
    li_step,
    lif_init,
    lif_step,
    plif_init,
    plif_step,
    plif_weight,
    subtract,
)
from snnjax.surrogates import Spike, atan, multi_level
from snnjax.unroll import unroll


class Fixed(nnx.Variable):
    """A constant of a layer, such as a time constant that is not learned; no `nnx.Param`."""


def _variable(name: str, value: ArrayLike, features: int, learn: bool) -> nnx.Variable:
    """One value a feature, as a parameter or as a constant."""
    value = jnp.asarray(value, jnp.float32)
    if value.shape not in ((), (features,)):
        raise ValueError(
            f"`{name}` must be a number or one for each of the {features} features; got shape "
            f"{value.shape}."
        )
    array = jnp.broadcast_to(value, (features,))
    return nnx.Param(array) if learn else Fixed(array)


def _threshold(threshold: ArrayLike, features: int) -> nnx.Variable:
    if not np.all(np.isfinite(threshold) & (np.asarray(threshold) > 0)):
        raise ValueError(f"`threshold` must be finite and above 0; got {threshold}.")
    return _variable("threshold", threshold, features, learn=False)


def _count(name: str, count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a Python int of at least 1; got {count!r}.")
    return count


def _shape(batch_shape: tuple[int, ...], features: int) -> tuple[int, ...]:
    """The shape of one step; jax itself checks that its entries are integers."""
    if not isinstance(batch_shape, (tuple, list)):
        raise TypeError(
            f"`batch_shape` must be a tuple of ints, such as x.shape[1:-1]; got "
            f"{type(batch_shape).__name__}."
        )
    return (*batch_shape, features)


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as a static attribute, or as data where it is a Partial that carries arrays."""
    if not callable(function):
        raise TypeError(
            f"`spike` and `reset` are functions, such as snnjax.surrogates.atan; got {function!r}."
        )
    carries = any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(function))
    return nnx.data(function) if carries else function


def _check_input(layer: str, features: int, v: Array, current: Array) -> Array:
    current = jnp.asarray(current)
    if current.ndim < 2 or current.shape[-1] != features or current.shape[1:] != v.shape:
        raise ValueError(
            f"{layer}({features}) takes input [T, B, ..., {features}] and a state of one step's "
            f"shape; got input {current.shape} and state {v.shape}. "
            f"Make the state with init_state(x.shape[1:-1])."
        )
    return current


class IF(nnx.Module):
    """A population of integrate-and-fire neurons; it has no parameters to learn."""

    def __init__(
        self,
        features: int,
        *,
        threshold: float | np.ndarray = 1.0,
        spike: Spike = atan,
        reset: Reset = subtract,
        checkpoint: bool | int = True,
    ):
        self.features = _count("features", features)
        self.threshold = _threshold(threshold, features)
        self.spike, self.reset, self.checkpoint = _choice(spike), _choice(reset), checkpoint

    def init_state(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32
    ) -> IFState:
        """The resting state for input [T, *batch_shape, N]."""
        return if_init(_shape(batch_shape, self.features), dtype)

    def __call__(
        self, state: IFState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[IFState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and spikes of that shape.

        `record=("v",)` returns the membrane too: see `snnjax.unroll.unroll`.
        """
        current = _check_input("IF", self.features, state.v, current)
        step = partial(if_step, IFParams(self.threshold[...]), spike=self.spike, reset=self.reset)
        return unroll(step, state, current, checkpoint=self.checkpoint, record=record)


class LIF(nnx.Module):
    """A population of LIF neurons; the logarithms of their time constants are parameters.

    Args:
      features: N. tau: time constants above 0, a number or [N], in the unit of `dt`.
      dt: length of a step. decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      learn: whether tau is learned (`log_tau` an `nnx.Param`) or fixed.
      threshold, spike, reset, scale_input: see `snnjax.neurons.lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.

    >>> layer = LIF(3, tau=2.0)
    >>> state, spikes = layer(layer.init_state((2,)), jnp.ones((5, 2, 3)))
    >>> spikes.shape, state.v.shape
    ((5, 2, 3), (2, 3))
    """

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        dt: float = 1.0,
        decay: Callable[[ArrayLike, ArrayLike], Array] = exact,
        learn: bool = True,
        threshold: float | np.ndarray = 1.0,
        spike: Spike = atan,
        reset: Reset = subtract,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        decay(tau, dt)  # refuses bad constants now
        self.features, self.dt = _count("features", features), dt
        self.threshold = _threshold(threshold, features)
        self.log_tau = _variable("tau", jnp.log(jnp.asarray(tau, jnp.float32)), features, learn)
        self.decay, self.scale_input, self.checkpoint = decay, scale_input, checkpoint
        self.spike, self.reset = _choice(spike), _choice(reset)

    def init_state(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32
    ) -> LIFState:
        """The resting state for input [T, *batch_shape, N]."""
        return lif_init(_shape(batch_shape, self.features), dtype)

    def __call__(
        self, state: LIFState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[LIFState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and spikes of that shape.

        `record=("v",)` returns the membrane too: see `snnjax.unroll.unroll`.
        """
        current = _check_input("LIF", self.features, state.v, current)
        params = LIFParams(self.decay(jnp.exp(self.log_tau[...]), self.dt), self.threshold[...])
        step = partial(
            lif_step, params, spike=self.spike, reset=self.reset, scale_input=self.scale_input
        )
        return unroll(step, state, current, checkpoint=self.checkpoint, record=record)


class PLIF(nnx.Module):
    """A population of LIF neurons with 1/tau = sigmoid(w) and w learned.

    Args:
      features: N. tau: initial time constants in steps, above 1, a number or [N].
      shared: whether one w serves all neurons, as in the paper.
      threshold, spike, reset, scale_input: see `snnjax.neurons.plif_step`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    def __init__(
        self,
        features: int,
        *,
        tau: float | np.ndarray = 2.0,
        shared: bool = False,
        threshold: float | np.ndarray = 1.0,
        spike: Spike = atan,
        reset: Reset = subtract,
        scale_input: bool = True,
        checkpoint: bool | int = True,
    ):
        self.features = _count("features", features)
        self.threshold = _threshold(threshold, features)
        self.w = _variable("tau", plif_weight(tau), 1 if shared else features, learn=True)
        self.scale_input, self.checkpoint = scale_input, checkpoint
        self.spike, self.reset = _choice(spike), _choice(reset)

    def init_state(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32
    ) -> PLIFState:
        """The resting state for input [T, *batch_shape, N]."""
        return plif_init(_shape(batch_shape, self.features), dtype)

    def __call__(
        self, state: PLIFState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[PLIFState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and spikes of that shape.

        `record=("v",)` returns the membrane too: see `snnjax.unroll.unroll`.
        """
        current = _check_input("PLIF", self.features, state.v, current)
        step = partial(
            plif_step,
            PLIFParams(self.w[...], self.threshold[...]),
            spike=self.spike,
            reset=self.reset,
            scale_input=self.scale_input,
        )
        return unroll(step, state, current, checkpoint=self.checkpoint, record=record)


class LI(nnx.Module):
    """A readout of leaky integrators: returns their membranes [T, B, ..., N], float32 or wider.

    Args:
      features: N. tau: time constants above 0, a number or [N], in the unit of `dt`.
      dt: length of a step. decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      learn: whether tau is learned (`log_tau` an `nnx.Param`) or fixed.
      scale_input: see `snnjax.neurons.li_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        dt: float = 1.0,
        decay: Callable[[ArrayLike, ArrayLike], Array] = exact,
        learn: bool = True,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        decay(tau, dt)  # refuses bad constants now
        self.features, self.dt, self.decay = _count("features", features), dt, decay
        self.log_tau = _variable("tau", jnp.log(jnp.asarray(tau, jnp.float32)), features, learn)
        self.scale_input, self.checkpoint = scale_input, checkpoint

    def init_state(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32
    ) -> LIState:
        """The resting state for input [T, *batch_shape, N]."""
        return li_init(_shape(batch_shape, self.features), dtype)

    def __call__(
        self, state: LIState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[LIState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and the membrane of every step.

        `record=("v",)` returns the membrane a second time: see `snnjax.unroll.unroll`.
        """
        current = _check_input("LI", self.features, state.v, current)
        params = LIParams(self.decay(jnp.exp(self.log_tau[...]), self.dt))
        step = partial(li_step, params, scale_input=self.scale_input)
        return unroll(step, state, current, checkpoint=self.checkpoint, record=record)


class ILIF(nnx.Module):
    """A population of integer LIF neurons, which emit 0..D.

    Args:
      features: N. levels: D. beta: decay in [0, 1], a number or [N]; in (0, 1) if learned.
      learn: whether beta is learned (`logit_beta` an `nnx.Param`, `beta` None) or fixed, as
        published (`beta` a constant, `logit_beta` None).
      spike, reset: see `snnjax.neurons.ilif_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    def __init__(
        self,
        features: int,
        *,
        levels: int = 4,
        beta: float | np.ndarray = 0.25,
        learn: bool = False,
        spike: Spike = multi_level,
        reset: Reset = subtract,
        checkpoint: bool | int = True,
    ):
        known = np.asarray(beta, np.float32)
        inside = (known > 0) & (known < 1) if learn else (known >= 0) & (known <= 1)
        if not np.all(inside):
            bounds = "strictly between 0 and 1 to be learned" if learn else "in [0, 1]"
            raise ValueError(f"`beta` must lie {bounds}; got {beta}.")
        self.features, self.levels = _count("features", features), _count("levels", levels)
        value = _variable("beta", np.log(known / (1 - known)) if learn else known, features, learn)
        self.beta, self.logit_beta = (None, value) if learn else (value, None)
        self.spike, self.reset, self.checkpoint = _choice(spike), _choice(reset), checkpoint

    def init_state(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32
    ) -> ILIFState:
        """The resting state for input [T, *batch_shape, N]."""
        return ilif_init(_shape(batch_shape, self.features), dtype)

    def __call__(
        self, state: ILIFState, current: Array, *, record: Sequence[str] = ()
    ) -> tuple[ILIFState, Any]:
        """`current` is [T, B, ..., N]; returns the last state and integers of that shape.

        `record=("v",)` returns the membrane too: see `snnjax.unroll.unroll`.
        """
        current = _check_input("ILIF", self.features, state.v, current)
        if self.logit_beta is not None:
            beta = jax.nn.sigmoid(self.logit_beta[...])
        else:
            beta = cast(nnx.Variable, self.beta)[...]
        step = partial(
            ilif_step, ILIFParams(beta), levels=self.levels, spike=self.spike, reset=self.reset
        )
        return unroll(step, state, current, checkpoint=self.checkpoint, record=record)
