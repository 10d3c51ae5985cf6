"""Derivatives of spike functions in NumPy, as papers and libraries write them; nothing is shared.

`CLOSED` has our surrogates in their canonical form, `LIBRARIES` the gradients of other libraries
with the parameters, defaults and edges of their own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def sigma(x):
    """The logistic function."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))


def normal(x, mean, deviation):
    """The density of a normal distribution."""
    return np.exp(-((x - mean) ** 2) / (2 * deviation**2)) / (deviation * math.sqrt(2 * math.pi))


def sech2(x):
    """1 / cosh^2, which is 1 - tanh^2."""
    return 1 - np.tanh(x) ** 2


class Closed(NamedTuple):
    """The closed form g(x, *params) of a surrogate, and what is known of it."""

    params: dict[str, float]  # under test, other than the defaults
    g: Callable[..., np.ndarray]
    peak: float  # the largest g
    at: float = 0.0  # where it is
    area: float | None = 1.0  # None: infinite
    symmetric: bool = True
    negative: bool = False


def _multi_gaussian(x, s, h, k, c):
    sides = normal(x, c * s, k * s) + normal(x, -c * s, k * s)
    return ((1 + h) * normal(x, 0, s) - h * sides) / (1 - h)


CLOSED = {
    "atan": Closed(
        {"slope": 3.0}, lambda x, a: (a / 2) / (1 + (math.pi * a * x / 2) ** 2), peak=1.5
    ),
    "sigmoid": Closed(
        {"slope": 5.0},
        lambda x, a: a / (4 * np.cosh(np.clip(a * x / 2, -300, 300)) ** 2),
        peak=1.25,
    ),
    "fast_sigmoid": Closed(
        {"slope": 10.0}, lambda x, k: k / (2 * (1 + k * np.abs(x)) ** 2), peak=5.0
    ),
    "soft_sign": Closed(
        {"slope": 4.0}, lambda x, a: 1 / (2 * a * (1 / a + np.abs(x)) ** 2), peak=2.0
    ),
    "super_spike": Closed({"slope": 3.0}, lambda x, b: b / 2 / (1 + b * np.abs(x)) ** 2, peak=1.5),
    "erf": Closed(
        {"slope": 1.5},
        lambda x, a: a / math.sqrt(math.pi) * np.exp(-((a * x) ** 2)),
        peak=0.8462844,
    ),
    "triangle": Closed({"width": 0.5}, lambda x, w: np.maximum(0, w - np.abs(x)) / w**2, peak=2.0),
    "rectangle": Closed({"width": 0.5}, lambda x, w: (np.abs(x) < w / 2) / w, peak=2.0),
    "piecewise_quadratic": Closed(
        {"slope": 2.0}, lambda x, a: np.maximum(0, a - a * a * np.abs(x)), peak=2.0
    ),
    "piecewise_exponential": Closed(
        {"slope": 3.0}, lambda x, a: a / 2 * np.exp(-a * np.abs(x)), peak=1.5
    ),
    "spike_rate_escape": Closed(
        {"slope": 2.0, "center": 0.5},
        lambda x, b, c: b / 2 * np.exp(-b * np.abs(x - c)),
        peak=1.0,
        at=0.5,
        symmetric=False,
    ),
    "sparse_fast_sigmoid": Closed(
        {"slope": 10.0, "cutoff": 0.5},
        lambda x, k, b: (x > b) * k * (1 + k * b) / (1 + k * np.abs(x)) ** 2,
        peak=10 / 6,
        at=0.5 + 1e-6,
        symmetric=False,
    ),
    "circular": Closed({"width": 0.25}, lambda x, a: a**2 / (2 * (x**2 + a**2) ** 1.5), peak=2.0),
    "q_pseudo_spike": Closed(
        {"power": 3.5}, lambda x, a: (1 + 2 * np.abs(x) / (a - 1)) ** (-a), peak=1.0
    ),
    "gaussian": Closed({"mu": 0.3, "sigma": 0.6}, normal, peak=0.6649038, at=0.3, symmetric=False),
    "multi_gaussian": Closed(
        {"sigma": 0.4, "height": 0.2, "scale": 5.0, "shift": 1.5},
        _multi_gaussian,
        peak=1.4006866,
        negative=True,
    ),
    "nonzero_sign_log": Closed(
        {"slope": 2.0}, lambda x, a: 1 / (1 / a + np.abs(x)), peak=2.0, area=None
    ),
    "s2nn": Closed(
        {"slope": 3.0, "height": 1.5},
        lambda x, a, b: np.where(x < 0, a * sigma(a * x) * (1 - sigma(a * x)), b / (np.abs(x) + 1)),
        peak=1.5,
        area=None,
        symmetric=False,
    ),
    "fake_numerical": Closed(
        {"height": 0.7}, lambda x, a: np.minimum(np.sign(x) / x, a), peak=0.7, area=None
    ),
    "log_tailed_relu": Closed(
        {"leak": 0.2},
        lambda x, a: np.select([x <= 0, x <= 1], [a, 1.0], 1 / np.abs(x)),
        peak=1.0,
        at=0.5,
        area=None,
        symmetric=False,
    ),
    "leaky_k_relu": Closed(
        {"leak": 0.1, "slope": 2.0},
        lambda x, leak, k: np.where(x >= 0, k, leak),
        peak=2.0,
        area=None,
        symmetric=False,
    ),
    "piecewise_leaky_relu": Closed(
        {"width": 0.5, "leak": 0.05},
        lambda x, w, c: np.where(np.abs(x) < w, 1 / (2 * w), c),
        peak=1.0,
        area=None,
    ),
    "straight_through": Closed({}, np.ones_like, peak=1.0, area=None),
    "squarewave_fourier": Closed(
        {"period": 4.0},
        lambda x, t: 4 / t * np.cos(2 * math.pi * x / t),
        peak=1.0,
        area=0.0,
        negative=True,
    ),
}


