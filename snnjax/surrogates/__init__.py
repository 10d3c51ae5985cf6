"""Spike functions: a step forward, a chosen derivative backward.

Every function `spike(x, ...)` takes the membrane minus the threshold, gives spikes, and is
differentiable in forward and reverse mode. Derivatives have area 1, times `gain`. To set a slope or
width use `functools.partial(atan, slope=3.0)`, or `jax.tree_util.Partial` to make it a traced leaf.
"""

from snnjax.surrogates.core import Spike as Spike
from snnjax.surrogates.core import check_floating as check_floating
from snnjax.surrogates.core import compute_dtype as compute_dtype
from snnjax.surrogates.core import custom as custom
from snnjax.surrogates.core import heaviside as heaviside
from snnjax.surrogates.core import soft as soft
from snnjax.surrogates.core import with_primitive as with_primitive
from snnjax.surrogates.integer import multi_level as multi_level
from snnjax.surrogates.piecewise import piecewise_quadratic as piecewise_quadratic
from snnjax.surrogates.piecewise import rectangle as rectangle
from snnjax.surrogates.piecewise import straight_through as straight_through
from snnjax.surrogates.piecewise import triangle as triangle
from snnjax.surrogates.registry import SURROGATES as SURROGATES
from snnjax.surrogates.registry import get_surrogate as get_surrogate
from snnjax.surrogates.registry import lookup as lookup
from snnjax.surrogates.smooth import atan as atan
from snnjax.surrogates.smooth import erf as erf
from snnjax.surrogates.smooth import fast_sigmoid as fast_sigmoid
from snnjax.surrogates.smooth import sigmoid as sigmoid
