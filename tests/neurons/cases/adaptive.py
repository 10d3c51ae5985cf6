"""Synaptic currents, adaptation, gates, analog output, and a refractory period round LIF, CUBA."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from snnjax.neurons import (
    AdLIFParams,
    ALIFParams,
    AlphaParams,
    CLIFParams,
    CUBAParams,
    CUBAState,
    GLIFParams,
    KLIFParams,
    LIAFParams,
    LIFParams,
    LIFState,
    RefractoryState,
    adlif_init,
    adlif_step,
    alif_init,
    alif_step,
    alpha_gain,
    alpha_init,
    alpha_step,
    clif_init,
    clif_step,
    cuba_init,
    cuba_step,
    detach,
    euler,
    glif_init,
    glif_step,
    klif_init,
    klif_step,
    liaf_init,
    liaf_step,
    lif_init,
    lif_step,
    refractory_init,
    refractory_step,
    subtract,
    zero,
)
from snnjax.surrogates import atan, soft
from tests.neurons.cases.case import Case
from tests.reference import adaptive as reference

THRESHOLD = [1.0, 0.8, 1.1]
DECAY = [0.5, 0.75, 0.9]
SLOW = [0.8, 0.9, 0.95]
TAU = [1.5, 2.0, 4.0]
PERIOD = [1, 2, 3]
GATES = ([0.3, 0.6, 0.9], [0.5, 0.7, 0.2], [0.4, 0.9, 0.6])
LEAK, CONDUCT, DROP = [0.02, 0.05, 0.1], [0.9, 0.5, 0.7], [0.6, 0.8, 1.0]


def case(params, init, step, loop, **options) -> Case:
    arrays = type(params)(*(jnp.asarray(value, float) for value in params))
    return Case(init, step, arrays, loop, partial(step, spike=soft(atan)), **options)


def cuba_case(name, reset, scale_input, **options) -> Case:
    step = partial(cuba_step, reset=reset, scale_input=scale_input)
    loop = partial(reference.cuba_loop, reset=name, scale_input=scale_input)
    values = {"decay_c": DECAY[::-1], "decay": SLOW, "threshold": THRESHOLD}
    return case(CUBAParams(**values), cuba_init, step, partial(loop, **values), **options)


def alpha_case(name, reset, **options) -> Case:
    fast = [0.3, 0.5, 0.7]
    loop = partial(reference.alpha_loop, decay_exc=SLOW, decay_inh=fast, threshold=THRESHOLD)
    params = AlphaParams(SLOW, fast, alpha_gain(jnp.array(SLOW), jnp.array(fast)), THRESHOLD)
    step = partial(alpha_step, reset=reset)
    return case(params, alpha_init, step, partial(loop, reset=name), **options)


def alif_case(name, reset, scale_input, **options) -> Case:
    step = partial(alif_step, reset=reset, scale_input=scale_input)
    loop = partial(reference.alif_loop, reset=name, scale_input=scale_input)
    values = {"decay": DECAY, "decay_a": SLOW, "beta": [0.5, 1.0, 1.8], "threshold": THRESHOLD}
    return case(ALIFParams(**values), alif_init, step, partial(loop, **values), **options)


def adlif_case(name, reset, scale_input, **options) -> Case:
    step = partial(adlif_step, reset=reset, scale_input=scale_input)
    loop = partial(reference.adlif_loop, reset=name, scale_input=scale_input)
    coupling = {"a": [0.1, -0.02, 0.3], "b": [0.5, 1.0, 0.2]}
    values = {"decay": DECAY, "decay_w": SLOW, **coupling, "threshold": THRESHOLD}
    return case(AdLIFParams(**values), adlif_init, step, partial(loop, **values), **options)


def klif_case(name, reset, **options) -> Case:
    flags = {key: options.pop(key) for key in ("scale_input", "scale_reset")}
    step = partial(klif_step, reset=reset, **flags)
    values = {"decay": DECAY, "k": [0.8, 1.0, 1.3], "threshold": THRESHOLD}
    loop = partial(reference.klif_loop, reset=name, **flags, **values)
    return case(KLIFParams(**values), klif_init, step, loop, **options)


def clif_case() -> Case:
    loop = partial(reference.clif_loop, tau=TAU, threshold=THRESHOLD)
    params = CLIFParams(euler(jnp.array(TAU)), THRESHOLD)
    return case(params, clif_init, clif_step, loop, mean=0.8)


def glif_case() -> Case:
    values = (*GATES, DECAY, LEAK, CONDUCT, THRESHOLD, DROP)
    params = GLIFParams(*values)
    loop = partial(reference.glif_loop, **params._asdict())
    # without input the linear leak moves the membrane, by less than this in 9 steps
    return case(params, glif_init, glif_step, loop, scale=2.0, mean=0.8, rest=0.2)


def liaf_case(slope, **flags) -> Case:
    act = partial(jax.nn.leaky_relu, negative_slope=slope)
    step = partial(liaf_step, act=act, **flags)
    values = {"decay": DECAY, "threshold": THRESHOLD}
    loop = partial(reference.liaf_loop, slope=slope, **values, **flags)
    return case(LIAFParams(**values), liaf_init, step, loop, analog=True)


class RestingLIF(NamedTuple):
    """A RefractoryState with its neuron laid flat: the battery looks at fields of arrays."""

    v: Any
    wait: Any


class RestingCUBA(NamedTuple):
    v: Any
    c: Any
    wait: Any


def resting_case(flat, params, inner, init, step, loop, **options) -> Case:
    def start(shape, dtype=jnp.float32):
        state = refractory_init(init, shape, dtype)
        return flat(*state.neuron, state.wait)

    def advance(params, state, x, **kwargs):
        *fields, wait = state
        state = RefractoryState(inner(*fields), wait)
        bound = partial(step, params, **kwargs)
        state, z = refractory_step(bound, state, x, period=jnp.array(PERIOD), **options)
        return flat(*state.neuron, state.wait), z

    loop = partial(loop, **params._asdict(), period=PERIOD)
    return case(params, start, advance, loop, mean=0.6)


CASES = {
    "cuba": cuba_case("subtract", subtract, False),
    "cuba scaled": cuba_case("zero", zero, True, scale=8.0),
    "alpha": alpha_case("zero", zero, scale=0.8, mean=0.5),
    "alpha subtract": alpha_case("subtract", detach(subtract), mean=0.5, smooth=False),
    "alif": alif_case("subtract", subtract, True, scale=6.0),
    "alif unscaled": alif_case("zero", detach(zero), False, smooth=False),
    "adlif": adlif_case("subtract", subtract, True, scale=6.0),
    "adlif unscaled": adlif_case("zero", zero, False),
    "klif": klif_case("subtract", subtract, scale_input=True, scale_reset=False, scale=4.0),
    "klif scaled reset": klif_case("zero", zero, scale_input=False, scale_reset=True),
    "clif": clif_case(),
    "glif": glif_case(),
    "liaf": liaf_case(0.2),
    "liaf threshold-related": liaf_case(0.0, threshold_related=True),
    "refractory lif": resting_case(
        RestingLIF,
        LIFParams(DECAY, THRESHOLD),
        LIFState,
        lif_init,
        lif_step,
        reference.refractory_lif_loop,
    ),
    "refractory cuba": resting_case(
        RestingCUBA,
        CUBAParams(DECAY[::-1], SLOW, THRESHOLD),
        CUBAState,
        cuba_init,
        cuba_step,
        reference.refractory_cuba_loop,
        hold=("v",),
    ),
}
