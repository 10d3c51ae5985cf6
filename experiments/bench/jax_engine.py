"""Spiking networks of other JAX libraries on a CPU: worker engines.

Each library has its own engine, which builds the model and runs it over time as its documentation
shows.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np


class JaxEngine:
    """One problem at a time; a subclass gives `library` and `model`."""

    library: str
    thread_safe = True

    @staticmethod
    def scale(decay: float) -> float:
        """Factor on the currents, applied before timing, to drive its neurons like ours."""
        del decay
        return 1.0

    def __init__(self):
        import jax

        self.jax = jax
        self.version = f"{version(self.library)} (jax {jax.__version__})"

    def model(self, decay: float, weights: list[Any], width: int) -> tuple[Any, Any]:
        """Return weights, and `run(weights, x)` from currents [T, B, N] to spikes [T, B, N'].

        Without weights one layer of `width` LIF neurons with soft reset; else a linear layer
        without bias and LIF neurons for each.
        """
        raise NotImplementedError

    def load(self, kind: str, decay: float, x: np.ndarray, **arrays: np.ndarray) -> None:
        """Take a problem: kind "layer" (x, upstream) or "net" (x, label, w0, w1, ...)."""
        jax, jnp = self.jax, self.jax.numpy
        self._kind = kind
        held = {name: jnp.asarray(array) for name, array in arrays.items()}
        weights = [held[name] for name in sorted(held) if name.startswith("w")]
        params, run = self.model(decay, weights, x.shape[-1])
        if kind == "layer":

            def gradient(x: Any, upstream: Any) -> Any:
                spikes, pull = jax.vjp(lambda x: run(params, x), x)
                return spikes, pull(upstream)[0]

            self._work = jax.jit(gradient)
            self._arguments = [jnp.asarray(x * np.float32(self.scale(decay))), held["upstream"]]
        elif kind == "net":
            self._work, moments = self._training(run, params)
            self._arguments = [params, moments, jnp.asarray(x), held["label"]]
        else:
            raise ValueError(f"no such problem: {kind!r}")

    def run(self, what: str) -> np.ndarray:
        """Once "forward and backward" of a layer, or a "training step" of a net."""
        if (what, self._kind) == ("forward and backward", "layer"):
            return np.asarray(self.jax.block_until_ready(self._work(*self._arguments))[0])
        if (what, self._kind) == ("training step", "net"):
            loss, *self._arguments[:2] = self.jax.block_until_ready(self._work(*self._arguments))
            return np.asarray(loss)[None]
        raise ValueError(f"no such work: {what!r} of a {self._kind}")

    def _training(self, run: Any, params: Any) -> tuple[Any, Any]:
        import optax

        optimiser = optax.adam(1e-3)

        def update(params: Any, moments: Any, x: Any, label: Any) -> Any:
            def loss(params: Any) -> Any:
                scores = run(params, x).mean(0)
                return optax.softmax_cross_entropy_with_integer_labels(scores, label).mean()

            value, gradient = self.jax.value_and_grad(loss)(params)
            updates, moments = optimiser.update(gradient, moments)
            return value, optax.apply_updates(params, updates), moments

        return self.jax.jit(update, donate_argnums=(0, 1)), optimiser.init(params)
