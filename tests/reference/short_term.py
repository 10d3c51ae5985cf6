"""Slow loops of short-term plasticity; see neurons.py."""

from __future__ import annotations

import numpy as np

from tests.reference.neurons import run


def tsodyks_markram_loop(x, use, facilitation, recovery, decay):
    """In the form that rests at u = 0; what the next spike releases is U + (1 - U) u."""

    def neuron(n, inputs):
        n = n % 3
        share, left, current = 0.0, 1.0, 0.0
        for spikes in inputs:
            released = (use[n] + (1 - use[n]) * share) * left * spikes
            share = facilitation[n] * share + use[n] * (1 - share) * spikes
            left = 1 - recovery[n] * (1 - left) - released
            current = decay[n] * current + released
            yield current, use[n] + (1 - use[n]) * share, left, current, np.inf

    return run(x, neuron, ("u", "x", "i"))
