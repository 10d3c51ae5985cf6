"""The order of charging, firing and reset within a step, in which libraries differ.

A timing is a function of (v, charge, spike, reset, threshold) that returns (v, z): the membrane
passed to the next step and the spikes of this step. `charge` leaks and integrates.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

from snnjax.neurons.reset import Reset

Charge = Callable[[Array], Array]
Timing = Callable[[Array, Charge, Callable[[Array], Array], Reset, Array], tuple[Array, Array]]


def same_step(v, charge: Charge, spike, reset: Reset, threshold: Array) -> tuple[Array, Array]:
    """Charge, fire, reset, in one step, as in most papers, SpikingJelly and norse.

    h = charge(v);  z = H(h - threshold);  v = reset(h, z, threshold)
    """
    h = charge(v)
    z = spike(h - threshold)
    return reset(h, z, threshold), z


def before_leak(v, charge: Charge, spike, reset: Reset, threshold: Array) -> tuple[Array, Array]:
    """Reset for the last spike, then charge and fire: the same spikes as `same_step`.

        r = H(v - threshold);  v = charge(reset(v, r, threshold));  z = H(v - threshold)

    The carried membrane is the one before its reset. With `zero` it is snnTorch's Leaky with
    reset_mechanism="zero".
    """
    h = charge(reset(v, spike(v - threshold), threshold))
    return h, spike(h - threshold)


def next_step(v, charge: Charge, spike, reset: Reset, threshold: Array) -> tuple[Array, Array]:
    """Charge, then reset for the spike of the previous step, then fire.

        r = H(v - threshold);  v = reset(charge(v), r, threshold);  z = H(v - threshold)

    The reset subtracts an undecayed threshold one step late, which differs from `same_step` unless
    there is no leak. With `detach(subtract)` it is snnTorch's default, and with `detach(zero)` its
    Lapicque: the input of this step is zeroed too.
    """
    h = reset(charge(v), spike(v - threshold), threshold)
    return h, spike(h - threshold)


def previous_step(v, charge: Charge, spike, reset: Reset, threshold: Array) -> tuple[Array, Array]:
    """Fire on the old membrane, then charge and reset, as in spyx: `next_step`, one step later.

        z = H(v - threshold);  v = reset(charge(v), z, threshold)

    From rest the first step is always silent, and the last input never affects the output.
    """
    z = spike(v - threshold)
    return reset(charge(v), z, threshold), z
