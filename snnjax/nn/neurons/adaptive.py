"""Neurons that adapt or gate: ALIF, AdLIF, KLIF, CLIF, GLIF, LIAF."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jax import Array
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.neurons.liaf import leaky_relu
from snnjax.nn.neurons.domain import POSITIVE, REAL, UNIT, domains
from snnjax.nn.neurons.step_population import Decay, StepPopulation
from snnjax.surrogates import Spike, atan


class ALIF(StepPopulation):
    """LIF neurons with an adaptive threshold: see `snnjax.neurons.alif_step`.

    The papers scale their input: `scale_input=True`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      tau_a: time constant of the adaptation, likewise; some 10 times `tau`.
      beta: what one spike adds to the threshold, a number or [N].
      threshold: without adaptation, in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "tau_a", "beta", "threshold") are trained.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`; it uses the raised threshold.
      scale_input: whether the input is scaled by 1 - decay.
      checkpoint: see `snnjax.unroll.unroll`.

    >>> import jax.numpy as jnp
    >>> layer = ALIF(4, tau=30.0, trainable=("tau", "beta"))
    >>> state, z = layer(None, jnp.ones((7, 2, 4)))
    >>> z.shape, state._fields
    ((7, 2, 4), ('v', 'a'))
    """

    rest, advance, params = n.alif_init, n.alif_step, n.ALIFParams
    constants = domains(tau=POSITIVE, tau_a=POSITIVE, beta=REAL, threshold=POSITIVE)
    decays = ("tau", "tau_a")

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        tau_a: ArrayLike = 200.0,
        beta: ArrayLike = 1.8,
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
        self.hold(dt, decay, tau=tau, tau_a=tau_a, beta=beta, threshold=threshold)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input)


class AdLIF(StepPopulation):
    """LIF neurons with an adaptation current: see `snnjax.neurons.adlif_step`.

    The papers scale their input: `scale_input=True`. The default of `a` is stable with it and
    without: -(1 - decay) (1 - decay_w) < a < (1 + decay) (1 + decay_w).

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      tau_w: time constant of the adaptation current, likewise.
      a: coupling from potential to adaptation current, a number or [N].
      b: what one spike adds to the adaptation current, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "tau_w", "a", "b", "threshold") are trained.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether input and adaptation current are scaled by 1 - decay.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.adlif_init, n.adlif_step, n.AdLIFParams
    constants = domains(tau=POSITIVE, tau_w=POSITIVE, a=REAL, b=REAL, threshold=POSITIVE)
    decays = ("tau", "tau_w")

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 20.0,
        tau_w: ArrayLike = 100.0,
        a: ArrayLike = 0.5,
        b: ArrayLike = 1.0,
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
        self.hold(dt, decay, tau=tau, tau_w=tau_w, a=a, b=b, threshold=threshold)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input)


class KLIF(StepPopulation):
    """LIF neurons with a membrane gain k, which is trained: see `snnjax.neurons.klif_step`.

    Jiang and Zhang, 2023, scale their input: `scale_input=True`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      k: gain of the charged membrane, above 0, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "k", "threshold") are trained; k by default.
      dt: length of a step.
      decay: `euler`, as published, or `exact`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      scale_reset: whether the gain is taken out of the membrane again before the reset.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.klif_init, n.klif_step, n.KLIFParams
    constants = domains(tau=POSITIVE, k=POSITIVE, threshold=POSITIVE)
    decays = ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        k: ArrayLike = 1.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = ("k",),
        dt: ArrayLike = 1.0,
        decay: Decay = n.euler,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        scale_reset: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, k=k, threshold=threshold)
        self.hold_options(
            spike=spike, reset=reset, scale_input=scale_input, scale_reset=scale_reset
        )


class CLIF(StepPopulation):
    """LIF neurons with a complementary potential: see `snnjax.neurons.clif_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "threshold") are trained.
      dt: length of a step.
      decay: `euler`, as published, or `exact`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, or `detach(subtract)`.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.clif_init, n.clif_step, n.CLIFParams
    constants = domains(tau=POSITIVE, threshold=POSITIVE)
    decays = ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        decay: Decay = n.euler,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, threshold=threshold)
        self.hold_options(spike=spike, reset=reset)


class GLIF(StepPopulation):
    """Gated LIF neurons, whose gates are trained: see `snnjax.neurons.glif_step`.

    The paper trains all eight constants: `trainable=tuple(GLIF.constants)`.

    Args:
      features: N.
      alpha: gate between linear (0) and exponential leak (1), in [0, 1], a number or [N].
      beta: gate between the unscaled input (0) and `conduct` times it (1), likewise.
      gamma: gate between reset by subtraction (0) and to 0 (1), likewise.
      tau: time constant of the exponential leak, in the unit of `dt`, a number or [N].
      leak: amount of the linear leak in a step, in [0, 1]; threshold / (2 T) for the paper's T = 4.
      conduct: gain of the input, in [0, 1], a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      drop: what the reset by subtraction subtracts, above 0, a number or [N].
      trainable: which of the constants above are trained; the gates by default.
      dt: length of a step.
      decay: `euler` or `exact`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.glif_init, n.glif_step, n.GLIFParams
    constants = domains(
        alpha=UNIT,
        beta=UNIT,
        gamma=UNIT,
        tau=POSITIVE,
        leak=UNIT,
        conduct=UNIT,
        threshold=POSITIVE,
        drop=POSITIVE,
    )
    decays = ("tau",)

    def __init__(
        self,
        features: int,
        *,
        alpha: ArrayLike = 0.5,
        beta: ArrayLike = 0.5,
        gamma: ArrayLike = 0.5,
        tau: ArrayLike = 4.0 / 3.0,
        leak: ArrayLike = 0.0625,
        conduct: ArrayLike = 0.5,
        threshold: ArrayLike = 0.5,
        drop: ArrayLike = 0.5,
        trainable: Sequence[str] = ("alpha", "beta", "gamma"),
        dt: ArrayLike = 1.0,
        decay: Decay = n.euler,
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        gates = {"alpha": alpha, "beta": beta, "gamma": gamma}
        amounts = {"leak": leak, "conduct": conduct, "threshold": threshold, "drop": drop}
        self.hold(dt, decay, tau=tau, **gates, **amounts)
        self.hold_options(spike=spike)


class LIAF(StepPopulation):
    """LIF neurons with analog output: see `snnjax.neurons.liaf_step`.

    Args:
      features: N.
      tau: time constant of the membrane, in the unit of `dt`, above 0, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau", "threshold") are trained.
      dt: length of a step.
      decay: `euler`, as published, or `exact`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function of the reset.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether the input is scaled by 1 - decay.
      act: activation of the output; by default leaky ReLU with slope 0.2 below 0.
      threshold_related: whether the activation is centred on the threshold.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.liaf_init, n.liaf_step, n.LIAFParams
    spiking = False
    constants = domains(tau=POSITIVE, threshold=POSITIVE)
    decays = ("tau",)

    def __init__(
        self,
        features: int,
        *,
        tau: ArrayLike = 2.0,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        dt: ArrayLike = 1.0,
        decay: Decay = n.euler,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        act: Callable[[Array], Array] = leaky_relu,
        threshold_related: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(dt, decay, tau=tau, threshold=threshold)
        self.hold_options(
            spike=spike,
            reset=reset,
            scale_input=scale_input,
            act=act,
            threshold_related=threshold_related,
        )
