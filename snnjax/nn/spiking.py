"""Leaky and integrate-and-fire layers: thin holders of constants over the neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.neurons import (
    IFParams,
    ILIFParams,
    LIFParams,
    LIParams,
    PLIFParams,
    Reset,
    euler,
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
from snnjax.nn.population import (
    POSITIVE,
    UNIT,
    Population,
    check_count,
    check_dt,
    euler_time_constant,
    named,
    spread,
)
from snnjax.surrogates import Spike, atan, multi_level

Decay = Callable[[ArrayLike, ArrayLike], Array]


def hold_tau(layer: Population, tau: ArrayLike, dt: ArrayLike, decay: Decay) -> None:
    """Hold the time constants of a layer, where they learn under `euler` above half a step."""
    name = type(layer).__name__
    check_dt(name, dt)
    stiff = decay is euler and "tau" in layer.learn
    layer.constant("tau", tau, euler_time_constant(dt) if stiff else POSITIVE)
    named(name, decay, tau, dt)  # refuses bad constants now


class IF(Population):
    """A population of integrate-and-fire neurons.

    Args:
      features: N. threshold: above 0, a number or [N].
      learn: which of ("threshold",) learn; none by default.
      spike, reset: see `snnjax.neurons.if_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = if_init

    def __init__(
        self,
        features: int,
        *,
        threshold: ArrayLike = 1.0,
        learn: Sequence[str] = (),
        spike: Spike = atan,
        reset: Reset = subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        self.constant("threshold", threshold, POSITIVE)
        self.check_learned()
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = IFParams(self.value("threshold"))
        return partial(if_step, params, spike=self.spike, reset=self.reset)


class LIF(Population):
    """A population of LIF neurons; their time constants learn, through their logarithms.

    Under `decay=euler` they stay above dt / 2 while they learn, where the membrane still decays.

    Args:
      features: N. tau: time constants above 0, a number or [N], in the unit of `dt`.
      dt: length of a step. decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      learn: which of ("tau", "threshold") learn.
      threshold, spike, reset, scale_input: see `snnjax.neurons.lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.

    >>> import jax.numpy as jnp
    >>> layer = LIF(3, tau=2.0)
    >>> state, spikes = layer(layer.init_state((2,)), jnp.ones((5, 2, 3)))
    >>> spikes.shape, state.v.shape
    ((5, 2, 3), (2, 3))
    """

    rest = lif_init

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        threshold: ArrayLike = 1.0,
        learn: Sequence[str] = ("tau",),
        dt: float = 1.0,
        decay: Decay = exact,
        spike: Spike = atan,
        reset: Reset = subtract,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        hold_tau(self, tau, dt, decay)
        self.constant("threshold", threshold, POSITIVE)
        self.check_learned()
        self.dt, self.decay, self.scale_input = dt, decay, scale_input
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = LIFParams(self.decay(self.value("tau"), self.dt), self.value("threshold"))
        return partial(
            lif_step, params, spike=self.spike, reset=self.reset, scale_input=self.scale_input
        )


class PLIF(Population):
    """A population of LIF neurons with 1/tau = sigmoid(w) and w learned.

    Args:
      features: N. tau: initial time constants in steps, above 1, a number or [N].
      shared: whether one w serves all neurons, as in the paper.
      learn: what learns beside w, of ("threshold",); nothing by default.
      threshold, spike, reset, scale_input: see `snnjax.neurons.plif_step`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = plif_init

    def __init__(
        self,
        features: int,
        *,
        tau: float | np.ndarray = 2.0,
        shared: bool = False,
        threshold: ArrayLike = 1.0,
        learn: Sequence[str] = (),
        spike: Spike = atan,
        reset: Reset = subtract,
        scale_input: bool = True,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        self.constant("threshold", threshold, POSITIVE)
        self.check_learned()
        w = named("PLIF", plif_weight, tau)
        self.w = nnx.Param(spread("tau", w, (1 if shared else features,), "PLIF: "))
        self.scale_input = scale_input
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = PLIFParams(self.w[...], self.value("threshold"))
        return partial(
            plif_step, params, spike=self.spike, reset=self.reset, scale_input=self.scale_input
        )


class LI(Population):
    """A readout of leaky integrators: returns their membranes [T, B, ..., N], float32 or wider.

    Args:
      features: N. tau: time constants above 0, a number or [N], in the unit of `dt`.
      dt: length of a step. decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      learn: which of ("tau",) learn.
      scale_input: see `snnjax.neurons.li_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, spiking = li_init, False

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        learn: Sequence[str] = ("tau",),
        dt: float = 1.0,
        decay: Decay = exact,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        hold_tau(self, tau, dt, decay)
        self.check_learned()
        self.dt, self.decay, self.scale_input = dt, decay, scale_input

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = LIParams(self.decay(self.value("tau"), self.dt))
        return partial(li_step, params, scale_input=self.scale_input)


class ILIF(Population):
    """A population of integer LIF neurons, which emit 0..D.

    Args:
      features: N. levels: D. beta: decay in [0, 1], a number or [N]; in (0, 1) if it learns.
      learn: which of ("beta",) learn; none by default, as published.
      spike, reset: see `snnjax.neurons.ilif_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = ilif_init

    def __init__(
        self,
        features: int,
        *,
        levels: int = 4,
        beta: ArrayLike = 0.25,
        learn: Sequence[str] = (),
        spike: Spike = multi_level,
        reset: Reset = subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        self.constant("beta", beta, UNIT)
        self.check_learned()
        self.levels = check_count("levels", levels, "ILIF")
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = ILIFParams(self.value("beta"))
        return partial(ilif_step, params, levels=self.levels, spike=self.spike, reset=self.reset)