class Library(NamedTuple):
    """A gradient g(x, **params) in a library's own terms."""

    g: Callable[..., np.ndarray]
    params: dict[str, float]  # other than the defaults of g
    fires_at_0: bool
    defaults: bool = True  # whether g can be called without parameters


def _fourier(x, n=2, T_period=8.0):
    w = 2 * math.pi / T_period
    return 4 / T_period * sum(np.cos((2 * i - 1) * w * x) for i in range(1, n))


def _s2nn(x, alpha=4.0, beta=1.0):
    below = alpha * sigma(alpha * x) * (1 - sigma(alpha * x))
    return np.where(x < 0, below, beta / (np.maximum(x, 0) + 1))


def _log_tailed(x, alpha=0.0):
    g = np.ones_like(x)
    g[x > 1] = 1 / x[x > 1]
    g[x <= 0] = alpha
    return g


def _logistic_ratio(x, slope=25.0):
    e = np.exp(-slope * x)
    return slope * e / (e + 1) ** 2


def _arctangent(x, alpha=2.0):
    return alpha / 2 / (1 + (math.pi / 2 * alpha * x) ** 2)


def _norse_circ(x, alpha):
    r = x**2 + alpha**2
    return (-(x**2) / (2 * r**1.5) + 1 / (2 * np.sqrt(r))) * 2 * alpha


def _window(x, w):
    return (np.abs(x) < w / 2).astype(float)


def _sj(g, **params):
    return Library(g, params, fires_at_0=True)


def _silent(g, **params):
    return Library(g, params, fires_at_0=False)


