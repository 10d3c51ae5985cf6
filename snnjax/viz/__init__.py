"""Pictures of networks and runs. Needs matplotlib: `pip install "snnjax[viz]"`."""

from snnjax.viz.cloud import CloudLevel as CloudLevel
from snnjax.viz.cloud import cloud_levels as cloud_levels
from snnjax.viz.cloud import voxel_cloud as voxel_cloud
from snnjax.viz.confusion import confusion_figure as confusion_figure
from snnjax.viz.confusion import worst_confusions as worst_confusions
from snnjax.viz.curves import learning_curves as learning_curves
from snnjax.viz.delays import Arrivals as Arrivals
from snnjax.viz.delays import aligned_raster as aligned_raster
from snnjax.viz.delays import delay_histograms as delay_histograms
from snnjax.viz.neurons import membrane_traces as membrane_traces
from snnjax.viz.neurons import spike_raster as spike_raster
from snnjax.viz.neurons import surrogate_figure as surrogate_figure
from snnjax.viz.rates import firing_rate_bars as firing_rate_bars
from snnjax.viz.report import Picture as Picture
from snnjax.viz.report import Table as Table
from snnjax.viz.report import write_report as write_report
from snnjax.viz.sample import input_figure as input_figure
from snnjax.viz.sample import spikes_figure as spikes_figure
from snnjax.viz.style import new_figure as new_figure
from snnjax.viz.style import require_matplotlib as require_matplotlib
from snnjax.viz.style import save_figure as save_figure
from snnjax.viz.surrogates import surrogate_gallery as surrogate_gallery
