"""Neuron models as pure functions: parameters, state, init and step, one file per model.

`partial(lif_step, params)` is a body for `snnjax.unroll.unroll` or `jax.lax.scan`. All models fire
and reset in the same step, unless a docstring says otherwise; each documents its order. Those in
`snnjax.neurons.parallel` (`psn`, `lif_reset_free`, ...) take a sequence, [T, B, ..., N].

The input is not scaled, in steps and layers alike: `scale_input=False` everywhere. The
conventions of other libraries and papers in terms of ours:

| theirs | ours |
|---|---|
| beta, alpha, a decay of one step (snnTorch, spyx) | tau=time_constant(decay) |
| tau in steps, forward Euler (SpikingJelly) | tau, decay=euler |
| tau_mem_inv and dt in seconds (norse) | tau=1 / tau_mem_inv, dt, decay=euler |
| input times 1 / tau or 1 - decay (decay_input; papers of ALIF, PLIF) | scale_input=True |
| input times dt / C (snnTorch Lapicque), dt tau_mem_inv (norse) | that factor in the weights |
| v_rest, v_leak | v_rest |
| v_reset | reset=reset_to(v_reset) |
| reset in the next step (snnTorch), before the leak, firing on the old membrane (spyx) | timing |

The biophysical neurons (QIF, EIF, AdEx, Izhikevich, Hodgkin-Huxley) and the Euler resonators take
a current in the unit of their equations, which a step multiplies by dt / tau, dt / c or dt.

Equivalent neurons in other libraries: spikes, states and input gradients match recordings from
SpikingJelly 2.0.0, snnTorch 1.0.0, norse 1.0.0, spyx 1.0.0 and jaxpike 0.1.4. Surrogates are from
`snnjax.surrogates.like`, whose `LIBRARY_VERSIONS` are the same except for norse: its names are
those of 1.1.0, and "norse.super@1.0.0" is the surrogate of 1.0.0. "One step earlier" means that
ours fires in the step before theirs, since theirs uses the current (norse) or the membrane (spyx)
of the previous step; norse's input current is `li_step` with decay 1 - dt * tau_syn_inv. jaxpike
clips v 10 mV above its peak; for its gradient, apply spike and reset to min(v, peak), the spike
over 5 mV. The Euler step of norse's Izhikevich neuron, in which u moves by the old v, has no
equivalent here.

| ours | theirs | when |
|---|---|---|
| if_step | SpikingJelly IFNode | v_reset None: subtract, 0: zero |
| lif_step | SpikingJelly LIFNode | decay=euler(tau), scale_input=decay_input; detach(reset) |
| lif_step | SpikingJelly LIFNode, v_reset not 0 | v_rest=v_reset, reset=reset_to(v_reset) |
| lif_step | snnTorch Leaky, subtract | decay=beta, timing=next_step, reset=detach(subtract) |
| lif_step | snnTorch Leaky, zero | decay=beta, timing=before_leak, reset=detach(zero) |
| lif_step | snnTorch Lapicque | decay=euler(R C), input dt / C, timing=next_step, detach(reset) |
| plif_step | SpikingJelly ParametricLIFNode | w=plif_weight(init_tau), else as LIFNode |
| ilif_step | SpikingJelly ILIFNode | beta=0.25 |
| cuba_step | SpikingJelly CUBALIFNode | decay_c=0.5, decay=0.75 |
| cuba_step | snnTorch Synaptic | decay_c=alpha, decay=beta, timing=next_step, detach(reset) |
| cuba_step | norse LIF, one step earlier | decays 1 - dt tau_inv, input dt tau_mem_inv, v_leak |
| qif_step | SpikingJelly QIFNode | constants by name, v0=v_reset |
| eif_step | SpikingJelly EIFNode | delta=delta_T, v_rh=theta_rh, v0=v_reset |
| klif_step | SpikingJelly KLIFNode | decay=euler(tau), scale_input=decay_input, scale_reset |
| glif_step | SpikingJelly GatedLIFNode | constants are sigmoids of theirs, conduct of the step |
| liaf_step | SpikingJelly LIAFNode, by steps | decay=euler(tau), act, threshold_related |
| adaptive_qif_step | SpikingJelly IzhikevichNode | constants by name, v0=v_reset |
| izhikevich_step | jaxpike Izhikevich | peak=v_peak + 10, spike(x + 10), start (c, b c) |
| alif_step | jaxpike ALIF | decays exact(tau, dt) |
| alif_step | norse LSNN, one step earlier | decays 1 - dt tau_inv, beta times decay_a, reset=zero |
| alif_step | spyx ALIF, one step earlier | decay_a=gamma, beta=1 - gamma, reset by theta / decay |
| psn | SpikingJelly PSN | weight, bias |
| masked_psn | SpikingJelly MaskedPSN | window=k, strength=lambda |
| sliding_psn | SpikingJelly SlidingPSN | weight, bias |
"""

