"""Engine for one point of the row `cost`: our own layer, alone in its process."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import jax
import numpy as np

import snnjax
from experiments.bench.lif_layer import gradient, ours
from experiments.bench.measure import compile_program
from experiments.bench.process import memory
from snnjax.runs.memory import keep_memory

COPIED = 2**26
"""Size of the copied array: 256 MB, far more than a cache holds."""


class Engine:
    """A layer of `neurons` over `steps`; `segment` of 0 stores every state, `keep` keeps memory."""

    library, version, thread_safe = "snnjax", snnjax.__version__, True

    def load(self, steps: int, neurons: int, segment: int, keep: bool) -> None:
        """Make input and upstream gradient, and compile."""
        rng = np.random.default_rng(0)
        x, upstream = (rng.standard_normal((steps, neurons), np.float32) for _ in range(2))
        x *= 0.3
        x += 0.05
        x, upstream = jax.device_put((x, upstream))
        jax.block_until_ready((x, upstream))
        gc.collect()  # a reference cycle keeps the temporaries alive
        self._rest = memory("VmRSS")
        if keep:  # only now, so that memory used for the input is returned
            keep_memory()
        layer = partial(ours, checkpoint=segment or False)
        self._program = compile_program(partial(gradient, layer), x, upstream)
        self._program.run()
        self._peak = memory("VmHWM")
        self._from = np.ones(COPIED, np.float32)
        self._into = np.ones(COPIED, np.float32)

    def run(self, what: str) -> Any:
        """Once "forward and backward", or a "copy"; or the "facts" that `cost` names."""
        if what == "forward and backward":
            return self._program.run()[0]
        if what == "copy":
            np.copyto(self._into, self._from)
            return self._into
        if what == "facts":
            known = self._program.compile_s, self._program.temp_bytes or 0, self._peak, self._rest
            return np.array([2 * self._from.nbytes, *known], np.float64)
        raise ValueError(f"no such work: {what!r}")
