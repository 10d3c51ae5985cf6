"""Slow NumPy loops of synaptic, adaptive and gated neurons, as those of tests/reference/neurons.py.

Parameters have one number for each value of the last axis; `at(n, ...)` picks those of neuron n.
"""

from __future__ import annotations

import math

import numpy as np

from tests.reference.neurons import reset_, run


def at(n, *params):
    return tuple(param[n % len(param)] for param in params)


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def cuba_loop(x, decay_c, decay, threshold, reset="subtract", scale_input=False):
    def neuron(n, inputs):
        a, b, theta = at(n, decay_c, decay, threshold)
        v = c = 0.0
        for value in inputs:
            c = a * c + ((1.0 - a) * value if scale_input else value)
            h = b * v + ((1.0 - b) * c if scale_input else c)
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            yield s, v, c, h - theta

    return run(x, neuron, ("v", "c"))


def alpha_loop(x, decay_exc, decay_inh, threshold, reset="zero"):
    def neuron(n, inputs):
        a, b, theta = at(n, decay_exc, decay_inh, threshold)
        k = math.log(a) / (math.log(b) - math.log(a)) + 1.0
        e = i = 0.0
        for value in inputs:
            e, i = a * e + value, b * i - value
            u = k * (e + i)
            s = 1.0 if u >= theta else 0.0
            if s and reset == "zero":
                e = i = 0.0
            elif s and reset == "subtract":
                e -= theta / k
            yield s, e, i, u - theta

    return run(x, neuron, ("exc", "inh"))


def alif_loop(x, decay, decay_a, beta, threshold, reset="subtract", scale_input=True):
    def neuron(n, inputs):
        alpha, rho, b, theta0 = at(n, decay, decay_a, beta, threshold)
        v = a = 0.0
        for value in inputs:
            theta = theta0 + b * a
            h = alpha * v + ((1.0 - alpha) * value if scale_input else value)
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            a = rho * a + s
            yield s, v, a, h - theta

    return run(x, neuron, ("v", "a"))


def adlif_loop(x, decay, decay_w, a, b, threshold, reset="subtract", scale_input=True):
    def neuron(n, inputs):
        alpha, rho, couple, jump, theta = at(n, decay, decay_w, a, b, threshold)
        v = w = 0.0
        for value in inputs:
            drive = value - w
            h = alpha * v + ((1.0 - alpha) * drive if scale_input else drive)
            s = 1.0 if h >= theta else 0.0
            v = reset_(reset, h, s, theta)
            w = rho * w + couple * v + jump * s
            yield s, v, w, h - theta

    return run(x, neuron, ("v", "w"))


def klif_loop(x, decay, k, threshold, reset="subtract", scale_input=True, scale_reset=False):
    def neuron(n, inputs):
        alpha, gain, theta = at(n, decay, k, threshold)
        v = 0.0
        for value in inputs:
            h = alpha * v + ((1.0 - alpha) * value if scale_input else value)
            f = max(gain * h, 0.0)
            s = 1.0 if f >= theta else 0.0
            v = reset_(reset, f, s, theta) / (gain if scale_reset else 1.0)
            yield s, v, f - theta

    return run(x, neuron)


def clif_loop(x, tau, threshold):
    def neuron(n, inputs):
        t, theta = at(n, tau, threshold)
        v = m = 0.0
        for value in inputs:
            h = v - v / t + value
            m = m * sigmoid(h / t)
            s = 1.0 if h >= theta else 0.0
            m = m + s
            v = h - s * (theta + sigmoid(m))
            yield s, v, m, h - theta

    return run(x, neuron, ("v", "m"))


def glif_loop(x, alpha, beta, gamma, decay, leak, conduct, threshold, drop):
    params = (alpha, beta, gamma, decay, leak, conduct, threshold, drop)

    def neuron(n, inputs):
        al, be, ga, tau, linear, c, theta, v_sub = at(n, *params)
        u = s = 0.0
        for value in inputs:
            exponential = 1.0 - al * (1.0 - tau)
            after = exponential * u - (1.0 - al) * linear + value * (1.0 - be * (1.0 - c))
            if s:
                after -= exponential * u * ga + (1.0 - ga) * v_sub
            u = after
            s = 1.0 if u >= theta else 0.0
            yield s, u, s, u - theta

    return run(x, neuron, ("v", "z"))


def liaf_loop(x, decay, threshold, slope, threshold_related=False, reset="subtract"):
    """`slope` is that of the activation below 0; above 0 it is 1."""

    def neuron(n, inputs):
        beta, theta = at(n, decay, threshold)
        v = 0.0
        for value in inputs:
            h = beta * v + value
            y = h - theta if threshold_related else h
            v = reset_(reset, h, 1.0 if h >= theta else 0.0, theta)
            yield y if y > 0 else slope * y, v, h - theta

    return run(x, neuron)


def refractory_lif_loop(x, decay, threshold, period):
    """LIF with soft reset that skips `period` inputs after each spike."""

    def neuron(n, inputs):
        beta, theta, rho = at(n, decay, threshold, period)
        v, wait = 0.0, 0
        for value in inputs:
            if wait:
                wait -= 1
                yield 0.0, v, wait, np.inf
                continue
            h = beta * v + value
            s = 1.0 if h >= theta else 0.0
            v = h - s * theta
            wait = rho if s else 0
            yield s, v, wait, h - theta

    return run(x, neuron, ("v", "wait"))


def refractory_cuba_loop(x, decay_c, decay, threshold, period):
    """CUBA with soft reset whose synaptic current goes on while the membrane rests."""

    def neuron(n, inputs):
        a, b, theta, rho = at(n, decay_c, decay, threshold, period)
        v, c, wait = 0.0, 0.0, 0
        for value in inputs:
            c = a * c + value
            if wait:
                wait -= 1
                yield 0.0, v, c, wait, np.inf
                continue
            h = b * v + c
            s = 1.0 if h >= theta else 0.0
            v = h - s * theta
            wait = rho if s else 0
            yield s, v, c, wait, h - theta

    return run(x, neuron, ("v", "c", "wait"))
