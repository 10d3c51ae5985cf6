"""Resonators: RAF, RF, HRF, BRF."""

from __future__ import annotations

from collections.abc import Sequence

from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.nn.neurons.domain import POSITIVE, REAL, domains
from snnjax.nn.neurons.step_population import StepPopulation
from snnjax.surrogates import Spike, atan


class RAF(StepPopulation):
    """Resonate-and-fire neurons: see `snnjax.neurons.raf_step`.

    Args:
      features: N.
      b: growth rate per unit of `dt`, below 0 for damping, a number or [N].
      w: angular frequency, radians per unit of `dt`, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("b", "w", "threshold") are trained.
      dt: length of a step.
      spike: surrogate spike function.
      reset: `zero`, `subtract`, `none`, or one of them with `detach`; applied to v.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.raf_init, n.raf_step, n.RAFParams
    constants = domains(b=REAL, w=REAL, threshold=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        b: ArrayLike = -0.2,
        w: ArrayLike = 1.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        spike: Spike = atan,
        reset: n.Reset = n.zero,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, b=b, w=w, threshold=threshold)
        self.hold_options(dt=dt, spike=spike, reset=reset)


class RF(StepPopulation):
    """Euler resonate-and-fire neurons, never reset: see `snnjax.neurons.rf_step`.

    They diverge for b above `snnjax.neurons.brf_boundary(w, dt)`, below which `BRF` stays. The
    input is multiplied by dt.

    Args:
      features: N.
      b: growth rate per unit of `dt`, below 0, a number or [N].
      w: angular frequency, radians per unit of `dt`, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("b", "w", "threshold") are trained.
      dt: length of a step.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.rf_init, n.rf_step, n.RFParams
    constants = domains(b=REAL, w=REAL, threshold=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        b: ArrayLike = -1.0,
        w: ArrayLike = 10.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 0.01,
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, b=b, w=w, threshold=threshold)
        self.hold_options(dt=dt, spike=spike)


class HRF(StepPopulation):
    """Harmonic resonate-and-fire neurons: see `snnjax.neurons.hrf_step`.

    Trained frequencies keep dt * abs(w) below 1. The input is multiplied by dt.

    Args:
      features: N.
      b0: damping rate per unit of `dt`; its sign does not matter, a number or [N].
      w: angular frequency, radians per unit of `dt`, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("b0", "w", "threshold") are trained.
      dt: length of a step.
      refractory: factor by which the refractory trace decays in a step.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.hrf_init, n.hrf_step, n.HRFParams
    constants, turns = domains(b0=REAL, w=REAL, threshold=POSITIVE), ("w",)

    def __init__(
        self,
        features: int,
        *,
        b0: ArrayLike = 1.0,
        w: ArrayLike = 10.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 0.01,
        refractory: ArrayLike = 0.9,
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, b0=b0, w=w, threshold=threshold)
        self.hold_options(dt=dt, refractory=refractory, spike=spike)


class BRF(HRF):
    """Balanced resonate-and-fire neurons: see `snnjax.neurons.brf_step`.

    Trained frequencies keep dt * abs(w) below 1. The input is multiplied by dt.

    Args:
      features: N.
      b0: distance from the divergence boundary per unit of `dt`; its sign does not matter.
      w: angular frequency, radians per unit of `dt`, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("b0", "w", "threshold") are trained.
      dt: length of a step.
      refractory: factor by which the refractory trace decays in a step.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.brf_init, n.brf_step, n.BRFParams
