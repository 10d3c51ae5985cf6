"""Neurons with multi-level, signed or weighted spikes: ILIF, Ternary, Delta, STBIF, FewSpike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.nn.neurons.checks import check_count
from snnjax.nn.neurons.domain import POSITIVE, REAL, UNIT, domains
from snnjax.nn.neurons.population import Population
from snnjax.nn.neurons.step_population import Decay, StepPopulation
from snnjax.surrogates import Spike, atan, multi_level


class ILIF(StepPopulation):
    """Integer LIF neurons, which emit 0..D: see `snnjax.neurons.ilif_step`.

    Args:
      features: N.
      levels: D, the largest integer emitted.
      beta: share of the membrane that a step keeps, in [0, 1], a number or [N]; the published 0.25
        is too short to be a meaningful time constant, at 0.7 steps.
      trainable: which of ("beta",) are trained; none by default, as published.
      spike: integer spike function, called as `spike(h, levels)`.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance = n.ilif_init, n.ilif_step
    constants = domains(beta=UNIT)

    def __init__(
        self,
        features: int,
        *,
        levels: int = 4,
        beta: ArrayLike = 0.25,
        trainable: Sequence[str] = (),
        spike: Spike = multi_level,
        reset: n.Reset = n.subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(beta=beta)
        self.hold_options(levels=check_count("levels", levels, "ILIF"), spike=spike, reset=reset)

    def params(self, beta: ArrayLike) -> n.ILIFParams:
        """The parameters of a step."""
        return n.ILIFParams(beta)


class Ternary(StepPopulation):
    """LIF neurons that emit -1, 0 or 1: see `snnjax.neurons.ternary_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "threshold") are trained.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function, for each threshold.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.ternary_init, n.ternary_step, n.TernaryParams
    constants, decays = domains(tau=POSITIVE, threshold=POSITIVE), ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        decay: Decay = n.exact,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, threshold=threshold)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input)


class Delta(StepPopulation):
    """Delta modulators, which emit changes: see `snnjax.neurons.delta_step`.

    Args:
      features: N.
      threshold: change that is sent, in the unit of the input, above 0, a number or [N].
      trainable: which of ("threshold",) are trained.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.delta_init, n.delta_step, n.DeltaParams
    constants = domains(threshold=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        threshold: ArrayLike = 0.1,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(threshold=threshold)
        self.hold_options(spike=spike)


class STBIF(StepPopulation):
    """Ternary neurons that settle at a quantised activation: see `snnjax.neurons.stbif_step`.

    Args:
      features: N.
      scale: value of one spike, in the unit of the input, above 0, a number or [N].
      low, high: bounds of the spike count, the quantiser's lowest and highest level.
      trainable: which of ("scale",) are trained.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.stbif_init, n.stbif_step, n.STBIFParams
    constants = domains(scale=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        scale: ArrayLike = 1.0,
        low: int = 0,
        high: int = 15,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(scale=scale)
        self.hold_options(low=low, high=high, spike=spike)


class FewSpike(Population):
    """Few-spike neurons, which share their tables: see `snnjax.neurons.few_spike_step`.

    Args:
      features: N.
      tables: K entries each; None takes `snnjax.neurons.few_spike_relu(8, 4.0)`.
      trainable: which of ("threshold", "h", "d") are trained.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = n.few_spike_init

    def __init__(
        self,
        features: int,
        *,
        tables: n.FewSpikeParams | None = None,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        tables = n.few_spike_relu(8, 4.0) if tables is None else tables
        for name, table in tables._asdict().items():
            self.constant(name, table, REAL, jnp.shape(tables.threshold))
        self.check_trainable()
        self.spike = self.choice(spike)

    def step(self) -> Callable[..., Any]:
        """One step with the current tables."""
        params = n.FewSpikeParams(*(self.value(name) for name in n.FewSpikeParams._fields))
        return partial(n.few_spike_step, params, spike=self.spike)
