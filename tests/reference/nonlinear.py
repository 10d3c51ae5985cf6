"""Slow NumPy loops of the non-linear neurons, written from the papers; no code of snnjax in them.

As in tests/reference/neurons.py: input [T, ...] and plain numbers, one for each value of the last
axis; outputs, states by field and the distance of the charged membrane to where its output jumps.
"""

from __future__ import annotations

import math

from tests.reference.neurons import run


def pick(numbers, n):
    """The n-th number of each field, as a dictionary."""
    return {name: values[n % len(values)] for name, values in numbers.items()}


def qif_loop(x, v0, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v = v0[n % len(v0)]
        for value in inputs:
            parabola = k["a0"] * (v - k["v_rest"]) * (v - k["v_c"])
            v_new = v + (value + parabola) * dt / k["tau"]
            s = v_new >= k["threshold"]
            v = k["v_reset"] if s else v_new
            yield float(s), v, v_new - k["threshold"]

    return run(x, neuron)


def eif_loop(x, v0, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v = v0[n % len(v0)]
        for value in inputs:
            steep = k["delta"] * math.exp(min((v - k["v_rh"]) / k["delta"], 20.0))
            v_new = v + (value + k["v_rest"] - v + steep) * dt / k["tau"]
            s = v_new >= k["threshold"]
            v = k["v_reset"] if s else v_new
            yield float(s), v, v_new - k["threshold"]

    return run(x, neuron)


def adex_loop(x, v0, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v, w = v0[n % len(v0)], 0.0
        for value in inputs:
            steep = k["delta"] * math.exp(min((v - k["v_rh"]) / k["delta"], 20.0))
            v_new = v + (value + k["v_rest"] - v + steep - w) * dt / k["tau"]
            w += (k["a"] * (v - k["v_rest"]) - w) * dt / k["tau_w"]
            s = v_new >= k["threshold"]
            v = k["v_reset"] if s else v_new
            w += k["b"] if s else 0.0
            yield float(s), v, w, v_new - k["threshold"]

    return run(x, neuron, ("v", "w"))


def adaptive_qif_loop(x, v0, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v, w = v0[n % len(v0)], 0.0
        for value in inputs:
            parabola = k["a0"] * (v - k["v_rest"]) * (v - k["v_c"])
            v_new = v + (value + parabola - w) * dt / k["tau"]
            w += (k["a"] * (v_new - k["v_rest"]) - w) * dt / k["tau_w"]
            s = v_new >= k["threshold"]
            v = k["v_reset"] if s else v_new
            w += k["b"] if s else 0.0
            yield float(s), v, w, v_new - k["threshold"]

    return run(x, neuron, ("v", "w"))


def izhikevich_rest(b):
    """The stable point: (v, u) with 0.04 v^2 + 5 v + 140 = u = b v."""
    v = (-(5.0 - b) - math.sqrt((5.0 - b) ** 2 - 4 * 0.04 * 140)) / (2 * 0.04)
    return v, b * v


def izhikevich_loop(x, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v, u = izhikevich_rest(k["b"])
        for value in inputs:
            for half in (1, 2):
                v += dt / 2 * (0.04 * v * v + 5 * v + 140 - u + value)
                if half == 1 and v > k["peak"]:
                    v = k["peak"]
            u += dt * k["a"] * (k["b"] * min(v, k["peak"]) - u)
            margin = v - k["peak"]
            if margin >= 0:
                v, u = k["c"], u + k["d"]
            yield float(margin >= 0), v, u, margin

    return run(x, neuron, ("v", "u"))


def opening_and_closing(v):
    """The rates of m, h and n in 1/ms, straight from their table."""
    a_n = 0.1 if v == -55 else 0.01 * (v + 55) / (1 - math.exp(-(v + 55) / 10))
    a_m = 1.0 if v == -40 else 0.1 * (v + 40) / (1 - math.exp(-(v + 40) / 10))
    b_n, b_m = 0.125 * math.exp(-(v + 65) / 80), 4 * math.exp(-(v + 65) / 18)
    a_h, b_h = 0.07 * math.exp(-(v + 65) / 20), 1 / (1 + math.exp(-(v + 35) / 10))
    return {"m": (a_m, b_m), "h": (a_h, b_h), "n": (a_n, b_n)}


def ionic(k, v, x):
    """Sodium, potassium and leak current, outward."""
    sodium = k["g_na"] * x["m"] ** 3 * x["h"] * (v - k["e_na"])
    potassium = k["g_k"] * x["n"] ** 4 * (v - k["e_k"])
    return sodium + potassium + k["g_l"] * (v - k["e_l"])


def hodgkin_huxley_rest(k):
    """The potential and the gates that no current moves, by following the slope of v."""
    v = -65.0
    for _ in range(10_000):
        x = {name: a / (a + b) for name, (a, b) in opening_and_closing(v).items()}
        v -= 0.1 * ionic(k, v, x)
    return v, x


def hodgkin_huxley_loop(x, dt, **numbers):
    def neuron(n, inputs):
        k = pick(numbers, n)
        v, gates = hodgkin_huxley_rest(k)
        for value in inputs:
            for name, (a, b) in opening_and_closing(v).items():
                decay = math.exp(-dt * (a + b))
                gates[name] = decay * gates[name] + (1 - decay) * a / (a + b)
            below = v < k["threshold"]
            v += dt / k["c"] * (value - ionic(k, v, gates))
            margin = v - k["threshold"]
            yield float(below and margin >= 0), v, gates["m"], gates["h"], gates["n"], margin

    return run(x, neuron, ("v", "m", "h", "n"))
