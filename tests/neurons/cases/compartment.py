"""Two-compartment LIF, and LIF with dendritic branches."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from snnjax.neurons import (
    DHLIFParams,
    TCLIFParams,
    detach,
    dhlif_init,
    dhlif_step,
    subtract,
    tclif_init,
    tclif_step,
    zero,
)
from snnjax.surrogates import atan, soft
from tests.neurons.cases.case import Case
from tests.reference import compartment as reference

THRESHOLD = [1.0, 0.8, 1.1]
C1, C2, GAMMA = [0.0, -0.5, 0.4], [0.3, 0.0, -0.6], [0.5, 0.7, 0.4]
BRANCH_DECAY, DECAY, DH_THRESHOLD = [0.3, 0.6, 0.9], 0.7, 0.5


def tclif_case(names, resets, *, smooth=True) -> Case:
    step = partial(tclif_step, reset=resets[0], reset_dendrite=resets[1])
    loop = partial(
        reference.tclif_loop,
        c1=C1,
        c2=C2,
        gamma=GAMMA,
        threshold=THRESHOLD,
        reset=names[0],
        reset_dendrite=names[1],
    )
    params = TCLIFParams(*(jnp.array(values) for values in (C1, C2, GAMMA, THRESHOLD)))
    return Case(tclif_init, step, params, loop, partial(step, spike=soft(atan)), smooth=smooth)


def dhlif_case(name, reset, *, smooth=True) -> Case:
    """The battery's axes [B, N] stand for neurons and branches; each branch shows the output."""

    def step(params, state, x, **named):
        state, z = dhlif_step(params, state, x, reset=reset, scale_input=True, **named)
        return state, jnp.broadcast_to(z[..., None], state.i.shape)

    def loop(x):
        z, fields, margin = reference.dhlif_loop(x, BRANCH_DECAY, DECAY, DH_THRESHOLD, name)
        return z[..., None].repeat(x.shape[2], 2), fields, margin

    params = DHLIFParams(jnp.array(BRANCH_DECAY), jnp.array(DECAY), jnp.array(DH_THRESHOLD))
    return Case(dhlif_init, step, params, loop, partial(step, spike=soft(atan)), 2.0, smooth=smooth)


CASES = {
    "tclif": tclif_case(("subtract", "subtract"), (subtract, subtract)),
    "tclif zero": tclif_case(("zero", "subtract"), (detach(zero), detach(subtract)), smooth=False),
    "dhlif": dhlif_case("subtract", subtract),
    "dhlif zero": dhlif_case("zero", detach(zero), smooth=False),
}
