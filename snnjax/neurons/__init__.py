"""Neuron models as pure functions: parameters, state, init and step, one file a model.

`partial(lif_step, params)` is a body for `snnjax.unroll.unroll` or `jax.lax.scan`. All models fire
and reset in the same step; their docstrings give the order.
"""

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
from snnjax.neurons.li import LIParams as LIParams
from snnjax.neurons.li import LIState as LIState
from snnjax.neurons.li import li_init as li_init
from snnjax.neurons.li import li_step as li_step
from snnjax.neurons.lif import LIFParams as LIFParams
from snnjax.neurons.lif import LIFState as LIFState
from snnjax.neurons.lif import lif_init as lif_init
from snnjax.neurons.lif import lif_step as lif_step
from snnjax.neurons.membrane import euler as euler
from snnjax.neurons.membrane import exact as exact
from snnjax.neurons.plif import PLIFParams as PLIFParams
from snnjax.neurons.plif import PLIFState as PLIFState
from snnjax.neurons.plif import plif_init as plif_init
from snnjax.neurons.plif import plif_step as plif_step
from snnjax.neurons.plif import plif_weight as plif_weight
from snnjax.neurons.reset import RESETS as RESETS
from snnjax.neurons.reset import Reset as Reset
from snnjax.neurons.reset import detach as detach
from snnjax.neurons.reset import get_reset as get_reset
from snnjax.neurons.reset import none as none
from snnjax.neurons.reset import subtract as subtract
from snnjax.neurons.reset import zero as zero
