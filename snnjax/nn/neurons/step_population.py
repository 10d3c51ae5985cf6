"""Neuron layers defined by a step function and the domains of its constants."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons import euler
from snnjax.neurons.membrane import concrete
from snnjax.nn.neurons.checks import check_dt, check_shape, named
from snnjax.nn.neurons.domain import REAL, Domain, euler_frequency, euler_time_constant
from snnjax.nn.neurons.population import Population

Decay = Callable[[ArrayLike, ArrayLike], Array]
"""`exact`, `euler` or a function like them: from (tau, dt) to the decay of one step."""


class StepPopulation(Population):
    """A neuron layer defined by the four names of its neuron and the domains of its constants.

    A subclass gives `rest`, `advance` (the step), `params` (their type) and `constants`; where it
    has them, `decays`, `potentials`, `below`, `euler`, `turns` and `max_dt`. Its `__init__` has an
    argument with its default for each constant and option, and passes them to `hold` and
    `hold_options`.
    """

    advance: ClassVar[Callable[..., Any]]
    params: ClassVar[Callable[..., Any]]
    constants: ClassVar[Mapping[str, Domain]]

    decays: ClassVar[tuple[str, ...]] = ()
    """Time constants of which the step takes decays: `tau_a` becomes its `decay_a`."""

    potentials: ClassVar[tuple[str, ...]] = ()
    """Constants that the step and the resting state take as arguments, held if they are not 0."""

    below: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of constants of which the first lies below the second, also while they are trained."""

    euler: ClassVar[tuple[str, ...]] = ()
    """Time constants of forward Euler: above half a step if trained, at best above a step."""

    turns: ClassVar[tuple[str, ...]] = ()
    """Angular frequencies of Euler rotations, of less than one radian a step."""

    max_dt: ClassVar[float] = math.inf
    """Largest `dt` for which the discretised equations are still accurate."""

    def hold(
        self,
        dt: ArrayLike | None = None,
        decay: Decay | None = None,
        /,
        **values: ArrayLike,
    ) -> None:
        """Check and store the constants; also `dt` and `decay` where the neuron has them."""
        layer = type(self).__name__
        if dt is not None:
            check_dt(layer, dt)
        if decay is not None:
            self.dt, self.decay = 1.0 if dt is None else dt, _check_decay(layer, decay)
        values = {
            name: value
            for name, value in values.items()
            if name not in self.potentials or name in self.trainable or np.any(np.asarray(value))
        }
        pairs = self.below
        if "v_rest" in self.potentials and "v_rest" in values and "threshold" in values:
            pairs = (("v_rest", "threshold"),)
        self._check_order(pairs, values)
        for name, value in values.items():
            domain = self._domain(name, pairs, dt)
            limit = values.get(domain.above or domain.under, 0.0)
            self.constant(name, value, domain, self.shape_of(name), limit=limit)
        self.held = tuple(values)
        self.check_trainable()
        for name in self.decays:
            named(layer, self.decay, values[name], self.dt)  # refuses bad constants now
        if dt is not None:
            self._warn_of_dt(dt, values)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a constant: one number per neuron."""
        del name
        return (self.features,)

    def hold_options(self, **options: Any) -> None:
        """Store the step's keyword options as attributes of these names."""
        for name, value in options.items():
            setattr(self, name, self.choice(value) if name in FUNCTIONS else value)
        self.options = tuple(options)

    def _domain(
        self, name: str, pairs: tuple[tuple[str, str], ...], dt: ArrayLike | None
    ) -> Domain:
        """The domain of a constant, narrowed by `dt` and by the other constants."""
        domain = self.constants[name]
        for low, high in pairs:  # where both are trained, the low one moves with the high one
            if name == low:
                domain = domain._replace(under=high)
            elif name == high:
                domain = REAL if low in self.potentials else domain
                domain = domain if low in self.trainable else domain._replace(above=low)
        trained = name in self.trainable
        stiff = name in self.euler or (name in self.decays and self.decay is euler)
        if name not in self.turns and not (stiff and trained):
            return domain
        if dt is None or concrete(dt) is None:
            if not trained:
                return domain
            raise ValueError(
                f"{type(self).__name__}: `dt` must be concrete for {name!r} to be trained, since "
                "it limits it. Make the layer outside of jit, or give dt as a number."
            )
        return euler_frequency(dt) if name in self.turns else euler_time_constant(dt)

    def _check_order(
        self, pairs: tuple[tuple[str, str], ...], known: Mapping[str, ArrayLike]
    ) -> None:
        """Raise for constants in the wrong order, such as a reset at the threshold."""
        for low, high in pairs:
            for name in (low, high):
                shape = np.shape(known[name])
                check_shape(name, shape, (self.features,), f"{type(self).__name__}: ")
            if np.any(np.asarray(known[low]) >= np.asarray(known[high])):
                raise ValueError(
                    f"{type(self).__name__}: `{low}` must lie below `{high}`; got {low}="
                    f"{known[low]} with {high}={known[high]}. Lower `{low}` or raise `{high}`."
                )

    def _warn_of_dt(self, dt: ArrayLike, known: Mapping[str, ArrayLike]) -> None:
        """Warn if the step is too long; traced values are not checked."""
        length, layer = concrete(dt), type(self).__name__
        if length is None:
            return
        limits = {f"{name}={known[name]}": np.asarray(known[name]) for name in self.euler}
        if math.isfinite(self.max_dt):
            limits[f"the longest step of this model, {self.max_dt:g}"] = np.asarray(self.max_dt)
        for words, limit in limits.items():
            if np.any(length > limit):
                warnings.warn(
                    f"{layer}: dt={dt} exceeds {words}: a forward-Euler step overshoots. "
                    "Use a smaller dt.",
                    UserWarning,
                    stacklevel=4,
                )

    def init_state(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32) -> Any:
        """The resting state for input [T, *batch_shape, N]."""
        return type(self).rest(self.shape(batch_shape), dtype, **self._potentials())

    def step(self) -> Callable[..., Any]:
        """One step with the current constants."""
        values = {name: self.value(name) for name in self.held if name not in self.potentials}
        for name in self.decays:
            values[name.replace("tau", "decay", 1)] = self.decay(values.pop(name), self.dt)
        params = self.params(**values)
        options = {name: getattr(self, name) for name in self.options}
        return partial(type(self).advance, params, **options, **self._potentials())

    def _potentials(self) -> dict[str, Array]:
        return {name: self.value(name) for name in self.potentials if name in self.held}


FUNCTIONS = ("spike", "reset", "reset_dendrite", "act", "timing")


def _check_decay(layer: str, decay: Decay) -> Decay:
    if not callable(decay):
        raise TypeError(
            f"{layer}: `decay` is a function from (tau, dt) to the decay of one step, `exact` or "
            f"`euler` of snnjax.neurons; got {decay!r}. Give a decay of one step as a time "
            f"constant: tau=snnjax.neurons.time_constant({decay!r})."
        )
    return decay
