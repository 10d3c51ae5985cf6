"""Spiking networks of the PyTorch libraries on a CPU, for the worker.

Each library has an engine of its own, which says how its neurons run over time: as its
documentation shows it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np


class TorchEngine:
    """One problem at a time; a subclass gives `library` and `neurons(decay) -> x -> spikes`."""

    library: str
    thread_safe = True

    def __init__(self):
        import torch  # pyright: ignore[reportMissingImports]  in the peer's environment

        self.torch = torch
        self.version = f"{version(self.library)} (torch {torch.__version__})"

    def neurons(self, decay: float) -> Any:
        """A function from currents [T, B, N] to spikes, LIF with soft reset, from rest."""
        raise NotImplementedError

    def load(self, kind: str, decay: float, x: np.ndarray, **arrays: np.ndarray) -> None:
        """Take a problem: kind "layer" (x, upstream) or "net" (x, label, w0, w1, ...)."""
        torch = self.torch
        self._kind, self._x = kind, torch.from_numpy(x)
        self._arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
        weights = [self._arrays[name] for name in sorted(self._arrays) if name.startswith("w")]
        self._layers = [self.neurons(decay) for _ in weights or [None]]
        self._linears = []
        for weight in weights:
            linear = torch.nn.Linear(*weight.shape, bias=False)
            with torch.no_grad():
                linear.weight.copy_(weight.T)
            self._linears.append(linear)
        parameters = [linear.weight for linear in self._linears]
        if weights:
            self._optimiser = torch.optim.Adam(parameters, lr=1e-3)

    def run(self, what: str) -> np.ndarray:
        """Once "forward and backward" of a layer, or a "training step" of a net."""
        if what == "forward and backward" and self._kind == "layer":
            x = self._x.clone().requires_grad_()
            spikes = self._layers[0](x)
            (spikes * self._arrays["upstream"]).sum().backward()
            return spikes.detach().numpy()
        if what == "training step" and self._kind == "net":
            return self._update()
        raise ValueError(f"no such work: {what!r} of a {self._kind}")

    def _update(self) -> np.ndarray:
        h = self._x
        for linear, layer in zip(self._linears, self._layers, strict=True):
            h = layer(linear(h))
        loss = self.torch.nn.functional.cross_entropy(h.mean(0), self._arrays["label"].long())
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.detach().numpy()[None]
