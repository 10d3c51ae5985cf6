"""Neurons with several compartments: TCLIF and DHLIF."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.nn.neurons.checks import check_count
from snnjax.nn.neurons.domain import POSITIVE, REAL, domains
from snnjax.nn.neurons.step_population import Decay, StepPopulation
from snnjax.surrogates import Spike, atan


class TCLIF(StepPopulation):
    """Two-compartment LIF neurons: see `snnjax.neurons.tclif_step`.

    Args:
      features: N.
      c1: the soma pulls on the dendrite by sigmoid(c1), a number or [N].
      c2: the dendrite drives the soma by sigmoid(c2), a number or [N].
      gamma: what a spike subtracts from the dendrite, in the unit of the membrane, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("c1", "c2", "gamma", "threshold") are trained.
      spike: surrogate spike function.
      reset: reset of the soma: `subtract`, `zero`, `none`, or one of them with `detach`.
      reset_dendrite: reset of the dendrite, called with gamma in place of the threshold.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance, params = n.tclif_init, n.tclif_step, n.TCLIFParams
    constants = domains(c1=REAL, c2=REAL, gamma=REAL, threshold=POSITIVE)

    def __init__(
        self,
        features: int,
        *,
        c1: ArrayLike = 0.0,
        c2: ArrayLike = 0.0,
        gamma: ArrayLike = 0.5,
        threshold: ArrayLike = 1.0,
        trainable: Sequence[str] = (),
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        reset_dendrite: n.Reset = n.subtract,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.hold(c1=c1, c2=c2, gamma=gamma, threshold=threshold)
        self.hold_options(spike=spike, reset=reset, reset_dendrite=reset_dendrite)


class DHLIF(StepPopulation):
    """LIF neurons with D dendritic branches each: see `snnjax.neurons.dhlif_step`.

    The input is [T, B, ..., N, D], a current for each branch; `BranchLinear` makes it. Zheng et
    al., 2024, scale the input of branches and soma: `scale_input=True`.

    Args:
      features: N.
      branches: D.
      tau_branch: time constants of the branches, in the unit of `dt`, above 0, a number, [D] or
        [N, D]; None spreads them from 2 to 32 steps over the branches.
      tau: time constant of the soma, likewise, a number or [N].
      threshold: in the unit of the membrane, above 0, a number or [N].
      trainable: which of ("tau_branch", "tau", "threshold") are trained; as published, the time
        constants by default.
      dt: length of a step.
      decay: `exact` or `euler`, from (tau, dt) to the decay of a step.
      spike: surrogate spike function.
      reset: `subtract`, `zero`, `none`, or one of them with `detach`.
      scale_input: whether branches and soma have unit gain for a constant input.
      checkpoint: see `snnjax.unroll.unroll`.
    """

    rest, advance = n.dhlif_init, n.dhlif_step
    constants = domains(tau_branch=POSITIVE, tau=POSITIVE, threshold=POSITIVE)
    decays = ("tau_branch", "tau")

    def __init__(
        self,
        features: int,
        *,
        branches: int = 4,
        tau_branch: ArrayLike | None = None,
        tau: ArrayLike = 20.0,
        threshold: ArrayLike = 0.5,
        trainable: Sequence[str] = ("tau_branch", "tau"),
        dt: ArrayLike = 1.0,
        decay: Decay = n.exact,
        spike: Spike = atan,
        reset: n.Reset = n.subtract,
        scale_input: bool = False,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        self.branches = check_count("branches", branches, "DHLIF")
        if tau_branch is None:
            tau_branch = np.geomspace(2.0, 32.0, branches) * dt
        self.hold(dt, decay, tau_branch=tau_branch, tau=tau, threshold=threshold)
        self.hold_options(spike=spike, reset=reset, scale_input=scale_input)

    def params(
        self, decay_branch: ArrayLike, decay: ArrayLike, threshold: ArrayLike
    ) -> n.DHLIFParams:
        """The parameters of a step."""
        return n.DHLIFParams(decay_branch, decay, threshold)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a constant."""
        own = super().shape_of(name)
        return (*own, self.branches) if name == "tau_branch" else own

    def shape(self, batch_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one step of branch currents."""
        return (*super().shape(batch_shape), self.branches)
