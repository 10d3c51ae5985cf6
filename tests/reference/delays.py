"""Delays as slow loops over time and synapses, in NumPy."""

from __future__ import annotations

import numpy as np


def bump(delay, sigma, max_delay, shape):
    """The taps of one delay."""
    size = max_delay + 1
    steps = np.arange(size)
    if shape == "gaussian":
        x = np.exp(-0.5 * ((steps - delay) / (abs(sigma) + 0.27)) ** 2)
    elif shape == "triangle":
        x = np.maximum(abs(sigma) + 1 - abs(steps - delay), 0)
    else:
        floor = int(np.floor(delay))
        x = np.zeros(size)
        x[floor] = 1 - (delay - floor)
        if floor + 1 < size:
            x[floor + 1] = delay - floor
        return x
    return x / (x.sum() + 1e-7)


def delayed_dense(x, weight, delay, sigma, max_delay, shape, tail=0):
    """x [T, B, I], weight and delay [I, O, Kc]."""
    steps, batch, inputs = x.shape
    outputs = weight.shape[1]
    y = np.zeros((steps + tail, batch, outputs))
    for i in range(inputs):
        for o in range(outputs):
            for w, d in zip(weight[i, o], delay[i, o], strict=True):
                for lag, tap in enumerate(bump(d, sigma, max_delay, shape)):
                    for t in range(lag, min(steps + lag, steps + tail)):
                        y[t, :, o] += w * tap * x[t - lag, :, i]
    return y
