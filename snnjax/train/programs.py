"""Compiled steps: one program for each bucket of capacities, or one alone, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from snnjax.sparse import Capacities
from snnjax.train.forward import DeviceBatch
from snnjax.train.state import TrainState, Weights
from snnjax.train.step import (
    EvalOutput,
    StepMetrics,
    StepSpec,
    eval_step,
    train_step,
    unrounded_step,
)


class Programs:
    """Compiles a step when a bucket is first met, and tells which and how long it took.

    Args:
      spec: the static part of the steps.
      notify: receives one line on every compile.

    Attributes:
      compiles: programs built so far.
      seconds: time spent on building them.
    """

    def __init__(self, spec: StepSpec, notify: Callable[[str], None]):
        self.spec = spec
        self.compiles = 0
        self.seconds = 0.0
        self._notify = notify
        self._built: dict[tuple[str, Capacities | None], Any] = {}

    def train(
        self, capacities: Capacities | None, state: TrainState, batch: DeviceBatch
    ) -> tuple[TrainState, StepMetrics]:
        """One update; `state` is donated."""
        return self._get("train", train_step, capacities, state, batch)(state, batch)

    def evaluate(
        self,
        capacities: Capacities | None,
        weights: Weights,
        batch: DeviceBatch,
        *,
        whole: bool = True,
    ) -> EvalOutput:
        """One evaluated batch, of sequences with rounded delays unless `whole` is False."""
        kind, build = ("evaluate", eval_step) if whole else ("unrounded", unrounded_step)
        return self._get(kind, build, capacities, weights, batch)(weights, batch)

    def _get(self, kind: str, build: Any, capacities: Capacities | None, *arguments: Any) -> Any:
        known = self._built.get((kind, capacities))
        if known is not None:
            return known
        began = time.perf_counter()
        program = build(self.spec, capacities).lower(*arguments).compile()
        seconds = time.perf_counter() - began
        self.compiles += 1
        self.seconds += seconds
        sizes = "" if capacities is None else f" for {capacities}"
        self._notify(f"compiled {kind} step {self.compiles} in {seconds:.1f} s{sizes}")
        self._built[kind, capacities] = program
        return program
