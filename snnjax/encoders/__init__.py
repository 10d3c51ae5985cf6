"""Encoders: values to spikes, [B, ...] to [T, B, ...]; signals [T, B, ...] to events."""

from snnjax.encoders.delta import delta as delta
from snnjax.encoders.delta import delta_tracked as delta_tracked
from snnjax.encoders.direct import direct as direct
from snnjax.encoders.latency import latency as latency
from snnjax.encoders.latency import linear_time as linear_time
from snnjax.encoders.latency import log_time as log_time
from snnjax.encoders.rate import poisson as poisson
from snnjax.encoders.rate import rate as rate
