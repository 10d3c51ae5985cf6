"""Slow loops of the ternary, integer, send-on-delta and few-spike neurons; see neurons.py."""

from __future__ import annotations

import numpy as np

from tests.reference.neurons import reset_, run


def ternary_loop(x, decay, threshold, reset="subtract", scale_input=False):
    def neuron(n, inputs):
        beta, theta = decay[n % 3], threshold[n % 3]
        v = 0.0
        for value in inputs:
            h = beta * v + ((1.0 - beta) * value if scale_input else value)
            s = 0.0
            if abs(h) >= theta:
                s = 1.0 if h > 0 else -1.0
            v = s * reset_(reset, abs(h), abs(s), theta) if s else h
            yield s, v, abs(h) - theta

    return run(x, neuron)


def stbif_loop(x, scale, low, high):
    """From the remainder: the sum of the input in units of the scale, plus 1/2, less the count."""

    def neuron(n, inputs):
        unit = scale[n % 3]
        total, count = 0.0, 0
        for value in inputs:
            total += value
            owed = total / unit + 0.5 - count
            s, margin = 0, np.inf
            if count < high:
                margin = min(margin, abs(owed - 1))
                s += owed >= 1
            if count > low:
                margin = min(margin, abs(owed))
                s -= owed < 0
            count += s
            yield unit * s, owed - s, count, margin

    return run(x, neuron, ("q", "count"))


def delta_loop(x, threshold):
    def neuron(n, inputs):
        ref = 0.0
        for value in inputs:
            gap = value - ref
            sent = gap if abs(gap) >= threshold[n % 3] else 0.0
            ref += sent
            yield sent, ref, abs(gap) - threshold[n % 3]

    return run(x, neuron, ("ref",))


def few_spike_loop(x, threshold, h, d):
    def neuron(n, inputs):
        del n
        v = 0.0
        for step, value in enumerate(inputs):
            t = step % len(threshold)
            v = value if t == 0 else v + value
            margin = v - threshold[t]
            fired = margin >= 0
            v -= h[t] * fired
            yield d[t] * fired, v, (t + 1) % len(threshold), margin

    return run(x, neuron, ("v", "t"))
