"""Objectives over [T, B, ..., N], beside the task's own."""

from snnjax.losses.deltas import delta_penalty as delta_penalty
from snnjax.losses.rates import rate_band as rate_band
from snnjax.losses.rates import spike_count as spike_count
