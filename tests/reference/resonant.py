"""Slow loops of the resonators, as complex numbers where the models are; see neurons.py."""

from __future__ import annotations

import cmath
import math

from tests.reference.neurons import reset_, run


def raf_loop(x, b, w, threshold, dt=1.0, reset="zero"):
    def neuron(n, inputs):
        turn, theta = cmath.exp((b[n % len(b)] + 1j * w[n % len(w)]) * dt), threshold[n % 3]
        z = 0j
        for value in inputs:
            z = turn * z + value
            s = 1.0 if z.imag >= theta else 0.0
            margin = z.imag - theta
            z = complex(z.real, reset_(reset, z.imag, s, theta))
            yield s, z.real, z.imag, margin

    return run(x, neuron, ("u", "v"))


def rf_loop(x, b, w, threshold, dt):
    def neuron(n, inputs):
        pole, theta = b[n % 3] + 1j * w[n % 3], threshold[n % 3]
        z = 0j
        for value in inputs:
            z = z + dt * (pole * z + value)
            yield float(z.real >= theta), z.real, z.imag, z.real - theta

    return run(x, neuron, ("u", "v"))


def brf_loop(x, b0, w, threshold, dt, refractory=0.9):
    def neuron(n, inputs):
        omega, theta = w[n % 3], threshold[n % 3]
        boundary = (-1 + math.sqrt(1 - (dt * omega) ** 2)) / dt
        z, q = 0j, 0.0
        for value in inputs:
            pole = boundary - abs(b0[n % 3]) - q + 1j * omega
            z = z + dt * (pole * z + value)
            margin = z.real - theta - q
            s = float(margin >= 0)
            q = refractory * q + s
            yield s, z.real, z.imag, q, margin

    return run(x, neuron, ("u", "v", "q"))


def hrf_loop(x, b0, w, threshold, dt, refractory=0.9):
    def neuron(n, inputs):
        omega, theta = w[n % 3], threshold[n % 3]
        u = v = q = 0.0
        for value in inputs:
            b = dt * omega**2 / 2 + abs(b0[n % 3]) + q
            v += dt * u
            u += dt * value - 2 * dt * b * u - dt * omega**2 * v
            margin = u - theta - q
            s = float(margin >= 0)
            q = refractory * q + s
            yield s, u, v, q, margin

    return run(x, neuron, ("u", "v", "q"))
