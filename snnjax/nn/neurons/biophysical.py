"""Biophysical neurons, in the unit of their equations: QIF, EIF, AdEx, Izhikevich, Hodgkin-Huxley.

The input is a current, which a step multiplies by dt / tau or dt / c.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from snnjax import neurons as n
from snnjax.nn.neurons.domain import POSITIVE, REAL, domains
from snnjax.nn.neurons.step_population import StepPopulation
from snnjax.surrogates import Spike, atan

WIDE = partial(atan, slope=0.1)  # falls to half at 6 mV from the threshold


class QIF(StepPopulation):
    """Quadratic integrate-and-fire neurons: see `snnjax.neurons.qif_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      v_rest: stable point without input, in the unit of the membrane, a number or [N].
      v_c: critical point, above `v_rest`, likewise.
      a0: curvature, above 0, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      v_reset: where the membrane goes after a spike, below `threshold`, a number or [N].
      trainable: which of the constants above are trained.
      dt: length of a step.
      spike: surrogate spike function.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.qif_init, n.qif_step, n.QIFParams
    constants = domains(
        tau=POSITIVE, v_rest=REAL, v_c=REAL, a0=POSITIVE, threshold=POSITIVE, v_reset=REAL
    )
    below, euler = (("v_reset", "threshold"), ("v_rest", "v_c")), ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        v_rest: ArrayLike = 0.0,
        v_c: ArrayLike = 0.8,
        a0: ArrayLike = 1.0,
        threshold: ArrayLike = 1.0,
        v_reset: ArrayLike = -0.1,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        spike: Spike = atan,
        reset: n.Reset = n.hard,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        points = {"v_rest": v_rest, "v_c": v_c, "threshold": threshold, "v_reset": v_reset}
        self.hold(dt, tau=tau, a0=a0, **points)
        self.hold_options(dt=dt, spike=spike, reset=reset)


class EIF(StepPopulation):
    """Exponential integrate-and-fire neurons: see `snnjax.neurons.eif_step`.

    With the defaults they have a rheobase of v_rh - v_rest - delta = 0.6.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      v_rest: where the leak alone would rest, in the unit of the membrane, a number or [N].
      delta: sharpness of the upstroke, above 0, likewise.
      v_rh: rheobase threshold of the upstroke, likewise.
      threshold: in the unit of the membrane, above 0, a number or [N].
      v_reset: where the membrane goes after a spike, below `threshold`, a number or [N].
      trainable: which of the constants above are trained.
      dt: length of a step.
      spike: surrogate spike function.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.eif_init, n.eif_step, n.EIFParams
    constants = domains(
        tau=POSITIVE, v_rest=REAL, delta=POSITIVE, v_rh=REAL, threshold=POSITIVE, v_reset=REAL
    )
    below, euler = (("v_reset", "threshold"),), ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        v_rest: ArrayLike = 0.0,
        delta: ArrayLike = 0.2,
        v_rh: ArrayLike = 0.8,
        threshold: ArrayLike = 1.0,
        v_reset: ArrayLike = 0.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        spike: Spike = atan,
        reset: n.Reset = n.hard,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        points = {"v_rest": v_rest, "v_rh": v_rh, "threshold": threshold, "v_reset": v_reset}
        self.hold(dt, tau=tau, delta=delta, **points)
        self.hold_options(dt=dt, spike=spike, reset=reset)


class AdEx(StepPopulation):
    """EIF neurons with an adaptation current: see `snnjax.neurons.adex_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      v_rest: where the leak alone would rest, in the unit of the membrane, a number or [N].
      delta: sharpness of the upstroke, above 0, likewise.
      v_rh: rheobase threshold of the upstroke, likewise.
      threshold: in the unit of the membrane, above 0, a number or [N].
      v_reset: where the membrane goes after a spike, below `threshold`, a number or [N].
      tau_w: time constant of the adaptation, in the unit of `dt`, above 0, a number or [N].
      a: pull of the membrane on the adaptation, a number or [N].
      b: jump of the adaptation at a spike, in the unit of the membrane, a number or [N].
      trainable: which of the constants above are trained.
      dt: length of a step.
      spike: surrogate spike function.
      reset: `hard`, `none`, or `detach(hard)`; called with v_reset.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.adex_init, n.adex_step, n.AdExParams
    constants = domains(**EIF.constants, tau_w=POSITIVE, a=REAL, b=REAL)
    below, euler = EIF.below, ("tau", "tau_w")

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        v_rest: ArrayLike = 0.0,
        delta: ArrayLike = 0.2,
        v_rh: ArrayLike = 0.8,
        threshold: ArrayLike = 1.0,
        v_reset: ArrayLike = 0.0,
        tau_w: ArrayLike = 20.0,
        a: ArrayLike = 0.1,
        b: ArrayLike = 0.1,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        spike: Spike = atan,
        reset: n.Reset = n.hard,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        points = {"v_rest": v_rest, "v_rh": v_rh, "threshold": threshold, "v_reset": v_reset}
        self.hold(dt, tau=tau, delta=delta, tau_w=tau_w, a=a, b=b, **points)
        self.hold_options(dt=dt, spike=spike, reset=reset)


