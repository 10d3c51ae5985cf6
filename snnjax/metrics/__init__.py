"""Rates, accuracy, parameters, and synaptic operations with their energy."""

from snnjax.metrics.accuracy import accuracy as accuracy
from snnjax.metrics.accuracy import confusion_matrix as confusion_matrix
from snnjax.metrics.accuracy import top_k_accuracy as top_k_accuracy
from snnjax.metrics.activity import Activity as Activity
from snnjax.metrics.activity import ActivityTotals as ActivityTotals
from snnjax.metrics.activity import LayerActivity as LayerActivity
from snnjax.metrics.activity import LayerTotals as LayerTotals
from snnjax.metrics.activity import linear_activity as linear_activity
from snnjax.metrics.activity import sparse_activity as sparse_activity
from snnjax.metrics.parameters import ParameterRow as ParameterRow
from snnjax.metrics.parameters import count_parameters as count_parameters
from snnjax.metrics.parameters import parameter_table as parameter_table
from snnjax.metrics.rates import RATE_BAND as RATE_BAND
from snnjax.metrics.rates import LayerRate as LayerRate
from snnjax.metrics.rates import firing_rates as firing_rates
from snnjax.metrics.rates import mean_firing_rate as mean_firing_rate
from snnjax.metrics.rates import rate_alarms as rate_alarms
from snnjax.metrics.synops import AC_PICOJOULE as AC_PICOJOULE
from snnjax.metrics.synops import MAC_PICOJOULE as MAC_PICOJOULE
from snnjax.metrics.synops import LayerSynOps as LayerSynOps
from snnjax.metrics.synops import SynOps as SynOps
from snnjax.metrics.synops import energy_mj as energy_mj
from snnjax.metrics.synops import layer_synops as layer_synops
from snnjax.metrics.synops import synops as synops
from snnjax.metrics.temporal import effective_macs as effective_macs
from snnjax.metrics.temporal import temporal_sparsity as temporal_sparsity
