"""Slow loops of the neurons with several compartments; see neurons.py."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.neurons import reset_, run


def _logistic(c: float) -> float:
    return 1 / (1 + math.exp(-c))


def tclif_loop(x, c1, c2, gamma, threshold, reset="subtract", reset_dendrite="subtract"):
    def neuron(n, inputs):
        n = n % 3
        dendrite = soma = 0.0
        for value in inputs:
            dendrite += value - _logistic(c1[n]) * soma
            soma += _logistic(c2[n]) * dendrite
            margin = soma - threshold[n]
            s = float(margin >= 0)
            dendrite = reset_(reset_dendrite, dendrite, s, gamma[n])
            soma = reset_(reset, soma, s, threshold[n])
            yield s, dendrite, soma, margin

    return run(x, neuron, ("d", "s"))


def dhlif_loop(x, branch_decay, decay, threshold, reset="subtract"):
    """`x` is [T, N, D], `branch_decay` has D numbers; spikes, fields and margin are [T, N]."""
    steps, neurons, branches = x.shape
    fields = {"i": np.zeros(x.shape), "u": np.zeros(x.shape[:2]), "z": np.zeros(x.shape[:2])}
    margin = np.zeros(x.shape[:2])
    for n in range(neurons):
        current, u, fired = [0.0] * branches, 0.0, 0.0
        for t in range(steps):
            for b in range(branches):
                beta = branch_decay[b]
                current[b] = beta * current[b] + (1 - beta) * float(x[t, n, b])
            u = reset_(reset, decay * u, fired, threshold) + (1 - decay) * sum(current)
            margin[t, n] = u - threshold
            fired = float(u >= threshold)
            fields["i"][t, n], fields["u"][t, n], fields["z"][t, n] = current, u, fired
    return fields["z"], fields, margin
