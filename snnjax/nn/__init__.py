"""Flax NNX layers: thin holders of parameters over the functions of the other packages."""

from snnjax.nn.spiking import IF as IF
from snnjax.nn.spiking import ILIF as ILIF
from snnjax.nn.spiking import LI as LI
from snnjax.nn.spiking import LIF as LIF
from snnjax.nn.spiking import PLIF as PLIF
from snnjax.nn.spiking import Fixed as Fixed
