"""What the battery of tests/neurons/test_neurons.py needs to know about a neuron."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

T, B, N = 9, 2, 3  # steps, batch, neurons


class Case(NamedTuple):
    """A neuron with its options, and the loop that it must equal.

    Attributes:
      init: `init(shape, dtype) -> state`. step: `step(params, state, x) -> (state, out)`.
      params: arrays of N numbers, each different.
      loop: `loop(x) -> (out, fields, margin)` in NumPy: outputs, the state after each step by
        field, and the distance of the charged membrane to where its output jumps.
      soft: the same step with a smooth spike function.
      scale, mean: of the normal input. steps: T.
      smooth: whether soft gradients equal differences; not so with anything detached.
      wide: whether outputs are no spikes, and keep the membrane's dtype.
      analog: whether they are real numbers in the dtype of the input.
      rest: how far the state may move without input; 0 for exactly not at all.
    """

    init: Any
    step: Any
    params: Any
    loop: Any
    soft: Any
    scale: float = 1.2
    mean: float = 0.3
    steps: int = T
    smooth: bool = True
    wide: bool = False
    analog: bool = False
    rest: float = 0.0

    def input(self, seed: int) -> np.ndarray:
        """Float32 [T, B, N]."""
        x = np.random.default_rng(seed).normal(self.mean, self.scale, (self.steps, B, N))
        return np.asarray(x, np.float32)
