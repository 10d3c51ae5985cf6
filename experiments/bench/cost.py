"""Row `cost`: LIF neurons alone, forward and backward, by number of steps and of neurons.

Each point runs in its own process, for a separate peak memory; in the same rounds that process
copies a large array as a reference for time. In addition to time a record has

    ns_per_element_step   time over T * N
    copy_gb_s             bytes read and written by a copy, over its time
    least_bytes           input, upstream gradient, spikes and input gradient, once each: what any
                          program moves
    of_copy_bandwidth     least_bytes over time, over copy_gb_s
    temp_bytes            scratch, as reported by XLA
    peak_bytes            peak memory of the process, as reported by the system
    rest_bytes            the part held before compilation: libraries and arrays
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from experiments.bench.measure import Case, measure, our_version
from experiments.bench.options import Options
from experiments.bench.peer import Peer

ROW = "cost"
WHAT = "forward and backward"
COPY = "copy"
LENGTHS = 64, 256, 1024, 4096, 16384
NEURONS = 1_000, 10_000, 100_000, 1_000_000
FEW_STEPS, FEW_NEURONS = 64, 1024


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Measure with every state stored, and in segments of about sqrt(T) steps; by T, then by N."""
    most = options.steps or max(LENGTHS)
    points = [("T", steps, FEW_NEURONS) for steps in LENGTHS if steps <= most]
    points += [("N", min(FEW_STEPS, most), neurons) for neurons in NEURONS]
    for varied, steps, neurons in points:
        for name, segment in (("snnjax (stored)", 0), ("snnjax (segments)", round(steps**0.5))):
            with Peer(
                sys.executable,
                engine="experiments.bench.cost_engine",
                environment={"JAX_PLATFORMS": "cpu"},
            ) as worker:
                point = {"steps": steps, "neurons": neurons, "segment": segment}
                worker.load({**point, "keep": options.keep_memory != "none"})
                shapes = {"T": steps, "N": neurons}
                facts = {"varied": varied, "checkpoint": segment or False}
                yield _record(worker, name, shapes, facts, options.repeats)


def _record(
    worker: Peer, name: str, shapes: dict[str, int], facts: dict[str, Any], repeats: int
) -> dict[str, Any]:
    cases = [
        Case(name, our_version(), WHAT, lambda: worker.time(WHAT), shapes, facts),
        Case("numpy", our_version(), COPY, lambda: worker.time(COPY), shapes),
    ]
    ours, copy = measure(ROW, cases, repeats)
    elements = shapes["T"] * shapes["N"]
    known = dict(zip(FACTS, worker.result("facts").tolist(), strict=True))
    bandwidth = known.pop("copy_bytes") / copy["median_ms"]
    least = 4 * 4 * elements
    return {
        **ours,
        "ns_per_element_step": round(1e6 * ours["median_ms"] / elements, 4),
        "copy_gb_s": round(bandwidth / 1e6, 3),
        "least_bytes": least,
        "of_copy_bandwidth": round(least / ours["median_ms"] / bandwidth, 4),
        "compile_s": round(known.pop("compile_s"), 3),
        **{key: int(value) for key, value in known.items()},
    }


FACTS = "copy_bytes", "compile_s", "temp_bytes", "peak_bytes", "rest_bytes"
"""Facts that a worker reports about its point, in this order."""
