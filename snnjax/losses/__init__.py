"""Objectives over [T, B, ..., N], beside the task's own."""

from snnjax.losses.rates import rate_band as rate_band
from snnjax.losses.rates import spike_count as spike_count