class Izhikevich(StepPopulation):
    """Izhikevich's neurons in mV and ms: see `snnjax.neurons.izhikevich_step`.

    Args:
      features: N.
      preset: an entry of `snnjax.neurons.IZHIKEVICH_PRESETS`, at whose rest the neurons start; its
        values hold where the constants below are None.
      a: rate of the recovery, 1/ms, above 0, a number or [N].
      b: pull of v on the recovery, 1/ms, above 0, a number or [N].
      c: where v goes after a spike, mV, below `peak`, a number or [N].
      d: jump of the recovery at a spike, mV/ms, a number or [N].
      peak: where a spike is counted, mV, a number or [N].
      trainable: which of ("a", "b", "c", "d", "peak") are trained.
      dt: length of a step in ms, at most 1.
      spike: surrogate spike function of mV.
      reset: `hard`, `none`, or `detach(hard)`; called with c.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.izhikevich_init, n.izhikevich_step, n.IzhikevichParams
    constants = domains(a=POSITIVE, b=POSITIVE, c=REAL, d=REAL, peak=REAL)
    below, max_dt = (("c", "peak"),), 1.0  # ms; the published program's half-steps are of 0.5

    def __init__(
        self,
        features: int,
        *,
        preset: n.IzhikevichParams = n.IZHIKEVICH_PRESETS["RS"],
        a: ArrayLike | None = None,
        b: ArrayLike | None = None,
        c: ArrayLike | None = None,
        d: ArrayLike | None = None,
        peak: ArrayLike | None = None,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        spike: Spike = WIDE,
        reset: n.Reset = n.hard,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        given = {"a": a, "b": b, "c": c, "d": d, "peak": peak}
        chosen = {name: value for name, value in given.items() if value is not None}
        self.hold(dt, **{**preset._asdict(), **chosen})
        self.hold_options(dt=dt, spike=spike, reset=reset)
        self.preset = preset

    def init_state(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32) -> Any:
        """The rest of the preset for input [T, *batch_shape, N]."""
        return n.izhikevich_init(self.shape(batch_shape), dtype, params=self.preset)


class HodgkinHuxley(StepPopulation):
    """Hodgkin-Huxley neurons in mV and ms: see `snnjax.neurons.hodgkin_huxley_step`.

    They start at the rest of the squid axon, whatever their constants. The default step holds, and
    spikes are accurate up to 0.02 ms.

    Args:
      features: N.
      c: capacitance, uF/cm2, above 0, a number or [N].
      g_na, g_k, g_l: largest conductances of sodium and potassium and that of the leak, mS/cm2,
        above 0, a number or [N].
      e_na, e_k, e_l: reversal potentials, mV, a number or [N].
      threshold: a spike is an upward crossing of it, mV, a number or [N].
      trainable: which of the constants above are trained.
      dt: length of a step in ms, at most 0.05.
      spike: surrogate spike function of mV.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance = n.hodgkin_huxley_init, n.hodgkin_huxley_step
    params = n.HodgkinHuxleyParams
    constants = domains(
        c=POSITIVE,
        g_na=POSITIVE,
        g_k=POSITIVE,
        g_l=POSITIVE,
        e_na=REAL,
        e_k=REAL,
        e_l=REAL,
        threshold=REAL,
    )
    max_dt = 0.05  # ms

    def __init__(
        self,
        features: int,
        *,
        c: ArrayLike = 1.0,
        g_na: ArrayLike = 120.0,
        g_k: ArrayLike = 36.0,
        g_l: ArrayLike = 0.3,
        e_na: ArrayLike = 50.0,
        e_k: ArrayLike = -77.0,
        e_l: ArrayLike = -54.4,
        threshold: ArrayLike = 0.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 0.01,
        spike: Spike = WIDE,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        conductances = {"g_na": g_na, "g_k": g_k, "g_l": g_l}
        reversals = {"e_na": e_na, "e_k": e_k, "e_l": e_l}
        self.hold(dt, c=c, **conductances, **reversals, threshold=threshold)
        self.hold_options(dt=dt, spike=spike)