LIBRARIES = {
    "spikingjelly.ATan": _sj(_arctangent, alpha=3.0),
    "spikingjelly.DeterministicPass": _sj(np.ones_like),
    "spikingjelly.Erf": _sj(
        lambda x, alpha=2.0: alpha / math.sqrt(math.pi) * np.exp(-((x * alpha) ** 2)), alpha=1.2
    ),
    "spikingjelly.FakeNumericalGradient": _sj(
        lambda x, alpha=0.3: np.minimum(((x >= 0) * 2 - 1) / np.where(x == 0, 1e-30, x), alpha),
        alpha=2.0,
    ),
    "spikingjelly.LeakyKReLU": _sj(
        lambda x, leak=0.0, k=1.0: (x >= 0) * k + (1 - (x >= 0)) * leak, leak=0.3, k=0.8
    ),
    "spikingjelly.LogTailedReLU": _sj(_log_tailed, alpha=0.1),
    "spikingjelly.NonzeroSignLogAbs": _sj(
        lambda x, alpha=1.0: 1 / (1 / alpha + np.abs(x)), alpha=3.0
    ),
    "spikingjelly.PiecewiseExp": _sj(
        lambda x, alpha=1.0: alpha / 2 * np.exp(-alpha * np.abs(x)), alpha=2.5
    ),
    "spikingjelly.PiecewiseLeakyReLU": _sj(
        lambda x, w=1.0, c=0.01: np.where(np.abs(x) < w, 1 / (2 * w), c), w=0.5, c=0.2
    ),
    "spikingjelly.PiecewiseQuadratic": _sj(
        lambda x, alpha=1.0: np.where(np.abs(x) > 1 / alpha, 0, -(alpha**2) * np.abs(x) + alpha),
        alpha=2.0,
    ),
    "spikingjelly.PoissonPass": _sj(np.ones_like),
    "spikingjelly.QPseudoSpike": _sj(
        lambda x, alpha=2.0: (1 + 2 / (alpha - 1) * np.abs(x)) ** (-alpha), alpha=4.0
    ),
    "spikingjelly.Rect": _sj(lambda x, alpha=1.0: alpha * (np.abs(x) < 0.5 / alpha), alpha=2.0),
    "spikingjelly.S2NN": _sj(_s2nn, alpha=2.0, beta=3.0),
    "spikingjelly.Sigmoid": _sj(
        lambda x, alpha=4.0: (1 - sigma(alpha * x)) * sigma(alpha * x) * alpha, alpha=1.5
    ),
    "spikingjelly.SoftSign": _sj(
        lambda x, alpha=2.0: 1 / (2 * alpha * (1 / alpha + np.abs(x)) ** 2), alpha=5.0
    ),
    "spikingjelly.SquarewaveFourierSeries": _sj(_fourier, n=4, T_period=5.0),
    "spikingjelly.SuperSpike": _sj(lambda x, alpha=1.0: alpha / (np.abs(x) + 1) ** 2, alpha=0.7),
    "snntorch.SFS": _silent(
        lambda x, slope=25.0, B=1.0: (x > B) / (slope * np.abs(x) + 1) ** 2, slope=4.0, B=0.5
    ),
    "snntorch.atan": _silent(_arctangent, alpha=1.0),
    "snntorch.fast_sigmoid": _silent(
        lambda x, slope=25.0: 1 / (slope * np.abs(x) + 1) ** 2, slope=10.0
    ),
    "snntorch.heaviside": _silent(lambda x: (x > 0).astype(float)),
    "snntorch.sigmoid": _silent(_logistic_ratio, slope=6.0),
    "snntorch.spike_rate_escape": _silent(
        lambda x, beta=1.0, slope=25.0: slope * np.exp(-beta * np.abs(x - 1)), beta=2.0, slope=3.0
    ),
    "snntorch.straight_through_estimator": _silent(np.ones_like),
    "norse.circ": Library(_norse_circ, {"alpha": 0.6}, False, defaults=False),
    "norse.circ_dist": Library(_norse_circ, {"alpha": 0.6}, False, defaults=False),
    "norse.heavi_erfc": Library(
        lambda x, k: 2 * np.exp(-((k * x) ** 2)) / math.sqrt(math.pi),
        {"k": 1.7}, False, defaults=False,
    ),
    "norse.heaviside": _silent(np.zeros_like),
    "norse.logistic": Library(lambda x, k: sech2(k * x), {"k": 0.9}, False, defaults=False),
    "norse.super": _silent(lambda x: 1 / (np.abs(x) + 1) ** 2),
    "norse.super@1.0.0": _silent(
        lambda x, alpha=100.0: 1 / (alpha * np.abs(x) + 1) ** 2, alpha=10.0
    ),
    "norse.tanh": Library(lambda x, k: sech2(k * x), {"k": 0.9}, False, defaults=False),
    "norse.triangle": _silent(
        lambda x, alpha=0.3: alpha * np.maximum(0, 1 - np.abs(x)), alpha=0.5
    ),
    "spyx.arctan": _silent(lambda x, k=2.0: 1 / ((1 + (k * math.pi * x) ** 2) * math.pi), k=0.8),
    "spyx.boxcar": _silent(
        lambda x, width=2.0, height=0.5: height * _window(x, width), width=1.0, height=3.0
    ),
    "spyx.superspike": _silent(lambda x, k=25.0: 1 / (1 + k * np.abs(x)) ** 2, k=7.0),
    "spyx.tanh": _silent(lambda x, k=1.0: 4 / (np.exp(-k * x) + np.exp(k * x)) ** 2, k=2.0),
    "spyx.triangular": _silent(lambda x, k=2.0: np.maximum(0, 1 - np.abs(k * x)), k=0.5),
    "jaxpike.ATan": _silent(_arctangent, alpha=2.5),
    "jaxpike.Boxcar": _silent(lambda x, width=1.0: _window(x, width) / width, width=0.4),
    "jaxpike.FastSigmoid": _silent(
        lambda x, slope=25.0: 1 / (1 + slope * np.abs(x)) ** 2, slope=3.0
    ),
    "jaxpike.Triangular": _silent(
        lambda x, width=1.0: np.maximum(0, 1 - np.abs(x) / width) / width, width=2.0
    ),
    "snnax.piecewise": _sj(lambda x, beta=0.5: ((x > -beta) & (x < beta)) * 1.0, beta=1.0),
    "snnax.superspike": _sj(lambda x, beta=10.0: 1 / (1 + beta * np.abs(x)), beta=2.0),
    "assg.atan": Library(
        lambda x, mean, deviation: _arctangent(
            x, 2 * math.tan(0.4 * math.pi) / math.pi / (mean + 1.5 * deviation + 1e-4)
        ),
        {"mean": 0.8, "deviation": 0.3}, True, defaults=False,
    ),
    "braincog.QGateGrad": _silent(
        lambda x, alpha=2.0: np.maximum(0, alpha - alpha**2 * np.abs(x)), alpha=1.0
    ),
    "brf.double_gaussian": _silent(
        lambda x: 0.5 * (1.15 * normal(x, 0, 0.5) - 0.3 * normal(x, 0, 3))
    ),
    "dh_snn.multi_gaussian": _silent(
        lambda x: 0.5 * (
            1.15 * normal(x, 0, 0.5) - 0.15 * normal(x, 0.5, 3) - 0.15 * normal(x, -0.5, 3)
        )
    ),
    "diet_snn.triangle": _silent(
        lambda x, scale=0.3: scale * np.maximum(0, 1 - np.abs(x)), scale=1.0
    ),
    "hart.triangle": Library(
        lambda x, width: np.maximum(0, width - np.abs(x)) / width**2,
        {"width": 0.6}, True, defaults=False,
    ),
    "pdsg.gaussian": Library(
        lambda x, sigma: np.exp(-((x - 0.5 * sigma) ** 2) / (2 * sigma**2))
        / (math.sqrt(2 * math.pi) * sigma),
        {"sigma": 0.7}, True, defaults=False,
    ),
    "stbp.rectangle": _silent(lambda x: _window(x, 1)),
}  # fmt: skip
