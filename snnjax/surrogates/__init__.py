"""Surrogate spike functions: a step in the forward pass, a smooth derivative in the backward pass.

Every function `spike(x, ...)` takes the membrane minus the threshold, returns spikes, and is
differentiable in forward and reverse mode. Derivatives have area 1 where it is finite, times
`gain`; `like` sets slope and gain to match another library. To set a slope or width use
`functools.partial(atan, slope=3.0)`, or `jax.tree_util.Partial` to make it a traced leaf.
"""

from snnjax.surrogates.core import Spike as Spike
from snnjax.surrogates.core import check_floating as check_floating
from snnjax.surrogates.core import compute_dtype as compute_dtype
from snnjax.surrogates.core import custom as custom
from snnjax.surrogates.core import heaviside as heaviside
from snnjax.surrogates.core import soft as soft
from snnjax.surrogates.core import with_primitive as with_primitive
from snnjax.surrogates.exponential import piecewise_exponential as piecewise_exponential
from snnjax.surrogates.exponential import spike_rate_escape as spike_rate_escape
from snnjax.surrogates.forms import LIBRARY_FORMS as LIBRARY_FORMS
from snnjax.surrogates.forms import LIBRARY_VERSIONS as LIBRARY_VERSIONS
from snnjax.surrogates.fourier import squarewave_fourier as squarewave_fourier
from snnjax.surrogates.gaussians import gaussian as gaussian
from snnjax.surrogates.gaussians import multi_gaussian as multi_gaussian
from snnjax.surrogates.integer import multi_level as multi_level
from snnjax.surrogates.leaky import leaky_k_relu as leaky_k_relu
from snnjax.surrogates.leaky import piecewise_leaky_relu as piecewise_leaky_relu
from snnjax.surrogates.library import LEFT_OUT as LEFT_OUT
from snnjax.surrogates.library import like as like
from snnjax.surrogates.logarithmic import fake_numerical as fake_numerical
from snnjax.surrogates.logarithmic import log_tailed_relu as log_tailed_relu
from snnjax.surrogates.logarithmic import nonzero_sign_log as nonzero_sign_log
from snnjax.surrogates.logarithmic import s2nn as s2nn
from snnjax.surrogates.piecewise import piecewise_quadratic as piecewise_quadratic
from snnjax.surrogates.piecewise import rectangle as rectangle
from snnjax.surrogates.piecewise import straight_through as straight_through
from snnjax.surrogates.piecewise import triangle as triangle
from snnjax.surrogates.power import circular as circular
from snnjax.surrogates.power import q_pseudo_spike as q_pseudo_spike
from snnjax.surrogates.power import soft_sign as soft_sign
from snnjax.surrogates.power import sparse_fast_sigmoid as sparse_fast_sigmoid
from snnjax.surrogates.power import super_spike as super_spike
from snnjax.surrogates.registry import SURROGATES as SURROGATES
from snnjax.surrogates.registry import get_surrogate as get_surrogate
from snnjax.surrogates.registry import lookup as lookup
from snnjax.surrogates.signed import ternary as ternary
from snnjax.surrogates.smooth import atan as atan
from snnjax.surrogates.smooth import erf as erf
from snnjax.surrogates.smooth import fast_sigmoid as fast_sigmoid
from snnjax.surrogates.smooth import sigmoid as sigmoid
from snnjax.surrogates.stochastic import bernoulli as bernoulli
from snnjax.surrogates.stochastic import stochastic_spike_operator as stochastic_spike_operator