from snnjax.neurons.adex import ADEX_2005 as ADEX_2005
from snnjax.neurons.adex import AdExParams as AdExParams
from snnjax.neurons.adex import AdExState as AdExState
from snnjax.neurons.adex import adex_init as adex_init
from snnjax.neurons.adex import adex_step as adex_step
from snnjax.neurons.adlif import AdLIFParams as AdLIFParams
from snnjax.neurons.adlif import AdLIFState as AdLIFState
from snnjax.neurons.adlif import adlif_init as adlif_init
from snnjax.neurons.adlif import adlif_step as adlif_step
from snnjax.neurons.alif import ALIFParams as ALIFParams
from snnjax.neurons.alif import ALIFState as ALIFState
from snnjax.neurons.alif import alif_init as alif_init
from snnjax.neurons.alif import alif_step as alif_step
from snnjax.neurons.alpha import AlphaParams as AlphaParams
from snnjax.neurons.alpha import AlphaState as AlphaState
from snnjax.neurons.alpha import alpha_gain as alpha_gain
from snnjax.neurons.alpha import alpha_init as alpha_init
from snnjax.neurons.alpha import alpha_step as alpha_step
from snnjax.neurons.balanced_resonate import BRFParams as BRFParams
from snnjax.neurons.balanced_resonate import BRFState as BRFState
from snnjax.neurons.balanced_resonate import brf_boundary as brf_boundary
from snnjax.neurons.balanced_resonate import brf_init as brf_init
from snnjax.neurons.balanced_resonate import brf_step as brf_step
from snnjax.neurons.clif import CLIFParams as CLIFParams
from snnjax.neurons.clif import CLIFState as CLIFState
from snnjax.neurons.clif import clif_init as clif_init
from snnjax.neurons.clif import clif_step as clif_step
from snnjax.neurons.cuba import CUBAParams as CUBAParams
from snnjax.neurons.cuba import CUBAState as CUBAState
from snnjax.neurons.cuba import cuba_init as cuba_init
from snnjax.neurons.cuba import cuba_step as cuba_step
from snnjax.neurons.delta_activation import DeltaActivationParams as DeltaActivationParams
from snnjax.neurons.delta_activation import DeltaActivationState as DeltaActivationState
from snnjax.neurons.delta_activation import DeltaProductState as DeltaProductState
from snnjax.neurons.delta_activation import DeltaSendParams as DeltaSendParams
from snnjax.neurons.delta_activation import delta_activation_init as delta_activation_init
from snnjax.neurons.delta_activation import delta_activation_step as delta_activation_step
from snnjax.neurons.delta_activation import delta_encode as delta_encode
from snnjax.neurons.delta_activation import delta_levels as delta_levels
from snnjax.neurons.delta_activation import delta_product_init as delta_product_init
from snnjax.neurons.delta_activation import delta_product_step as delta_product_step
from snnjax.neurons.delta_activation import delta_quantise as delta_quantise
from snnjax.neurons.delta_activation import delta_send_step as delta_send_step
from snnjax.neurons.delta_activation import delta_step_size as delta_step_size
from snnjax.neurons.delta_activation import quantiser_bounds as quantiser_bounds
from snnjax.neurons.dhlif import DHLIFParams as DHLIFParams
from snnjax.neurons.dhlif import DHLIFState as DHLIFState
from snnjax.neurons.dhlif import branch_masks as branch_masks
from snnjax.neurons.dhlif import dhlif_init as dhlif_init
from snnjax.neurons.dhlif import dhlif_step as dhlif_step
from snnjax.neurons.eif import EIFParams as EIFParams
from snnjax.neurons.eif import EIFState as EIFState
from snnjax.neurons.eif import eif_init as eif_init
from snnjax.neurons.eif import eif_step as eif_step
from snnjax.neurons.euler_resonate import RFParams as RFParams
from snnjax.neurons.euler_resonate import RFState as RFState
from snnjax.neurons.euler_resonate import rf_init as rf_init
from snnjax.neurons.euler_resonate import rf_step as rf_step
from snnjax.neurons.few_spike import FewSpikeParams as FewSpikeParams
from snnjax.neurons.few_spike import FewSpikeState as FewSpikeState
from snnjax.neurons.few_spike import few_spike_init as few_spike_init
from snnjax.neurons.few_spike import few_spike_relu as few_spike_relu
from snnjax.neurons.few_spike import few_spike_step as few_spike_step
from snnjax.neurons.glif import GLIFParams as GLIFParams
from snnjax.neurons.glif import GLIFState as GLIFState
from snnjax.neurons.glif import glif_init as glif_init
from snnjax.neurons.glif import glif_step as glif_step
from snnjax.neurons.harmonic_resonate import HRFParams as HRFParams
from snnjax.neurons.harmonic_resonate import HRFState as HRFState
from snnjax.neurons.harmonic_resonate import hrf_init as hrf_init
from snnjax.neurons.harmonic_resonate import hrf_step as hrf_step
from snnjax.neurons.hodgkin_huxley import HodgkinHuxleyParams as HodgkinHuxleyParams
from snnjax.neurons.hodgkin_huxley import HodgkinHuxleyState as HodgkinHuxleyState
from snnjax.neurons.hodgkin_huxley import hodgkin_huxley_init as hodgkin_huxley_init
from snnjax.neurons.hodgkin_huxley import hodgkin_huxley_step as hodgkin_huxley_step
from snnjax.neurons.ilif import ILIFParams as ILIFParams
from snnjax.neurons.ilif import ILIFState as ILIFState
from snnjax.neurons.ilif import ilif_fire as ilif_fire
from snnjax.neurons.ilif import ilif_init as ilif_init
from snnjax.neurons.ilif import ilif_step as ilif_step
from snnjax.neurons.ilif import ilif_unroll_spikes as ilif_unroll_spikes
from snnjax.neurons.integrate_fire import IFParams as IFParams
from snnjax.neurons.integrate_fire import IFState as IFState
from snnjax.neurons.integrate_fire import if_init as if_init
from snnjax.neurons.integrate_fire import if_step as if_step
from snnjax.neurons.izhikevich import IZHIKEVICH_PRESETS as IZHIKEVICH_PRESETS
from snnjax.neurons.izhikevich import AdaptiveQIFParams as AdaptiveQIFParams
from snnjax.neurons.izhikevich import AdaptiveQIFState as AdaptiveQIFState
from snnjax.neurons.izhikevich import IzhikevichParams as IzhikevichParams
from snnjax.neurons.izhikevich import IzhikevichState as IzhikevichState
from snnjax.neurons.izhikevich import adaptive_qif_init as adaptive_qif_init
from snnjax.neurons.izhikevich import adaptive_qif_step as adaptive_qif_step
from snnjax.neurons.izhikevich import izhikevich_init as izhikevich_init
from snnjax.neurons.izhikevich import izhikevich_step as izhikevich_step
from snnjax.neurons.klif import KLIFParams as KLIFParams
from snnjax.neurons.klif import KLIFState as KLIFState
from snnjax.neurons.klif import klif_init as klif_init
from snnjax.neurons.klif import klif_step as klif_step
from snnjax.neurons.li import LIParams as LIParams
from snnjax.neurons.li import LIState as LIState
from snnjax.neurons.li import li_init as li_init
from snnjax.neurons.li import li_step as li_step
from snnjax.neurons.liaf import LIAFParams as LIAFParams
from snnjax.neurons.liaf import LIAFState as LIAFState
from snnjax.neurons.liaf import liaf_init as liaf_init
from snnjax.neurons.liaf import liaf_step as liaf_step
from snnjax.neurons.lif import LIFParams as LIFParams
from snnjax.neurons.lif import LIFState as LIFState
from snnjax.neurons.lif import lif_init as lif_init
from snnjax.neurons.lif import lif_step as lif_step
from snnjax.neurons.membrane import euler as euler
from snnjax.neurons.membrane import exact as exact
from snnjax.neurons.membrane import time_constant as time_constant
from snnjax.neurons.nonlinear import hard as hard
from snnjax.neurons.parallel.closed_form import if_closed_form as if_closed_form
from snnjax.neurons.parallel.fixed_point import Convergence as Convergence
from snnjax.neurons.parallel.fixed_point import lif_fixed_point as lif_fixed_point
from snnjax.neurons.parallel.psn import MaskedPSNState as MaskedPSNState
from snnjax.neurons.parallel.psn import PSNParams as PSNParams
from snnjax.neurons.parallel.psn import masked_psn as masked_psn
from snnjax.neurons.parallel.psn import masked_psn_init as masked_psn_init
from snnjax.neurons.parallel.psn import masked_psn_step as masked_psn_step
from snnjax.neurons.parallel.psn import psn as psn
from snnjax.neurons.parallel.psn import psn_params as psn_params
from snnjax.neurons.parallel.psn import psn_step as psn_step
from snnjax.neurons.parallel.reset_free import CRFParams as CRFParams
from snnjax.neurons.parallel.reset_free import CRFState as CRFState
from snnjax.neurons.parallel.reset_free import crf_init as crf_init
from snnjax.neurons.parallel.reset_free import crf_parallel as crf_parallel
from snnjax.neurons.parallel.reset_free import crf_step as crf_step
from snnjax.neurons.parallel.reset_free import lif_reset_free as lif_reset_free
from snnjax.neurons.parallel.sliding_psn import SlidingPSNParams as SlidingPSNParams
from snnjax.neurons.parallel.sliding_psn import SlidingPSNState as SlidingPSNState
from snnjax.neurons.parallel.sliding_psn import sliding_psn as sliding_psn
from snnjax.neurons.parallel.sliding_psn import sliding_psn_init as sliding_psn_init
from snnjax.neurons.parallel.sliding_psn import sliding_psn_params as sliding_psn_params
from snnjax.neurons.parallel.sliding_psn import sliding_psn_step as sliding_psn_step
from snnjax.neurons.plif import PLIFParams as PLIFParams
from snnjax.neurons.plif import PLIFState as PLIFState
from snnjax.neurons.plif import plif_init as plif_init
from snnjax.neurons.plif import plif_step as plif_step
from snnjax.neurons.plif import plif_weight as plif_weight
from snnjax.neurons.qif import QIFParams as QIFParams
from snnjax.neurons.qif import QIFState as QIFState
from snnjax.neurons.qif import qif_init as qif_init
from snnjax.neurons.qif import qif_step as qif_step
from snnjax.neurons.recurrent import RecurrentState as RecurrentState
from snnjax.neurons.recurrent import recurrent_init as recurrent_init
from snnjax.neurons.recurrent import recurrent_step as recurrent_step
from snnjax.neurons.refractory import RefractoryState as RefractoryState
from snnjax.neurons.refractory import refractory_init as refractory_init
from snnjax.neurons.refractory import refractory_step as refractory_step
from snnjax.neurons.reset import RESETS as RESETS
from snnjax.neurons.reset import Reset as Reset
from snnjax.neurons.reset import detach as detach
from snnjax.neurons.reset import get_reset as get_reset
from snnjax.neurons.reset import none as none
from snnjax.neurons.reset import reset_to as reset_to
from snnjax.neurons.reset import subtract as subtract
from snnjax.neurons.reset import zero as zero
from snnjax.neurons.resonate import RAFParams as RAFParams
from snnjax.neurons.resonate import RAFState as RAFState
from snnjax.neurons.resonate import raf_init as raf_init
from snnjax.neurons.resonate import raf_step as raf_step
from snnjax.neurons.sigma_delta import DeltaParams as DeltaParams
from snnjax.neurons.sigma_delta import DeltaState as DeltaState
from snnjax.neurons.sigma_delta import SigmaState as SigmaState
from snnjax.neurons.sigma_delta import delta_init as delta_init
from snnjax.neurons.sigma_delta import delta_step as delta_step
from snnjax.neurons.sigma_delta import sigma_init as sigma_init
from snnjax.neurons.sigma_delta import sigma_step as sigma_step
from snnjax.neurons.stbif import STBIFParams as STBIFParams
from snnjax.neurons.stbif import STBIFState as STBIFState
from snnjax.neurons.stbif import stbif_init as stbif_init
from snnjax.neurons.stbif import stbif_step as stbif_step
from snnjax.neurons.tclif import TCLIFParams as TCLIFParams
from snnjax.neurons.tclif import TCLIFState as TCLIFState
from snnjax.neurons.tclif import tclif_init as tclif_init
from snnjax.neurons.tclif import tclif_step as tclif_step
from snnjax.neurons.ternary import TernaryParams as TernaryParams
from snnjax.neurons.ternary import TernaryState as TernaryState
from snnjax.neurons.ternary import ternary_init as ternary_init
from snnjax.neurons.ternary import ternary_step as ternary_step
from snnjax.neurons.timing import Timing as Timing
from snnjax.neurons.timing import before_leak as before_leak
from snnjax.neurons.timing import next_step as next_step
from snnjax.neurons.timing import previous_step as previous_step
from snnjax.neurons.timing import same_step as same_step
from snnjax.neurons.tsodyks_markram import TsodyksMarkramParams as TsodyksMarkramParams
from snnjax.neurons.tsodyks_markram import TsodyksMarkramState as TsodyksMarkramState
from snnjax.neurons.tsodyks_markram import tsodyks_markram_init as tsodyks_markram_init
from snnjax.neurons.tsodyks_markram import tsodyks_markram_params as tsodyks_markram_params
from snnjax.neurons.tsodyks_markram import tsodyks_markram_step as tsodyks_markram_step
