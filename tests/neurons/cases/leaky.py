"""Integrate-and-fire, leaky, parametric, integer, and the leaky integrator."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np

from snnjax.neurons import (
    IFParams,
    ILIFParams,
    LIFParams,
    LIParams,
    PLIFParams,
    before_leak,
    detach,
    if_init,
    if_step,
    ilif_init,
    ilif_step,
    li_init,
    li_step,
    lif_init,
    lif_step,
    next_step,
    none,
    plif_init,
    plif_step,
    plif_weight,
    previous_step,
    subtract,
    zero,
)
from snnjax.surrogates import atan, multi_level, soft
from tests.neurons.cases.case import Case
from tests.reference import neurons as reference

THRESHOLD = [1.0, 0.8, 1.1]
DECAY = [0.5, 0.75, 0.9]
TAU = [1.5, 2.0, 4.0]


def if_case(name, reset) -> Case:
    params = IFParams(jnp.array(THRESHOLD))
    step = partial(if_step, reset=reset)
    loop = partial(reference.if_loop, threshold=THRESHOLD, reset=name)
    return Case(if_init, step, params, loop, partial(step, spike=soft(atan)))


def lif_case(name, reset, scale_input=False, *, smooth=True) -> Case:
    params = LIFParams(jnp.array(DECAY), jnp.array(THRESHOLD))
    step = partial(lif_step, reset=reset, scale_input=scale_input)
    loop = partial(
        reference.lif_loop, decay=DECAY, threshold=THRESHOLD, reset=name, scale_input=scale_input
    )
    scale = 6.0 if scale_input else 1.2
    softened = partial(step, spike=soft(atan))
    return Case(lif_init, step, params, loop, softened, scale, smooth=smooth)


def timed_case(timing, name, reset) -> Case:
    params = LIFParams(jnp.array(DECAY), jnp.array(THRESHOLD))
    step = partial(lif_step, reset=reset, timing=timing)
    loop = partial(
        reference.timed_lif_loop,
        decay=DECAY,
        threshold=THRESHOLD,
        timing=timing.__name__,
        reset=name,
    )
    return Case(lif_init, step, params, loop, partial(step, spike=soft(atan)))


def plif_case(scale_input) -> Case:
    params = PLIFParams(plif_weight(np.array(TAU)), jnp.array(THRESHOLD))
    step = partial(plif_step, scale_input=scale_input)
    loop = partial(reference.plif_loop, tau=TAU, threshold=THRESHOLD, scale_input=scale_input)
    scale = 3.0 if scale_input else 1.2
    return Case(plif_init, step, params, loop, partial(step, spike=soft(atan)), scale)


def li_case(scale_input) -> Case:
    step = partial(li_step, scale_input=scale_input)
    loop = partial(reference.li_loop, decay=DECAY, scale_input=scale_input)
    return Case(li_init, step, LIParams(jnp.array(DECAY)), loop, step, wide=True)


def ilif_case(name, reset, levels, *, smooth=True) -> Case:
    step = partial(ilif_step, levels=levels, reset=reset)
    loop = partial(reference.ilif_loop, beta=DECAY, levels=levels, reset=name)
    softened = partial(step, spike=soft(multi_level))
    params = ILIFParams(jnp.array(DECAY))
    return Case(ilif_init, step, params, loop, softened, 2.0, smooth=smooth)


CASES = {
    "if": if_case("subtract", subtract),
    "if none": if_case("none", none),
    "lif": lif_case("subtract", subtract),
    "lif detached": lif_case("subtract", detach(subtract), smooth=False),
    "lif zero": lif_case("zero", zero),
    "lif scaled": lif_case("zero", detach(zero), scale_input=True, smooth=False),
    "lif before leak": timed_case(before_leak, "zero", zero),
    "lif next step": timed_case(next_step, "subtract", subtract),
    "lif previous step": timed_case(previous_step, "subtract", subtract),
    "plif": plif_case(True),
    "plif unscaled": plif_case(False),
    "li": li_case(False),
    "li scaled": li_case(True),
    "ilif 4": ilif_case("subtract", subtract, 4),
    "ilif 2 zero": ilif_case("zero", detach(zero), 2, smooth=False),
}
