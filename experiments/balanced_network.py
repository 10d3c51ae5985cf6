"""A balanced network of current-based LIF neurons, in the regime of irregular firing.

    python -m experiments.balanced_network --neurons 4000 --seconds 1

Four of five neurons excite, one inhibits; each reaches 80 others, whatever the size of the
network. Prints one JSON line: mean rate, coefficient of variation of the intervals between spikes,
and the time of one simulated second, without compilation. `--brian-python PATH` runs the same
model in brian2 with that interpreter (a separate environment: pip install brian2 'numpy<2') and
adds its figures.

    v' = (g_e + g_i - (v - E_l)) / 20 ms,   g_e' = -g_e / 5 ms,   g_i' = -g_i / 10 ms

A spike at -50 mV resets to -60 mV for 5 ms and adds 1.62 mV to g_e, or -9 mV to g_i, of its
targets. Both decays and the membrane are advanced exactly over steps of 0.1 ms.

Vogels and Abbott, J. Neurosci. 2005; the current-based benchmark of Brette et al., J. Comput.
Neurosci. 2007.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.sparse import FanOut, pack_spikes, propagate, random_fan_out, spike_times

DT, FAN_OUT, EXCITATORY = 0.1, 80, 0.8  # ms, synapses of a neuron, share of neurons
REST, THRESHOLD, RESET, REFRACTORY = -49.0, -50.0, -60.0, 5.0  # mV, ms
WEIGHTS = 1.62, -9.0  # mV, of excitatory and inhibitory synapses
KEEP_E, KEEP_I, KEEP_V = (math.exp(-DT / tau) for tau in (5.0, 10.0, 20.0))


class NetworkState(NamedTuple):
    """State of the network."""

    v: Array  # [N], mV
    g: Array  # [2 N]: excitatory currents, then inhibitory ones, mV
    wait: Array  # int8 [N], steps until the neuron leaves its refractory period


def connect(key: Array, neurons: int) -> FanOut:
    """Connect each neuron to `FAN_OUT` others; targets of inhibitory ones are offset by N."""
    excitatory = round(EXCITATORY * neurons)
    weight = jnp.where(jnp.arange(neurons) < excitatory, *WEIGHTS)
    made = random_fan_out(key, neurons, neurons, FAN_OUT, weight=weight)
    inhibits = (jnp.arange(neurons) >= excitatory)[:, None]
    return made._replace(target=made.target + neurons * inhibits)


def start(key: Array, neurons: int) -> NetworkState:
    """The initial state, with potentials uniform between reset and threshold."""
    v = jax.random.uniform(key, (neurons,), minval=RESET, maxval=THRESHOLD)
    return NetworkState(v, jnp.zeros(2 * neurons), jnp.zeros(neurons, jnp.int8))


def step(connections: FanOut, state: NetworkState) -> tuple[NetworkState, Array]:
    """One step of 0.1 ms; returns the spikes, packed into bits."""
    n = state.v.shape[0]
    target = REST + state.g[:n] + state.g[n:]
    v = jnp.where(state.wait > 0, RESET, target + (state.v - target) * KEEP_V)
    z = v >= THRESHOLD
    kept = state.g * jnp.where(jnp.arange(2 * n) < n, KEEP_E, KEEP_I)
    after = NetworkState(
        jnp.where(z, RESET, v),
        propagate(z.astype(kept.dtype), connections, targets=2 * n, onto=kept),
        jnp.where(z, jnp.int8(round(REFRACTORY / DT)), jnp.maximum(state.wait, 1) - jnp.int8(1)),
    )
    return after, pack_spikes(z)


@partial(jax.jit, static_argnames=("steps",), donate_argnums=1)
def simulate(connections: FanOut, state: NetworkState, *, steps: int) -> tuple[NetworkState, Array]:
    """Run `steps` steps; returns the last state and the packed raster, uint32 [steps, N / 32]."""
    return jax.lax.scan(lambda s, _: step(connections, s), state, length=steps)


def irregularity(t: np.ndarray, neuron: np.ndarray) -> float:
    """Mean coefficient of variation of the intervals, over neurons with at least five."""
    order = np.lexsort((t, neuron))
    interval, same = np.diff(t[order]).astype(float), np.diff(neuron[order]) == 0
    owner = neuron[order][1:][same]
    count, total, squares = (np.bincount(owner, interval[same] ** power) for power in (0, 1, 2))
    often = count >= 5
    mean = total[often] / count[often]
    variance = np.maximum(squares[often] / count[often] - mean**2, 0)
    return float(np.mean(np.sqrt(variance) / mean)) if often.any() else math.nan


def run(neurons: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Simulate and measure; the first quarter of a second is left out of the rate."""
    keys = jax.random.split(jax.random.key(seed))
    connections, steps = connect(keys[0], neurons), round(1000 * seconds / DT)
    jax.block_until_ready(connections)
    began = time.perf_counter()
    program = simulate.lower(connections, start(keys[1], neurons), steps=steps).compile()
    compiled = time.perf_counter()
    _, words = jax.block_until_ready(program(connections, start(keys[1], neurons)))
    elapsed = time.perf_counter() - compiled
    t, neuron = spike_times(words)
    settled = min(2500, steps // 2)
    return {
        "library": "snnjax",
        "neurons": neurons,
        "synapses": neurons * FAN_OUT,
        "rate_hz": round(1000 * float((t >= settled).sum()) / (steps - settled) / neurons / DT, 3),
        "irregularity": round(irregularity(t, neuron), 3),
        "seconds_per_second": round(elapsed / seconds, 3),
        "compile_s": round(compiled - began, 2),
    }


BRIAN = """
import json, sys, time
import numpy as np
from brian2 import *
n, seconds = int(sys.argv[1]), float(sys.argv[2])
ne = round(0.8 * n)
defaultclock.dt = 0.1*ms
equations = '''
dv/dt = (ge + gi - (v - (-49*mV))) / (20*ms) : volt (unless refractory)
dge/dt = -ge / (5*ms) : volt
dgi/dt = -gi / (10*ms) : volt
'''
cells = NeuronGroup(n, equations, threshold='v >= -50*mV', reset='v = -60*mV',
                    refractory=5*ms, method='exact')
cells.v = '-60*mV + rand() * 10*mV'
rng = np.random.default_rng(0)
parts = []
for low, high, change in ((0, ne, 'ge += 1.62*mV'), (ne, n, 'gi -= 9*mV')):
    synapses = Synapses(cells, cells, on_pre=change)
    sources = np.repeat(np.arange(low, high), 80)
    synapses.connect(i=sources, j=rng.integers(0, n, sources.size))
    parts.append(synapses)
monitor = SpikeMonitor(cells)
network = Network(cells, *parts, monitor)
network.run(1*ms)
began = time.perf_counter()
network.run(seconds*second)
elapsed = time.perf_counter() - began
times, index = np.asarray(monitor.t), np.asarray(monitor.i)
ends = np.cumsum(np.bincount(index, minlength=n))[:-1]
trains = np.split(times[np.lexsort((times, index))], ends)
gaps = [np.diff(train) for train in trains if len(train) >= 6]
import brian2
print(json.dumps({'library': 'brian2 ' + brian2.__version__, 'neurons': n,
                  'rate_hz': round(float((times > 0.25).sum() / n / (seconds + 0.001 - 0.25)), 3),
                  'irregularity': round(float(np.mean([g.std() / g.mean() for g in gaps])), 3),
                  'seconds_per_second': round(elapsed / seconds, 3),
                  'code': str(get_device().__class__.__name__) + ' ' + str(prefs.codegen.target)}))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line for each library."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=4000, help="size of the network")
    parser.add_argument("--seconds", type=float, default=1.0, help="simulated time")
    parser.add_argument("--seed", type=int, default=0, help="seed of connections and potentials")
    parser.add_argument("--brian-python", help="interpreter that has brian2")
    options = parser.parse_args(arguments)
    print(json.dumps(run(options.neurons, options.seconds, options.seed)), flush=True)
    if options.brian_python:
        command = [options.brian_python, "-c", BRIAN, str(options.neurons), str(options.seconds)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
