"""Step functions refuse constants outside their range, as layers do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax import neurons as n
from snnjax import plasticity as p

X = jnp.ones((2,))
UNITS = (2,)

# for each neuron: parameters, and the fields of which each bad value is refused
POSITIVE, FACTOR, SHARE = (0.0, -1.0, np.nan), (1.5, -1.5, np.nan), (1.5, -0.1, np.nan)
NEURONS = {
    "if": (n.IFParams(1.0), {"threshold": POSITIVE}),
    "lif": (n.LIFParams(0.5, 1.0), {"decay": FACTOR, "threshold": POSITIVE}),
    "li": (n.LIParams(0.5), {"decay": FACTOR}),
    "plif": (n.PLIFParams(0.0, 1.0), {"threshold": POSITIVE}),
    "ilif": (n.ILIFParams(0.5), {"decay": FACTOR}),
    "cuba": (
        n.CUBAParams(0.5, 0.5, 1.0),
        {"decay_c": FACTOR, "decay": FACTOR, "threshold": POSITIVE},
    ),
    "alif": (n.ALIFParams(0.5, 0.5, 1.0, 1.0), {"decay": FACTOR, "decay_a": FACTOR}),
    "adlif": (n.AdLIFParams(0.5, 0.5, 0.1, 0.1, 1.0), {"decay_w": FACTOR, "threshold": POSITIVE}),
    "klif": (n.KLIFParams(0.5, 1.0, 1.0), {"k": POSITIVE, "decay": FACTOR}),
    "clif": (n.CLIFParams(0.5, 1.0), {"decay": FACTOR, "threshold": POSITIVE}),
    "glif": (n.GLIFParams(*[0.5] * 8), {"alpha": SHARE, "gamma": SHARE, "drop": POSITIVE}),
    "liaf": (n.LIAFParams(0.5, 1.0), {"decay": FACTOR}),
    "ternary": (n.TernaryParams(0.5, 1.0), {"threshold": POSITIVE}),
    "alpha": (n.AlphaParams(0.5, 0.2, 2.0, 1.0), {"decay_exc": FACTOR, "threshold": POSITIVE}),
    "raf": (n.RAFParams(-0.2, 1.0, 1.0), {"threshold": POSITIVE}),
    "rf": (n.RFParams(-1.0, 10.0, 1.0), {"threshold": POSITIVE}),
    "brf": (n.BRFParams(1.0, 10.0, 1.0), {"threshold": POSITIVE}),
    "hrf": (n.HRFParams(1.0, 10.0, 1.0), {"threshold": POSITIVE}),
    "tclif": (n.TCLIFParams(0.0, 0.0, 0.5, 1.0), {"threshold": POSITIVE}),
    "delta": (n.DeltaParams(0.1), {"threshold": POSITIVE}),
    "stbif": (n.STBIFParams(1.0), {"scale": POSITIVE}),
    "qif": (n.QIFParams(2.0, 0.0, 0.8, 1.0, 1.0, -0.1), {"tau": POSITIVE, "a0": POSITIVE}),
    "eif": (n.EIFParams(2.0, 0.0, 0.2, 0.8, 1.0, 0.0), {"tau": POSITIVE, "delta": POSITIVE}),
    "adex": (n.ADEX_2005, {"tau": POSITIVE, "tau_w": POSITIVE, "delta": POSITIVE}),
    "adaptive_qif": (
        n.AdaptiveQIFParams(2.0, 0.0, 0.8, 1.0, 1.0, 0.0, 2.0, 0.0, 0.0),
        {"tau": POSITIVE, "tau_w": POSITIVE, "a0": POSITIVE},
    ),
    "izhikevich": (n.IZHIKEVICH_PRESETS["RS"], {"a": POSITIVE}),
    "hodgkin_huxley": (n.HodgkinHuxleyParams(), {"c": POSITIVE, "g_na": POSITIVE}),
    "dhlif": (n.DHLIFParams(0.5, 0.5, 0.5), {"branch_decay": FACTOR, "threshold": POSITIVE}),
    "tsodyks_markram": (
        n.TsodyksMarkramParams(0.5, 0.5, 0.5, 0.5),
        {"use": SHARE, "facilitation": FACTOR, "recovery": FACTOR, "decay": FACTOR},
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_bad_constants_are_refused_and_traced_ones_pass(name):
    params, fields = NEURONS[name]
    step, init = getattr(n, f"{name}_step"), getattr(n, f"{name}_init")
    state = init((2, 2) if name == "dhlif" else UNITS)
    x = jnp.ones((2, 2)) if name == "dhlif" else X
    step(params, state, x)
    for field, values in fields.items():
        for value in values:
            for bad in (value, np.array([getattr(params, field), value])):
                with pytest.raises(ValueError, match=rf"`{field}` must (lie in|be above)"):
                    step(params._replace(**{field: bad}), state, x)
    field, values = next(iter(fields.items()))
    jax.jit(lambda value: step(params._replace(**{field: value}), state, x))(values[0])


def test_synapses_start_with_a_share():
    for call in (n.tsodyks_markram_init((1,), use=0.3), n.tsodyks_markram_params(use=0.3)):
        assert call is not None
    with pytest.raises(ValueError, match=r"`use` must lie in \[0, 1\]; got 1.5"):
        n.tsodyks_markram_init((1,), use=1.5)
    with pytest.raises(ValueError, match=r"`use` must lie in \[0, 1\]; got -0.5"):
        n.tsodyks_markram_params(use=-0.5)


def test_traces_of_plasticity_decay():
    one, w = jnp.ones(1), jnp.zeros((1, 1))
    pair = p.STDPParams(1.0, 1.0, 0.5, 0.5)
    wrong = pair._replace(pre_decay=1.5)
    stdp = p.stdp_init((1,), (1,))
    words = r"`(pre_|post_)?decay` must lie in \[-1, 1\]; got 1.5"
    calls = (
        lambda: p.stdp_step(wrong, stdp, one, one, w),
        lambda: p.stdp_step(pair._replace(post_decay=1.5), stdp, one, one, w),
        lambda: p.triplet_step(
            p.TripletParams(pair, 0.0, 0.0, 1.5, 0.5), p.triplet_init((1,), (1,)), one, one, w
        ),
        lambda: p.homeostasis_step(
            p.HomeostasisParams(0.1, 0.1, 1.5), p.homeostasis_init((1,)), one
        ),
        lambda: p.mstdpet_step(
            p.MSTDPETParams(pair, 1.5, 1.0), p.mstdpet_init((1,), (1,), (1, 1)), one, one, w, 1.0
        ),
        lambda: p.dopamine_step(
            p.DopamineParams(pair, 0.5, 1.5, 1.0, 1.0),
            p.dopamine_init((1,), (1,), (1, 1)),
            one,
            one,
            w,
            1.0,
        ),
        lambda: p.rate_step(p.RateParams(0.1, 0.1, 1.5), p.rate_init((1,)), one),
    )
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()


def test_a_step_longer_than_its_time_constant_is_warned_of():
    with pytest.warns(UserWarning, match=r"= 1.9e-22 of itself .*dt=1.0 with tau=0.02. Give both"):
        n.exact(20e-3)
    with pytest.warns(UserWarning, match="`dt` exceeds `tau`"):
        n.exact(np.array([20.0, 0.5]), 1.0)
    n.exact(1.0)  # warnings are errors here
    np.testing.assert_allclose(n.time_constant(n.exact(7.0, 0.5), 0.5), 7.0, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`decay` must lie in \(0, 1\); got 1.0"):
        n.time_constant(1.0)
