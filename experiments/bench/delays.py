"""Row `delays`: a dense layer with a learnable delay per synapse, by kernel length and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.bench.measure import Case, compile_program, measure, our_case
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from snnjax.delays import FormTable, delayed_dense
from snnjax.delays.forms import FORMS

ROW = "delays"
WHAT = "forward and backward"
I, O, B, T, SIZE, SIGMA = 700, 256, 64, 100, 25, 0.23  # noqa: E741  as in the equations
GRID = ((100, 5), (100, 11), (100, 25), (100, 51), (100, 100), (400, 25))


def run(options: Options, peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Measure both forms and the peers; then the chosen form, by time and kernel length."""
    steps = options.steps or T
    arrays = _problem(steps, min(SIZE, steps))
    yield from _against_peers(arrays, min(SIZE, steps), peers, options.repeats)
    for time, size in () if options.steps else GRID:
        cases = _forms(_problem(time, size), size)
        yield from measure(ROW, cases, max(3, options.repeats // 3))


def _against_peers(
    arrays: dict[str, np.ndarray], size: int, peers: Sequence[Peer], repeats: int
) -> list[dict[str, Any]]:
    steps = len(arrays["x"])
    want = np.asarray(_forward(size, None)(arrays["x"], arrays["weight"], arrays["delay"]))
    shapes = _shapes(steps, size)
    cases = []
    for peer in peers:
        peer.load({"sigma": SIGMA, "size": size}, **arrays)
        error = float(np.abs(peer.result(WHAT) - want).max() / np.abs(want).max())
        facts = {"threads": peer.threads, "correct": error < 1e-4}
        cases.append(Case(peer.label, peer.version, WHAT, partial(peer.time, WHAT), shapes, facts))
    against = cases[0].name if cases else None
    return measure(ROW, [*cases, *_forms(arrays, size, against)], repeats)


def _forms(arrays: dict[str, np.ndarray], size: int, against: str | None = None) -> list[Case]:
    """Our forms, and the one that the table chooses."""
    steps = len(arrays["x"])
    shapes = _shapes(steps, size)
    chosen = FormTable().choose(steps=steps, max_delay=size - 1, inputs=I, outputs=O, batch=B)
    return [
        our_case(
            WHAT,
            compile_program(partial(_gradient, _forward(size, form)), *arrays.values()),
            shapes,
            library=f"snnjax ({form})",
            ratio_to=against,
            chosen=form == chosen,
        )
        for form in FORMS
    ]


def _forward(size: int, form: str | None) -> Any:
    return partial(delayed_dense, sigma=SIGMA, max_delay=size - 1, form=form)


def _gradient(layer: Any, x: jax.Array, weight: Any, delay: Any, upstream: Any) -> Any:
    y, pull = jax.vjp(layer, x, weight, delay)
    return y, pull(upstream)


def _problem(steps: int, size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {
        "x": rng.random((steps, B, I)) < 0.05,
        "weight": rng.normal(size=(I, O)) / I**0.5,
        "delay": rng.uniform(0, size - 1, (I, O)),
        "upstream": rng.normal(size=(steps, B, O)),
    }
    return {name: array.astype(np.float32) for name, array in made.items()}


def _shapes(steps: int, size: int) -> dict[str, int]:
    return {"T": steps, "B": B, "I": I, "O": O, "K": size}
