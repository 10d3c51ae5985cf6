"""Loss functions and penalties over [T, B, ..., N], to use in addition to the task's own loss."""

from snnjax.losses.boxes import code_loss as code_loss
from snnjax.losses.boxes import corner_loss as corner_loss
from snnjax.losses.boxes import smooth_l1 as smooth_l1
from snnjax.losses.cross_entropy import cross_entropy as cross_entropy
from snnjax.losses.deltas import delta_penalty as delta_penalty
from snnjax.losses.detectors import RoiLosses as RoiLosses
from snnjax.losses.detectors import centre_loss as centre_loss
from snnjax.losses.detectors import roi_loss as roi_loss
from snnjax.losses.focal import focal_loss as focal_loss
from snnjax.losses.focal import gaussian_focal_loss as gaussian_focal_loss
from snnjax.losses.membrane import membrane_mean as membrane_mean
from snnjax.losses.membrane import softmax_sum as softmax_sum
from snnjax.losses.membrane import until_end as until_end
from snnjax.losses.rates import rate_band as rate_band
from snnjax.losses.rates import spike_count as spike_count
from snnjax.losses.repulsion import tap_repulsion as tap_repulsion
from snnjax.losses.segmentation import lovasz_softmax as lovasz_softmax
from snnjax.losses.segmentation import masked_cross_entropy as masked_cross_entropy
from snnjax.losses.van_rossum import van_rossum as van_rossum
