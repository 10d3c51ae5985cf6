"""Integrators and their leaky relatives: IF, LIF, PLIF, LI, and LIF behind a synapse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.nn.neurons.checks import named, spread
from snnjax.nn.neurons.domain import POSITIVE, REAL, Domain, domains
from snnjax.nn.neurons.population import Population
from snnjax.nn.neurons.step_population import Decay, StepPopulation
from snnjax.surrogates import Spike, atan


class IF(StepPopulation):
    """Integrate-and-fire neurons: see `snnjax.neurons.if_step`.

    Args:
      features: N.
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("threshold",) are trained.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      timing: when a neuron fires and resets, see `lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.if_init, n.if_step, n.IFParams
    constants = domains(threshold=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        timing: n.Timing = n.same_step,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(threshold=threshold)
        self.hold_options(spike=spike, reset=reset, timing=timing)


class LIF(StepPopulation):
    """Leaky integrate-and-fire neurons: see `snnjax.neurons.lif_step`.

    Time constants are trained through their logarithms. With `decay=euler` they stay above dt / 2,
    where the membrane still decays.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      threshold: in the unit of the membrane, above `v_rest`, a number or [N].
      v_rest: potential that the membrane leaks to and starts at, a number or [N].
      trainable: which of ("tau", "threshold", "v_rest") are trained; tau by default.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      timing: when a neuron fires and resets, see `lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.

    >>> import jax.numpy as jnp
    >>> layer = LIF(3, tau=2.0)
    >>> state, spikes = layer(None, jnp.ones((5, 2, 3)))
    >>> spikes.shape, state.v.shape
    ((5, 2, 3), (2, 3))
    """

    rest, advance, params = n.lif_init, n.lif_step, n.LIFParams
    constants = domains(tau=POSITIVE, threshold=POSITIVE, v_rest=REAL)
    decays, potentials = ("tau",), ("v_rest",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        threshold: ArrayLike = 1.0,
        v_rest: ArrayLike = 0.0,
        trainable: Sequence[str] = ("tau",),
        dt: ArrayLike = 1.0,
        decay: Decay = n.exact,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        timing: n.Timing = n.same_step,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, threshold=threshold, v_rest=v_rest)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input, timing=timing)


class PLIF(StepPopulation):
    """LIF neurons with 1 / tau = sigmoid(w) and w trained: see `snnjax.neurons.plif_step`.

    Fang et al., ICCV 2021, scale their input: `scale_input=True`.

    Args:
      features: N.
      tau: initial time constant in steps, above 1, a number or [N].
      shared: whether one w serves all neurons, as in the paper.
      threshold: in the unit of the membrane, above `v_rest`, a number or [N].
      v_rest: potential that the membrane leaks to and starts at, a number or [N].
      trainable: what is trained as well as w, of ("threshold", "v_rest"); nothing by default.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 / tau.
      timing: when a neuron fires and resets, see `lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance = n.plif_init, n.plif_step
    constants = domains(threshold=POSITIVE, v_rest=REAL)
    potentials = ("v_rest",)

    def __init__(
        self,
        features: int,
        *,
        tau: float | np.ndarray = 2.0,
        shared: bool = False,
        threshold: ArrayLike = 1.0,
        v_rest: ArrayLike = 0.0,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        timing: n.Timing = n.same_step,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(threshold=threshold, v_rest=v_rest)
        w = named("PLIF", n.plif_weight, tau)
        self.w = nnx.Param(spread("tau", w, (1 if shared else features,), "PLIF: "))
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input, timing=timing)

    def params(self, threshold: ArrayLike) -> n.PLIFParams:
        """The parameters of a step."""
        return n.PLIFParams(self.w[...], threshold)


class LI(StepPopulation):
    """A readout of leaky integrators: returns their membranes [T, B, ..., N], float32 or wider.

    See `snnjax.neurons.li_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      v_rest: potential that the membrane leaks to and starts at, a number or [N].
      trainable: which of ("tau", "v_rest") are trained; tau by default.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      scale_input: whether the input is scaled by 1 - decay.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params, spiking = n.li_init, n.li_step, n.LIParams, False
    constants = domains(tau=POSITIVE, v_rest=REAL)
    decays, potentials = ("tau",), ("v_rest",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        v_rest: ArrayLike = 0.0,
        trainable: Sequence[str] = ("tau",),
        dt: ArrayLike = 1.0,
        decay: Decay = n.exact,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, v_rest=v_rest)
        self.hold_options(scale_input=scale_input)


