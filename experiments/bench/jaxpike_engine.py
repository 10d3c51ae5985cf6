"""jaxpike, worker engine: its Sequential, unrolled."""

from __future__ import annotations

import math
from typing import Any

from experiments.bench.jax_engine import JaxEngine


class Engine(JaxEngine):
    """The same model as `lif_step` with soft reset, except that it does not fire at v = threshold.

    Its input is scaled by 1 - decay, so weights, or the currents of a single layer, are divided
    by it.
    """

    library = "jaxpike"

    @staticmethod
    def scale(decay: float) -> float:
        """The inverse of its input scaling."""
        return 1 / (1 - decay)

    def model(self, decay: float, weights: list[Any], width: int) -> tuple[Any, Any]:
        """Dense layers, whose weights are the only trained parameters, and LIF."""
        import equinox as eqx  # pyright: ignore[reportMissingImports]
        import jaxpike  # pyright: ignore[reportMissingImports]

        lif = jaxpike.LIF(-1 / math.log(decay), surrogate=jaxpike.ATan())
        if not weights:
            return (), lambda params, x: jaxpike.unroll(lif, x)[0]
        key, layers = self.jax.random.key(0), []
        for weight in weights:
            dense = jaxpike.Dense(*weight.shape, key=key, use_bias=False)
            layers += [eqx.tree_at(lambda d: d.weight, dense, weight.T * self.scale(decay)), lif]
        net = jaxpike.Sequential(*layers)
        learned = eqx.tree_at(
            lambda net: [layer.weight for layer in net.layers[::2]],
            self.jax.tree.map(lambda _: False, net),
            [True] * len(weights),
        )
        params, rest = eqx.partition(net, learned)
        return params, lambda params, x: jaxpike.unroll(eqx.combine(params, rest), x)[0]
