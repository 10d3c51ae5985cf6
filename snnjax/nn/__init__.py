"""Flax NNX layers: thin holders of parameters over the functions of the other packages."""

from snnjax.nn.sparse import IntegerNeuron as IntegerNeuron
from snnjax.nn.sparse import Rectifier as Rectifier
from snnjax.nn.sparse import SparseBatchNorm as SparseBatchNorm
from snnjax.nn.sparse import SparseConv as SparseConv
from snnjax.nn.sparse import kaiming_uniform as kaiming_uniform
from snnjax.nn.sparse import truncated_normal as truncated_normal
from snnjax.nn.spiking import IF as IF
from snnjax.nn.spiking import ILIF as ILIF
from snnjax.nn.spiking import LI as LI
from snnjax.nn.spiking import LIF as LIF
from snnjax.nn.spiking import PLIF as PLIF
from snnjax.nn.spiking import Fixed as Fixed
