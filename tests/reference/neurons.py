"""Slow NumPy loops of the neuron equations, written from the papers; no code of snnjax in them.

Each takes the input [T, ...] and plain numbers and gives, in float64 and each [T, ...]: outputs,
the state after the step by field, and the distance of the charged membrane to where its output
jumps.
"""

from __future__ import annotations

import math

import numpy as np


def reset_(kind: str, h: float, s: float, threshold: float) -> float:
    if kind == "subtract":
        return h - s * threshold
    if kind == "zero":
        return 0.0 if s > 0 else h
    return h


def run(x: np.ndarray, one_neuron, fields=("v",)):
    """Apply `one_neuron(n, inputs)`, yielding (out, *fields, margin), to each element."""
    flat = np.asarray(x, np.float64).reshape(x.shape[0], -1)
    result = np.zeros((2 + len(fields), *flat.shape))
    for n in range(flat.shape[1]):
        for t, values in enumerate(one_neuron(n, flat[:, n])):
            result[:, t, n] = values
    out, *state, margin = (part.reshape(x.shape) for part in result)
    return out, dict(zip(fields, state, strict=True)), margin


def if_loop(x, threshold, reset="subtract"):
    """`threshold`, as `decay` and `tau` below, has one number for each value of the last axis."""

    def neuron(n, inputs):
        theta = threshold[n % len(threshold)]
        v = 0.0
        for value in inputs:
            h = v + value
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            yield s, v, h - theta

    return run(x, neuron)


def lif_loop(x, decay, threshold, reset="subtract", scale_input=False):
    def neuron(n, inputs):
        beta, theta = decay[n % len(decay)], threshold[n % len(threshold)]
        v = 0.0
        for value in inputs:
            h = beta * v + ((1.0 - beta) * value if scale_input else value)
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            yield s, v, h - theta

    return run(x, neuron)


def timed_lif_loop(x, decay, threshold, timing, reset="subtract"):
    """The carried membrane and the spikes of the other timings, as their libraries compute them."""

    def neuron(n, inputs):
        beta, theta = decay[n % len(decay)], threshold[n % len(threshold)]
        v = 0.0
        for value in inputs:
            fired = 1.0 if v >= theta else 0.0
            before = v - theta
            if timing == "before_leak":
                v = beta * reset_(reset, v, fired, theta) + value
            else:
                v = reset_(reset, beta * v + value, fired, theta)
            late = timing == "previous_step"
            yield fired if late else float(v >= theta), v, before if late else v - theta

    return run(x, neuron)


def plif_loop(x, tau, threshold, reset="subtract", scale_input=True):
    def neuron(n, inputs):
        k, theta = 1.0 / tau[n % len(tau)], threshold[n % len(threshold)]
        v = 0.0
        for value in inputs:
            h = v + (value - v) * k if scale_input else v - v * k + value
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            yield s, v, h - theta

    return run(x, neuron)


def li_loop(x, decay, scale_input=False):
    def neuron(n, inputs):
        beta = decay[n % len(decay)]
        v = 0.0
        for value in inputs:
            v = beta * v + ((1.0 - beta) * value if scale_input else value)
            yield v, v, np.inf

    return run(x, neuron)


def ilif_loop(x, beta, levels=4, reset="subtract"):
    """In the paper's own variables: h[t] = beta (h[t-1] - s[t-1]) + x[t]."""

    def neuron(n, inputs):
        h = s = 0.0
        for value in inputs:
            h = beta[n % len(beta)] * reset_(reset, h, s, 1.0) + value
            s = float(math.floor(min(max(h, 0.0), levels) + 0.5))
            half = math.floor(h) + 0.5
            yield s, reset_(reset, h, s, 1.0), h - half if 0 < half < levels else np.inf

    return run(x, neuron)


def lif_bptt(x, decay, threshold, slope, upstream, detach=False):
    """Gradients of sum(upstream * spikes) with respect to x and decay, for one LIF neuron.

    An explicit backward loop with a soft reset; the derivative of the step is that of the
    arctangent surrogate of this slope.
    """
    steps = len(x)
    h, s, before = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    v = 0.0
    for t in range(steps):
        before[t] = v
        h[t] = decay * v + x[t]
        s[t] = float(h[t] >= threshold)
        v = h[t] - s[t] * threshold
    g = (slope / 2) / (1 + (math.pi * slope / 2 * (h - threshold)) ** 2)
    dx, ddecay, dv = np.zeros(steps), 0.0, 0.0
    for t in reversed(range(steps)):
        ds = upstream[t] - (0.0 if detach else threshold * dv)
        dh = dv + g[t] * ds
        dx[t] = dh
        ddecay += dh * before[t]
        dv = dh * decay
    return dx, ddecay
