"""spyx, worker engine: its Sequential in its `run`, one step of the full network after another."""

from __future__ import annotations

from typing import Any

from experiments.bench.jax_engine import JaxEngine


class Engine(JaxEngine):
    """Fires on the membrane of the step before, so its spikes are those of another model."""

    library = "spyx"

    def model(self, decay: float, weights: list[Any], width: int) -> tuple[Any, Any]:
        """Linear layers, whose weights are the only trained parameters, and LIF."""
        import spyx  # pyright: ignore[reportMissingImports]
        import spyx.axn  # pyright: ignore[reportMissingImports]
        import spyx.nn  # pyright: ignore[reportMissingImports]
        from flax import nnx

        rngs, spike, layers = nnx.Rngs(0), spyx.axn.arctan(), []
        for weight in weights:
            linear = nnx.Linear(*weight.shape, use_bias=False, rngs=rngs)
            linear.kernel[...] = weight
            layers += [
                linear,
                spyx.nn.LIF(weight.shape[1:], beta=decay, activation=spike, rngs=rngs),
            ]
        if not weights:
            layers = [spyx.nn.LIF((width,), beta=decay, activation=spike, rngs=rngs)]
        graph, params, rest = nnx.split(
            spyx.nn.Sequential(*layers), nnx.PathContains("kernel"), ...
        )

        def run(params: Any, x: Any) -> Any:
            return spyx.nn.run(nnx.merge(graph, params, rest), x)[0]

        return params, run
