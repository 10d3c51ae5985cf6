"""A public function that takes arrays takes NumPy arrays and lists, with equal results."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax import encoders, losses, metrics, nn, surrogates
from snnjax import neurons as n
from snnjax import plasticity as p
from snnjax import unroll as u
from tests.neurons.cases import CASES
from tests.neurons.cases.case import B, N

T = 5
X = np.random.default_rng(0).normal(0.5, 0.5, (T, N)).astype(np.float32)
UNIT = np.clip(np.abs(X), 0.0, 1.0)
WEIGHT = np.random.default_rng(1).normal(size=(N, N)).astype(np.float32)
PAIR = p.STDPParams(1.0, 1.0, 0.5, 0.5)
PSN = np.eye(T, dtype=np.float32), -np.ones(T, np.float32)
SLIDING = np.float32([0.5, 1.0]), np.float32(-1.0)
LABELS, SHARES = np.arange(T) % N, np.eye(N, dtype=np.float32)[np.arange(T) % N]
KEY = jax.random.key(0)


def add(state, x):
    return state + x, 2 * state


def error(weight, state, x):
    return state + x, ((weight - x) ** 2).sum()


def descend(weight, memory, gradient):
    return weight - 0.1 * gradient, memory


# a function of arrays, and NumPy arrays for it
CALLS = {
    "psn": (lambda w, b, x: n.psn(n.PSNParams(w, b), x), (*PSN, X)),
    "masked_psn": (lambda w, b, x: n.masked_psn(n.PSNParams(w, b), x, window=2), (*PSN, X)),
    "masked_psn_step": (
        lambda w, b, x: n.masked_psn_step(n.PSNParams(w, b), n.masked_psn_init((N,), 2), x),
        (*PSN, X[0]),
    ),
    "sliding_psn": (
        lambda w, b, x: n.sliding_psn(n.SlidingPSNParams(w, b), n.sliding_psn_init((N,), 2), x),
        (*SLIDING, X),
    ),
    "sliding_psn conv": (
        lambda w, b, x: n.sliding_psn(
            n.SlidingPSNParams(w, b), n.sliding_psn_init((N,), 2), x, method="conv"
        ),
        (*SLIDING, X),
    ),
    "sliding_psn_step": (
        lambda w, b, x: n.sliding_psn_step(
            n.SlidingPSNParams(w, b), n.sliding_psn_init((N,), 2), x
        ),
        (*SLIDING, X[0]),
    ),
    "lif_reset_free": (
        lambda d, x: n.lif_reset_free(n.LIFParams(d, 1.0), n.lif_init((N,)), x),
        (UNIT[0], X),
    ),
    "crf_parallel": (
        lambda d, x: n.crf_parallel(n.CRFParams(d, 1.0, 1.0), n.crf_init((N,)), x),
        (UNIT[0], X),
    ),
    "lif_fixed_point": (
        lambda d, x: n.lif_fixed_point(n.LIFParams(d, 1.0), n.lif_init((N,)), x),
        (UNIT[0], X),
    ),
    "if_closed_form": (
        lambda d, x: n.if_closed_form(n.IFParams(d), n.if_init((N,)), x),
        (1.0 + UNIT[0], X),
    ),
    "unroll": (lambda x: u.unroll(add, jnp.zeros(N), x), (X,)),
    "unroll segments": (lambda x: u.unroll(add, jnp.zeros(N), x, checkpoint=2), (X,)),
    "unroll a tree": (lambda x: u.unroll(lambda s, x: add(s, x["x"]), 0.0, {"x": x}), (X[:, 0],)),
    "unroll_truncated": (lambda x: u.unroll_truncated(add, 0.0, x, window=2), (X[:, 0],)),
    "online_gradient": (lambda x: u.online_gradient(error, 1.0, 0.0, x), (X[:, 0],)),
    "online_update": (
        lambda x: u.online_update(error, descend, 1.0, None, 0.0, x),
        (X[:, 0],),
    ),
    "linear_recurrence": (u.linear_recurrence, (UNIT[0], X, X[0])),
    "exact": (n.exact, (1.0 + UNIT,)),
    "time_constant": (n.time_constant, (0.1 + 0.8 * UNIT,)),
    "delta_quantise": (n.delta_quantise, (X, 0.1 + UNIT[0])),
    "delta_encode": (lambda k, x: n.delta_encode(n.DeltaActivationState(k), x), (X[0], X[1])),
    "ilif_fire": (n.ilif_fire, (X,)),
    "ilif_unroll_spikes": (n.ilif_unroll_spikes, (np.round(UNIT),)),
    "stdp_step": (
        lambda a, b, w: p.stdp_step(PAIR, p.stdp_init((N,), (N,)), a, b, w),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "stdp_step bound": (
        lambda a, b, w: p.stdp_step(
            PAIR, p.stdp_init((N,), (N,)), a, b, w, bound=p.soft(-5.0, 5.0)
        ),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "triplet_step": (
        lambda a, b, w: p.triplet_step(p.triplet_params(), p.triplet_init((N,), (N,)), a, b, w),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "mstdp_step": (
        lambda a, b, w: p.mstdp_step(PAIR, p.stdp_init((N,), (N,)), a, b, w, 1.0),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "mstdpet_step": (
        lambda a, b, w: p.mstdpet_step(
            p.mstdpet_params(), p.mstdpet_init((N,), (N,), (N, N)), a, b, w, 1.0
        ),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "dopamine_step": (
        lambda a, b, w: p.dopamine_step(
            p.dopamine_params(), p.dopamine_init((N,), (N,), (N, N)), a, b, w, 1.0
        ),
        (UNIT[0], UNIT[1], WEIGHT),
    ),
    "normalise_weights": (p.normalise_weights, (WEIGHT, UNIT[0])),
    "apply": (p.apply, (WEIGHT, WEIGHT, -UNIT[0], UNIT[0])),
    "homeostasis_step": (
        lambda r, z: p.homeostasis_step(p.HomeostasisParams(r), p.homeostasis_init((N,)), z),
        (UNIT[0], UNIT[1]),
    ),
    "ottt_step": (
        lambda w, z: p.ottt_step(p.OTTTParams(w, 0.5), p.ottt_init((N,)), z),
        (WEIGHT, UNIT[0]),
    ),
    "eprop_step": (
        lambda w, z: p.eprop_step(
            lambda s, x: n.lif_step(n.LIFParams(0.5, 1.0), s, x),
            p.EPropParams(w),
            p.eprop_init(n.lif_init((N,)), (N,), N),
            z,
        ),
        (WEIGHT, UNIT[0]),
    ),
    "feedback_dense": (p.feedback_dense, (X, WEIGHT, WEIGHT)),
    "dense": (p.dense, (X, WEIGHT)),
    "convolution": (p.convolution((1,)), (X[None], WEIGHT[None])),
    "pairs": (lambda a, b, w: p.pairs(p.dense, a, b, w), (X, X, WEIGHT)),
    "pairs_each": (lambda a, b, w: p.pairs_each(p.dense, a, b, w, 1), (X, X, WEIGHT)),
    "rate_step": (
        lambda r, z: p.rate_step(p.RateParams(r, 0.1, 0.5), p.rate_init((N,)), z),
        (UNIT[0], UNIT[1]),
    ),
    "forward_gradient": (  # `params` is a tree, in which a list would be one leaf per number
        lambda w: p.forward_gradient(
            lambda tree: (tree["w"] ** 2).sum(), {"w": np.asarray(w)}, key=KEY
        ),
        (WEIGHT,),
    ),
    "direct": (lambda x: encoders.direct(x, 3), (X,)),
    "latency": (lambda x: encoders.latency(x, 3), (UNIT,)),
    "linear_time": (lambda x: encoders.linear_time(x, 3, 0.0), (UNIT,)),
    "log_time": (lambda x: encoders.log_time(x, 3, 0.1), (UNIT,)),
    "rate": (lambda x: encoders.rate(x, 3, key=KEY), (UNIT,)),
    "poisson": (lambda x: encoders.poisson(x, 3, key=KEY), (UNIT,)),
    "delta": (lambda x: encoders.delta(x, 0.1), (X,)),
    "delta_tracked": (lambda x: encoders.delta_tracked(x, 0.1), (X,)),
    "delta_penalty": (lambda k: losses.delta_penalty([k]), (X[:, None],)),
    "rate_band": (lambda z: losses.rate_band(z, 0.1, 0.2), (UNIT[:, None],)),
    "spike_count": (losses.spike_count, (UNIT[:, None],)),
    "tap_repulsion": (losses.tap_repulsion, (X[None],)),
    "softmax_sum": (losses.softmax_sum, (X[:, None], np.array([3]))),
    "membrane_mean": (losses.membrane_mean, (X[:, None], np.array([3]))),
    "cross_entropy": (
        lambda z, y, w: losses.cross_entropy(z, y, weight=w),
        (X, LABELS, UNIT[:, 0]),
    ),
    "cross_entropy soft": (losses.cross_entropy, (X, SHARES)),
    "accuracy": (metrics.accuracy, (X, LABELS, UNIT[:, 0])),
    "top_k_accuracy": (lambda z, y, w: metrics.top_k_accuracy(z, y, 2, w), (X, LABELS, UNIT[:, 0])),
    "Dropout": (nn.Dropout(0.5), (X[:, None],)),
    "Dropout train": (lambda x: nn.Dropout(0.5)(x, key=KEY, train=True), (X[:, None],)),
    "DropPath train": (lambda x: nn.DropPath(0.5)(x, key=KEY, train=True), (X[:, None],)),
    **{
        name: (spike, (X,))
        for name, spike in surrogates.SURROGATES.items()
        if name not in ("multi_level",)
    },
    "soft": (surrogates.soft(surrogates.atan), (X,)),
    "heaviside": (lambda x: surrogates.heaviside(x, jnp.abs), (X,)),
}


def as_list(array):
    return array.tolist()


@pytest.mark.parametrize("given", [np.asarray, as_list])
@pytest.mark.parametrize("name", CALLS)
def test_a_function_takes_numpy_arrays_and_lists(name, given):
    function, arrays = CALLS[name]
    want = function(*map(jnp.asarray, arrays))
    got = function(*map(given, arrays))
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert isinstance(leaf, jax.Array)
        np.testing.assert_allclose(leaf, other, rtol=1e-6)


@pytest.mark.parametrize("given", [np.asarray, as_list])
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("refractory")])
def test_a_neuron_takes_them_for_its_parameters_and_input(name, given):
    case = CASES[name]
    x = np.asarray(case.input(0)[0], np.float32)
    params = type(case.params)(*(given(np.asarray(value)) for value in case.params))
    state = jax.tree.map(np.asarray, case.init((B, N)))
    got, out = case.step(params, state, given(x))
    want_state, want = case.step(case.params, case.init((B, N)), jnp.asarray(x))
    np.testing.assert_allclose(out, want, rtol=1e-6)
    for leaf, other in zip(got, want_state, strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=1e-6)
