"""SpikingJelly, worker engine: multi-step mode on its torch backend."""

from __future__ import annotations

from typing import Any

from experiments.bench.torch_engine import TorchEngine


class Engine(TorchEngine):
    """The same model as `lif_step` with soft reset."""

    library = "spikingjelly"

    def neurons(self, decay: float) -> Any:
        """LIFNode without input decay: v - v / tau + x."""
        from spikingjelly.activation_based import (  # pyright: ignore[reportMissingImports]
            functional,
            neuron,
            surrogate,
        )

        node = neuron.LIFNode(
            tau=1 / (1 - decay),
            decay_input=False,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            step_mode="m",
        )

        def run(x: Any) -> Any:
            functional.reset_net(node)
            return node(x)

        return run
