"""snnTorch, worker engine: its Leaky neuron in a Python loop over time, as documented."""

from __future__ import annotations

from typing import Any

from experiments.bench.torch_engine import TorchEngine


class Engine(TorchEngine):
    """Resets one step late, so its spikes are those of another model."""

    library = "snntorch"

    def neurons(self, decay: float) -> Any:
        """Leaky with subtraction."""
        import snntorch  # pyright: ignore[reportMissingImports]

        leaky = snntorch.Leaky(beta=decay, spike_grad=snntorch.surrogate.atan())

        def run(x: Any) -> Any:
            membrane, out = leaky.reset_mem(), []
            for current in x:
                spikes, membrane = leaky(current, membrane)
                out.append(spikes)
            return self.torch.stack(out)

        return run
