"""Quadratic, exponential, adaptive, Izhikevich's and Hodgkin and Huxley's neurons."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from snnjax.neurons import (
    AdaptiveQIFParams,
    AdExParams,
    EIFParams,
    HodgkinHuxleyParams,
    IzhikevichParams,
    QIFParams,
    adaptive_qif_init,
    adaptive_qif_step,
    adex_init,
    adex_step,
    detach,
    eif_init,
    eif_step,
    hard,
    hodgkin_huxley_init,
    hodgkin_huxley_step,
    izhikevich_init,
    izhikevich_step,
    qif_init,
    qif_step,
)
from snnjax.surrogates import atan, soft
from tests.neurons.cases.case import Case
from tests.reference import nonlinear as reference

LEAK = {"tau": [2.0, 3.0, 2.5], "v_rest": [0.0, 0.1, -0.1]}
FIRE = {"threshold": [1.0, 1.2, 0.9], "v_reset": [-0.1, 0.0, -0.2]}
PARABOLA = {"v_c": [0.8, 0.9, 0.7], "a0": [1.0, 0.8, 1.2]}
UPSTROKE = {"delta": [0.1, 0.15, 0.08], "v_rh": [0.8, 0.9, 0.7]}
ADAPTATION = {"tau_w": [8.0, 6.0, 10.0], "a": [0.2, 0.1, 0.3], "b": [0.3, 0.5, 0.2]}
RECOVERY = {
    "a": [0.02, 0.1, 0.03],
    "b": [0.2, 0.21, 0.25],
    "c": [-65.0, -60.0, -50.0],
    "d": [8.0, 2.0, 3.0],
    "peak": [30.0, 32.0, 28.0],
}
AXON = {
    "c": [1.0, 1.1, 0.9],
    "g_na": [120.0, 125.0, 115.0],
    "g_k": [36.0, 35.0, 37.0],
    "g_l": [0.3, 0.28, 0.32],
    "e_na": [50.0, 51.0, 49.0],
    "e_k": [-77.0, -76.0, -78.0],
    "e_l": [-54.4, -55.0, -54.0],
    "threshold": [0.0, -3.0, 2.0],
}


def params_of(kind, numbers):
    return kind(**{name: jnp.array(values) for name, values in numbers.items()})


def unit_case(kind, init, step, loop, *groups, smooth=True, **options) -> Case:
    """A neuron without units, started at its v_rest."""
    numbers = {name: values for group in (LEAK, FIRE, *groups) for name, values in group.items()}
    dt, rest = 0.8, LEAK["v_rest"]
    step = partial(step, dt=dt, **options)
    return Case(
        partial(init, v0=jnp.array(rest)),
        step,
        params_of(kind, numbers),
        partial(loop, v0=rest, dt=dt, **numbers),
        partial(step, spike=soft(atan)),
        scale=1.2,
        mean=0.8,
        steps=20,
        smooth=smooth,
        rest=1e-3,
    )


def cell_case(kind, init, step, loop, numbers, dt, *, smooth=True, options=(), **case) -> Case:
    """A neuron in mV, started at its rest."""
    params = params_of(kind, numbers)
    wide = partial(atan, slope=0.1)
    step = partial(step, dt=dt, spike=wide, **dict(options))
    softened = partial(step, spike=soft(wide))
    return Case(
        partial(init, params=params),
        step,
        params,
        partial(loop, dt=dt, **numbers),
        softened,
        smooth=smooth,
        rest=1e-3,
        **case,
    )


def qif_case(**options) -> Case:
    return unit_case(QIFParams, qif_init, qif_step, reference.qif_loop, PARABOLA, **options)


def izhikevich_case(**options) -> Case:
    init, step, loop = izhikevich_init, izhikevich_step, reference.izhikevich_loop
    usual = {"scale": 10.0, "mean": 12.0, "steps": 24}
    return cell_case(IzhikevichParams, init, step, loop, RECOVERY, 0.5, **usual, **options)


CASES = {
    "qif": qif_case(),
    "qif detached": qif_case(reset=detach(hard), smooth=False),
    "eif": unit_case(EIFParams, eif_init, eif_step, reference.eif_loop, UPSTROKE),
    "adex": unit_case(AdExParams, adex_init, adex_step, reference.adex_loop, UPSTROKE, ADAPTATION),
    "adaptive qif": unit_case(
        AdaptiveQIFParams,
        adaptive_qif_init,
        adaptive_qif_step,
        reference.adaptive_qif_loop,
        PARABOLA,
        ADAPTATION,
    ),
    "izhikevich": izhikevich_case(),
    "izhikevich detached": izhikevich_case(options={"reset": detach(hard)}, smooth=False),
    "hodgkin huxley": cell_case(
        HodgkinHuxleyParams,
        hodgkin_huxley_init,
        hodgkin_huxley_step,
        reference.hodgkin_huxley_loop,
        AXON,
        0.02,
        scale=20.0,
        mean=40.0,
        steps=120,
    ),
}
