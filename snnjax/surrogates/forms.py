"""A table from surrogates of other libraries and papers to ours, with slope and gain."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from snnjax.surrogates.core import Spike
from snnjax.surrogates.exponential import piecewise_exponential, spike_rate_escape
from snnjax.surrogates.fourier import squarewave_fourier
from snnjax.surrogates.gaussians import gaussian, multi_gaussian
from snnjax.surrogates.leaky import leaky_k_relu, piecewise_leaky_relu
from snnjax.surrogates.logarithmic import (
    fake_numerical,
    log_tailed_relu,
    nonzero_sign_log,
    s2nn,
)
from snnjax.surrogates.piecewise import (
    piecewise_quadratic,
    rectangle,
    straight_through,
    triangle,
)
from snnjax.surrogates.power import (
    circular,
    q_pseudo_spike,
    soft_sign,
    sparse_fast_sigmoid,
    super_spike,
)
from snnjax.surrogates.smooth import atan, erf, fast_sigmoid, sigmoid
from snnjax.surrogates.stochastic import bernoulli, stochastic_spike_operator

_strict = partial(partial, strict=True)

LIBRARY_VERSIONS = {
    "spikingjelly": "2.0.0",
    "snntorch": "1.0.0",
    "norse": "1.1.0",
    "spyx": "1.0.0",
    "jaxpike": "0.1.4",
    "snnax": "0.0.1",
}
"""The version of each library that the forms follow, unless their name ends in a version."""

# Parameters and defaults are those of the library; the value is our equivalent surrogate.
# spyx, snnTorch, norse and jaxpike stay silent at x = 0; SpikingJelly and snnax fire there.
LIBRARY_FORMS: dict[str, Callable[..., Spike]] = {
    # SpikingJelly
    "spikingjelly.ATan": lambda alpha=2.0: partial(atan, slope=alpha),
    "spikingjelly.DeterministicPass": lambda: partial(straight_through),
    "spikingjelly.Erf": lambda alpha=2.0: partial(erf, slope=alpha),
    "spikingjelly.FakeNumericalGradient": lambda alpha=0.3: partial(fake_numerical, height=alpha),
    "spikingjelly.LeakyKReLU": lambda leak=0.0, k=1.0: partial(leaky_k_relu, leak=leak, slope=k),
    "spikingjelly.LogTailedReLU": lambda alpha=0.0: partial(log_tailed_relu, leak=alpha),
    "spikingjelly.NonzeroSignLogAbs": lambda alpha=1.0: partial(nonzero_sign_log, slope=alpha),
    "spikingjelly.PiecewiseExp": lambda alpha=1.0: partial(piecewise_exponential, slope=alpha),
    "spikingjelly.PiecewiseLeakyReLU": lambda w=1.0, c=0.01: partial(
        piecewise_leaky_relu, width=w, leak=c
    ),
    "spikingjelly.PiecewiseQuadratic": lambda alpha=1.0: partial(piecewise_quadratic, slope=alpha),
    "spikingjelly.PoissonPass": lambda: partial(bernoulli, base=straight_through),
    "spikingjelly.QPseudoSpike": lambda alpha=2.0: partial(q_pseudo_spike, power=alpha),
    "spikingjelly.Rect": lambda alpha=1.0: partial(rectangle, width=1.0 / alpha),
    "spikingjelly.S2NN": lambda alpha=4.0, beta=1.0: partial(s2nn, slope=alpha, height=beta),
    "spikingjelly.Sigmoid": lambda alpha=4.0: partial(sigmoid, slope=alpha),
    "spikingjelly.SoftSign": lambda alpha=2.0: partial(soft_sign, slope=alpha),
    "spikingjelly.SquarewaveFourierSeries": lambda n=2, T_period=8.0: partial(
        squarewave_fourier, period=T_period, harmonics=n - 1
    ),
    "spikingjelly.SuperSpike": lambda alpha=1.0: partial(super_spike, slope=1.0, gain=2.0 * alpha),
    # snnTorch. Its sigmoid is NaN where -slope * x > 88 in float32; ours is 0 there.
    "snntorch.SFS": lambda slope=25.0, B=1.0: _strict(
        sparse_fast_sigmoid, slope=slope, cutoff=B, gain=1.0 / (slope * (1.0 + slope * B))
    ),
    "snntorch.SSO": lambda mean=0.0, variance=0.2: _strict(
        stochastic_spike_operator, mean=mean, variance=variance
    ),
    "snntorch.atan": lambda alpha=2.0: _strict(atan, slope=alpha),
    "snntorch.fast_sigmoid": lambda slope=25.0: _strict(
        fast_sigmoid, slope=slope, gain=2.0 / slope
    ),
    "snntorch.heaviside": lambda: _strict(leaky_k_relu),
    "snntorch.sigmoid": lambda slope=25.0: _strict(sigmoid, slope=slope),
    "snntorch.spike_rate_escape": lambda beta=1.0, slope=25.0: _strict(
        spike_rate_escape, slope=beta, gain=2.0 * slope / beta
    ),
    "snntorch.straight_through_estimator": lambda: _strict(straight_through),
    # norse, by the name of the method. The super of 1.1.0 ignores its alpha; that of 1.0.0, and of
    # the code after 1.1.0, does not.
    "norse.circ": lambda alpha: _strict(circular, width=alpha, gain=2.0 * alpha),
    "norse.circ_dist": lambda alpha: partial(
        bernoulli, base=circular, width=alpha, gain=2.0 * alpha
    ),
    "norse.heavi_erfc": lambda k: _strict(erf, slope=k, gain=2.0 / k),
    "norse.heaviside": lambda: _strict(straight_through, gain=0.0),
    "norse.logistic": lambda k: partial(bernoulli, base=sigmoid, slope=2.0 * k, gain=2.0 / k),
    "norse.super": lambda: _strict(super_spike, slope=1.0, gain=2.0),
    "norse.super@1.0.0": lambda alpha=100.0: _strict(super_spike, slope=alpha, gain=2.0 / alpha),
    "norse.tanh": lambda k: _strict(sigmoid, slope=2.0 * k, gain=2.0 / k),
    "norse.triangle": lambda alpha=0.3: _strict(triangle, width=1.0, gain=alpha),
    # spyx
    "spyx.arctan": lambda k=2.0: _strict(atan, slope=2.0 * k, gain=1.0 / (math.pi * k)),
    "spyx.boxcar": lambda width=2.0, height=0.5: _strict(
        rectangle, width=width, gain=width * height
    ),
    "spyx.superspike": lambda k=25.0: _strict(super_spike, slope=k, gain=2.0 / k),
    "spyx.tanh": lambda k=1.0: _strict(sigmoid, slope=2.0 * k, gain=2.0 / k),
    "spyx.triangular": lambda k=2.0: _strict(triangle, width=1.0 / k, gain=1.0 / k),
    # jaxpike. Its boxcar has half the height exactly at the two edges.
    "jaxpike.ATan": lambda alpha=2.0: _strict(atan, slope=alpha),
    "jaxpike.Boxcar": lambda width=1.0: _strict(rectangle, width=width),
    "jaxpike.FastSigmoid": lambda slope=25.0: _strict(fast_sigmoid, slope=slope, gain=2.0 / slope),
    "jaxpike.Triangular": lambda width=1.0: _strict(triangle, width=width),
    # snnax: its superspike is not squared
    "snnax.piecewise": lambda beta=0.5: partial(rectangle, width=2.0 * beta, gain=2.0 * beta),
    "snnax.superspike": lambda beta=10.0: partial(nonzero_sign_log, slope=beta, gain=1.0 / beta),
    # Published with a model. DIET-SNN and IIR-SNN take x = u / threshold - 1.
    "assg.atan": lambda mean, deviation, sharpness=0.4: partial(
        atan,
        slope=2.0 * math.tan(sharpness * math.pi) / math.pi / (mean + 1.5 * deviation + 1e-4),
    ),
    "braincog.QGateGrad": lambda alpha=2.0: _strict(piecewise_quadratic, slope=alpha),
    "brf.double_gaussian": lambda: _strict(multi_gaussian, shift=0.0, gain=0.425),
    "dh_snn.multi_gaussian": lambda: _strict(multi_gaussian, gain=0.425),
    "diet_snn.triangle": lambda scale=0.3: _strict(triangle, width=1.0, gain=scale),
    "hart.triangle": lambda width: partial(triangle, width=width),
    "pdsg.gaussian": lambda sigma: partial(gaussian, mu=0.5 * sigma, sigma=sigma),
    "stbp.rectangle": lambda: _strict(rectangle, width=1.0),
}
