"""Learning rules based on traces: online gradients, e-prop, STDP and its variants.

A gradient rule is a step whose derivative is the rule, for `snnjax.unroll.online_gradient`. A local
rule returns a change of weights, `(state, dW)`, for `apply` or, as `as_gradient(dW)`, an optimiser.
Weights are [M, N], from M presynaptic to N postsynaptic neurons.
"""

from snnjax.plasticity.bounds import Bound as Bound
from snnjax.plasticity.bounds import additive as additive
from snnjax.plasticity.bounds import apply as apply
from snnjax.plasticity.bounds import as_gradient as as_gradient
from snnjax.plasticity.bounds import hard as hard
from snnjax.plasticity.bounds import soft as soft
from snnjax.plasticity.coincidence import Coincidence as Coincidence
from snnjax.plasticity.coincidence import both as both
from snnjax.plasticity.coincidence import depress as depress
from snnjax.plasticity.coincidence import neither as neither
from snnjax.plasticity.coincidence import potentiate as potentiate
from snnjax.plasticity.dopamine import DopamineParams as DopamineParams
from snnjax.plasticity.dopamine import DopamineState as DopamineState
from snnjax.plasticity.dopamine import dopamine_init as dopamine_init
from snnjax.plasticity.dopamine import dopamine_params as dopamine_params
from snnjax.plasticity.dopamine import dopamine_step as dopamine_step
from snnjax.plasticity.eprop import EPropParams as EPropParams
from snnjax.plasticity.eprop import EPropState as EPropState
from snnjax.plasticity.eprop import eprop_init as eprop_init
from snnjax.plasticity.eprop import eprop_step as eprop_step
from snnjax.plasticity.feedback import RateParams as RateParams
from snnjax.plasticity.feedback import RateState as RateState
from snnjax.plasticity.feedback import feedback_dense as feedback_dense
from snnjax.plasticity.feedback import rate_init as rate_init
from snnjax.plasticity.feedback import rate_step as rate_step
from snnjax.plasticity.forward import forward_gradient as forward_gradient
from snnjax.plasticity.forward import perturbation_gradient as perturbation_gradient
from snnjax.plasticity.homeostasis import HomeostasisParams as HomeostasisParams
from snnjax.plasticity.homeostasis import HomeostasisState as HomeostasisState
from snnjax.plasticity.homeostasis import homeostasis_init as homeostasis_init
from snnjax.plasticity.homeostasis import homeostasis_params as homeostasis_params
from snnjax.plasticity.homeostasis import homeostasis_step as homeostasis_step
from snnjax.plasticity.homeostasis import normalise_weights as normalise_weights
from snnjax.plasticity.ottt import OTTTParams as OTTTParams
from snnjax.plasticity.ottt import OTTTState as OTTTState
from snnjax.plasticity.ottt import ottt_init as ottt_init
from snnjax.plasticity.ottt import ottt_step as ottt_step
from snnjax.plasticity.ottt import spatial as spatial
from snnjax.plasticity.ottt import traced_product as traced_product
from snnjax.plasticity.product import Product as Product
from snnjax.plasticity.product import convolution as convolution
from snnjax.plasticity.product import dense as dense
from snnjax.plasticity.product import pairs as pairs
from snnjax.plasticity.product import pairs_each as pairs_each
from snnjax.plasticity.reward import MSTDPETParams as MSTDPETParams
from snnjax.plasticity.reward import MSTDPETState as MSTDPETState
from snnjax.plasticity.reward import mstdp_step as mstdp_step
from snnjax.plasticity.reward import mstdpet_init as mstdpet_init
from snnjax.plasticity.reward import mstdpet_params as mstdpet_params
from snnjax.plasticity.reward import mstdpet_step as mstdpet_step
from snnjax.plasticity.stdp import STDPParams as STDPParams
from snnjax.plasticity.stdp import STDPState as STDPState
from snnjax.plasticity.stdp import stdp_init as stdp_init
from snnjax.plasticity.stdp import stdp_params as stdp_params
from snnjax.plasticity.stdp import stdp_step as stdp_step
from snnjax.plasticity.trace import Trace as Trace
from snnjax.plasticity.trace import accumulate as accumulate
from snnjax.plasticity.trace import replace as replace
from snnjax.plasticity.triplet import TripletParams as TripletParams
from snnjax.plasticity.triplet import TripletState as TripletState
from snnjax.plasticity.triplet import triplet_init as triplet_init
from snnjax.plasticity.triplet import triplet_params as triplet_params
from snnjax.plasticity.triplet import triplet_step as triplet_step