class CUBA(StepPopulation):
    """LIF neurons behind a synaptic current: see `snnjax.neurons.cuba_step`.

    Args:
      features: N.
      tau_c: time constant of the synaptic current, in the unit of `dt`, above 0, a number or [N].
      tau: time constant of the membrane, likewise.
      threshold: in the unit of the membrane, above `v_rest`, a number or [N].
      v_rest: potential that the membrane leaks to and starts at, a number or [N].
      trainable: which of ("tau_c", "tau", "threshold", "v_rest") are trained.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `reset_to(value)`, `none`, or one of them with `detach`.
      scale_input: whether both stages have unit gain for a constant input.
      timing: when a neuron fires and resets, see `lif_step`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.cuba_init, n.cuba_step, n.CUBAParams
    constants = domains(tau_c=POSITIVE, tau=POSITIVE, threshold=POSITIVE, v_rest=REAL)
    decays, potentials = ("tau_c", "tau"), ("v_rest",)

    def __init__(
        self,
        features: int,
        *,
        tau_c: ArrayLike = 5.0,
        tau: ArrayLike = 10.0,
        threshold: ArrayLike = 1.0,
        v_rest: ArrayLike = 0.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        decay: Decay = n.exact,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        timing: n.Timing = n.same_step,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau_c=tau_c, tau=tau, threshold=threshold, v_rest=v_rest)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input, timing=timing)


class Alpha(Population):
    """LIF neurons whose potential is an alpha function: see `snnjax.neurons.alpha_step`.

    The decays are exact: the gain of the alpha function holds for them. Trained time constants
    keep their order, a thousandth apart at least, and stay between 0.05 and 1e6 steps.

    Args:
      features: N.
      tau_exc: time constant of the falling flank, in the unit of `dt`, above 0, a number or [N].
      tau_inh: time constant of the rising flank, below `tau_exc`, likewise.
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau_exc", "tau_inh", "threshold") are trained.
      dt: length of a step.
      spike: surrogate spike function.
      reset: `zero`, `subtract`, `none`, or one of them with `detach`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = n.alpha_init

    def __init__(
        self,
        features: int,
        *,
        tau_exc: ArrayLike = 10.0,
        tau_inh: ArrayLike = 5.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: float = 1.0,
        spike: Spike = atan,
        reset: n.Reset = n.zero,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        if np.any(np.asarray(tau_inh) >= np.asarray(tau_exc)):
            raise ValueError(
                f"Alpha: `tau_inh` must lie below `tau_exc`; got tau_inh={tau_inh} with tau_exc="
                f"{tau_exc}. Swap them, or move them apart."
            )
        falling, rising = Domain(0.1 * dt, 1e6 * dt, ratio=1.001), Domain(0.05 * dt, ratio=1.001)
        if "tau_inh" not in self.trainable:
            falling, rising = falling._replace(above="tau_inh"), POSITIVE
        rising = rising._replace(under="tau_exc") if "tau_inh" in self.trainable else rising
        falling = falling if "tau_exc" in self.trainable else POSITIVE
        self.constant("tau_exc", tau_exc, falling, limit=tau_inh)
        self.constant("tau_inh", tau_inh, rising, limit=tau_exc)
        self.constant("threshold", threshold, POSITIVE)
        self.check_trainable()
        self.dt, self.spike, self.reset = dt, self.choice(spike), self.choice(reset)
        self._decays()  # warns of a long step now

    def _decays(self) -> tuple[Any, Any]:
        return n.exact(self.value("tau_exc"), self.dt), n.exact(self.value("tau_inh"), self.dt)

    def step(self) -> Callable[..., Any]:
        """One step with the current constants."""
        fall, rise = self.value("tau_exc"), self.value("tau_inh")
        gain = fall / (fall - rise)  # `alpha_gain` of exact decays, without their logarithms
        params = n.AlphaParams(*self._decays(), gain, self.value("threshold"))
        return partial(n.alpha_step, params, spike=self.spike, reset=self.reset)
