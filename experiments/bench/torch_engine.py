"""Spiking networks of the PyTorch libraries on a CPU: worker engines.

Each library has its own engine, which runs its neurons over time as its documentation shows.
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
        """A function from currents [T, B, ...] to spikes, LIF with soft reset, from rest."""
        raise NotImplementedError

    def load(self, kind: str, decay: float, x: np.ndarray, **arrays: np.ndarray) -> None:
        """Take a problem: kind "layer" (x, upstream), "net" (x, label, w0, w1, ...) or "conv-net".

        The last has frames x [T, B, H, W, C], label, c0, c1, ... [3, 3, C, O] and head.
        """
        self._kind, self._x = kind, self.torch.from_numpy(x)
        self._arrays = {name: self.torch.from_numpy(array) for name, array in arrays.items()}
        if kind == "layer":
            self._layer = self.neurons(decay)
        elif kind == "net":
            self._forward, parameters = self._net(decay)
            self._optimiser = self.torch.optim.Adam(parameters, lr=1e-3)
        elif kind == "conv-net":
            self._x = self._x.permute(0, 1, 4, 2, 3).contiguous()
            self._forward, parameters = self._conv_net(decay)
            self._optimiser = self.torch.optim.SGD(parameters, lr=0.1)
        else:
            raise ValueError(f"no such problem: {kind!r}")

    def run(self, what: str) -> np.ndarray:
        """Once "forward and backward" of a layer, or a "training step" of a net."""
        if what == "forward and backward" and self._kind == "layer":
            x = self._x.clone().requires_grad_()
            spikes = self._layer(x)
            (spikes * self._arrays["upstream"]).sum().backward()
            return spikes.detach().numpy()
        if what == "training step" and self._kind != "layer":
            return self._update()
        raise ValueError(f"no such work: {what!r} of a {self._kind}")

    def _update(self) -> np.ndarray:
        scores = self._forward(self._x).mean(0)
        loss = self.torch.nn.functional.cross_entropy(scores, self._arrays["label"].long())
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.detach().numpy()[None]

    def _named(self, letter: str) -> list[Any]:
        return [self._arrays[name] for name in sorted(self._arrays) if name.startswith(letter)]

    def _holding(self, module: Any, weight: Any) -> Any:
        """`module` with this weight."""
        with self.torch.no_grad():
            module.weight.copy_(weight)
        return module

    def _net(self, decay: float) -> tuple[Any, list[Any]]:
        layers = []
        for weight in self._named("w"):
            linear = self.torch.nn.Linear(*weight.shape, bias=False)
            layers.append((self._holding(linear, weight.T), self.neurons(decay)))

        def forward(h: Any) -> Any:
            for linear, neurons in layers:
                h = neurons(linear(h))
            return h

        return forward, [linear.weight for linear, _ in layers]

    def _conv_net(self, decay: float) -> tuple[Any, list[Any]]:
        """Blocks of convolution, norm, neurons and pool; all except the neurons on frames [T*B]."""
        nn, blocks = self.torch.nn, []
        for weight in self._named("c"):
            conv = nn.Conv2d(weight.shape[2], weight.shape[3], 3, padding=1, bias=False)
            self._holding(conv, weight.permute(3, 2, 0, 1))
            blocks.append((conv, nn.BatchNorm2d(weight.shape[3]), self.neurons(decay)))
        head, channels = self._arrays["head"], self._named("c")[-1].shape[3]
        side = round((len(head) / channels) ** 0.5)
        linear = nn.Linear(*head.shape)
        nn.init.zeros_(linear.bias)
        # Its pixels come as [C, H, W].
        turned = head.reshape(side, side, channels, -1).permute(2, 0, 1, 3).flatten(0, 2)
        self._holding(linear, turned.T)
        pool = nn.MaxPool2d(2)

        def forward(x: Any) -> Any:
            times = x.shape[:2]
            for conv, norm, neurons in blocks:
                spikes = neurons(norm(conv(x.flatten(0, 1))).unflatten(0, times))
                x = pool(spikes.flatten(0, 1)).unflatten(0, times)
            return linear(x.flatten(2))

        modules = nn.ModuleList([linear, *(m for block in blocks for m in block[:2])])
        return forward, list(modules.parameters())
