"""norse, for the worker: its LIF box over time, which has no synaptic current."""

from __future__ import annotations

from typing import Any

from experiments.bench.torch_engine import TorchEngine


class Engine(TorchEngine):
    """Its reset is hard and its input scaled, so its spikes are those of another model."""

    library = "norse"

    def neurons(self, decay: float) -> Any:
        """LIFBoxCell lifted over time."""
        import norse.torch as norse  # pyright: ignore[reportMissingImports]

        parameters = norse.LIFBoxParameters(tau_mem_inv=self.torch.tensor(1e3 * (1 - decay)))
        cell = norse.Lift(norse.LIFBoxCell(parameters, dt=1e-3))
        return lambda x: cell(x)[0]
