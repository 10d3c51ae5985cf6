"""Resonate-and-fire: exact, Euler, balanced, harmonic."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from snnjax.neurons import (
    BRFParams,
    HRFParams,
    RAFParams,
    RFParams,
    brf_init,
    brf_step,
    detach,
    hrf_init,
    hrf_step,
    raf_init,
    raf_step,
    rf_init,
    rf_step,
    subtract,
    zero,
)
from snnjax.surrogates import atan, soft
from tests.neurons.cases.case import Case
from tests.reference import resonant as reference

THRESHOLD = [1.0, 0.8, 1.1]
B, W = [-0.2, -0.1, -0.3], [1.0, 0.7, 1.5]
RF_B, B0, RF_W, DT = [-1.5, -1.0, -2.0], [0.3, -0.5, 0.2], [2.0, 3.0, 4.5], 0.1


def raf_case(name, reset, dt, *, smooth=True) -> Case:
    step = partial(raf_step, reset=reset, dt=dt)
    params = RAFParams(jnp.array(B), jnp.array(W), jnp.array(THRESHOLD))
    loop = partial(reference.raf_loop, b=B, w=W, threshold=THRESHOLD, dt=dt, reset=name)
    return Case(raf_init, step, params, loop, partial(step, spike=soft(atan)), smooth=smooth)


def euler_case(init, step, params, loop, b, **named) -> Case:
    step = partial(step, dt=DT, **named)
    params = params(jnp.array(b), jnp.array(RF_W), jnp.array(THRESHOLD))
    loop = partial(loop, w=RF_W, threshold=THRESHOLD, dt=DT, **named)
    return Case(init, step, params, loop, partial(step, spike=soft(atan)), 8.0)


rf_loop = partial(reference.rf_loop, b=RF_B)
brf_loop = partial(reference.brf_loop, b0=B0)
hrf_loop = partial(reference.hrf_loop, b0=B0)

CASES = {
    "raf": raf_case("zero", zero, 1.0),
    "raf subtract": raf_case("subtract", detach(subtract), 0.5, smooth=False),
    "rf": euler_case(rf_init, rf_step, RFParams, rf_loop, RF_B),
    "brf": euler_case(brf_init, brf_step, BRFParams, brf_loop, B0),
    "brf short": euler_case(brf_init, brf_step, BRFParams, brf_loop, B0, refractory=0.5),
    "hrf": euler_case(hrf_init, hrf_step, HRFParams, hrf_loop, B0),
}
