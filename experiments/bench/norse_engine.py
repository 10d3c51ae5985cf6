"""norse, worker engine: its LIF box, which has no synaptic current, in a loop over time."""

from __future__ import annotations

from typing import Any

from experiments.bench.torch_engine import TorchEngine


class Engine(TorchEngine):
    """Its reset is hard and its input scaled, so its spikes are those of another model."""

    library = "norse"

    def neurons(self, decay: float) -> Any:
        """LIFBoxCell, with explicit state."""
        import norse.torch as norse  # pyright: ignore[reportMissingImports]

        parameters = norse.LIFBoxParameters(tau_mem_inv=self.torch.tensor(1e3 * (1 - decay)))
        cell = norse.LIFBoxCell(parameters, dt=1e-3)

        def run(x: Any) -> Any:
            state, out = None, []
            for current in x:
                spikes, state = cell(current, state)
                out.append(spikes)
            return self.torch.stack(out)

        return run
