"""Compiled steps: one program for each bucket of shapes, or one alone, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax

from snnjax.train.state import TrainState, Weights
from snnjax.train.step import EvalOutput, Shape, StepMetrics, StepSpec, eval_step, train_step


class Programs:
    """Compiles a step when a bucket first occurs, and reports the bucket and the time.

    Args:
      spec: the static part of the steps.
      notify: receives one line on every compile.
      warn: receives one line where the layers of the model cannot be counted.

    Attributes:
      compiles: programs built so far.
      seconds: time spent on building them.
    """

    def __init__(
        self,
        spec: StepSpec,
        notify: Callable[[str], None],
        warn: Callable[[str], None] | None = None,
    ):
        self.spec = spec
        self.compiles = 0
        self.seconds = 0.0
        self._notify, self._warn = notify, warn or notify
        self._built: dict[tuple[str, Shape], tuple[Any, dict[str, str]]] = {}
        self._record = True
        self._parent: Programs | None = None

    def train(
        self, shape: Shape, state: TrainState, batch: dict[str, jax.Array]
    ) -> tuple[TrainState, StepMetrics]:
        """One update; `state` is donated."""

        def build() -> Any:
            return train_step(self.spec, shape).lower(state, batch)

        return self._get("train", shape, build, batch)(state, batch)

    def evaluate(self, shape: Shape, weights: Weights, batch: dict[str, jax.Array]) -> EvalOutput:
        """One evaluated batch."""

        def build() -> Any:
            return self._evaluation(shape, weights, batch)

        return self._get("evaluate", shape, build, batch)(weights, batch)

    def for_spec(self, spec: StepSpec) -> Programs:
        """Programs of another spec, with the same reporting and shared counters."""
        other = Programs(spec, self._notify, self._warn)
        other._parent = self
        return other

    def _count(self, seconds: float) -> None:
        self.compiles += 1
        self.seconds += seconds
        if self._parent is not None:
            self._parent._count(seconds)

    def _evaluation(self, shape: Shape, weights: Weights, batch: dict[str, jax.Array]) -> Any:
        """The evaluation step, which counts operations if the model supports it."""
        if self._record:
            try:
                return eval_step(self.spec, shape).lower(weights, batch)
            except (TypeError, ValueError, NotImplementedError) as error:
                plain = eval_step(self.spec, shape, record=False).lower(weights, batch)
                self._warn(f"rates and operations are not counted: {error}")
                self._record = False
                return plain
        return eval_step(self.spec, shape, record=False).lower(weights, batch)

    def _get(
        self, kind: str, shape: Shape, lower: Callable[[], Any], batch: dict[str, jax.Array]
    ) -> Any:
        known = self._built.get((kind, shape))
        if known is not None:
            program, first = known
            _check_alike(first, batch)
            return program
        began = time.perf_counter()
        program = lower().compile()
        seconds = time.perf_counter() - began
        self._count(seconds)
        sizes = "" if shape is None else f" for {shape}"
        self._notify(f"compiled {kind} step {self.compiles} in {seconds:.1f} s{sizes}")
        self._built[kind, shape] = program, _described(batch)
        return program


def _described(batch: dict[str, jax.Array]) -> dict[str, str]:
    """Dtype and shape of each array, as float32[8, 5]."""
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in batch.items()}


def _check_alike(first: dict[str, str], batch: dict[str, jax.Array]) -> None:
    """Raise if the program of its bucket was not compiled for the shapes of a batch."""
    found = _described(batch)
    if found == first:
        return
    name = next(n for n in [*first, *found] if first.get(n) != found.get(n))
    raise ValueError(
        f"batches of a bucket must be alike; `{name}` is {found.get(name, 'missing')} in this "
        f"one and {first.get(name, 'missing')} in the first. Pad the samples to one shape in the "
        "source's `collate`, or give it `shapes` with a bucket for each shape."
    )
