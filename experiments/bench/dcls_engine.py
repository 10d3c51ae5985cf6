"""DCLS, worker engine: its temporal convolution on a CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np


class Engine:
    """A causal Dcls1d with Gaussian taps of a shared width that does not learn."""

    library = "dcls"
    thread_safe = True

    def __init__(self):
        import torch  # pyright: ignore[reportMissingImports]  in the peer's environment

        self.torch = torch
        self.version = f"{version('dcls')} (torch {torch.__version__})"

    def load(self, sigma: float, size: int, **arrays: np.ndarray) -> None:
        """Take x and upstream [T, B, C], weight and delay [I, O]."""
        from DCLS.construct.modules import Dcls1d  # pyright: ignore[reportMissingImports]

        torch = self.torch
        given = {name: torch.from_numpy(array) for name, array in arrays.items()}
        layer = Dcls1d(
            *given["weight"].shape, 1, dilated_kernel_size=size, bias=False, version="gauss"
        )
        with torch.no_grad():
            layer.weight.copy_(given["weight"].T[..., None])
            layer.P.copy_((size // 2 - given["delay"]).T[None, ..., None])
            layer.SIG.fill_(sigma)
        layer.SIG.requires_grad_(False)
        self._layer, self._size = layer, size
        self._x, self._upstream = (
            given[name].permute(1, 2, 0).contiguous() for name in ("x", "upstream")
        )

    def run(self, what: str) -> np.ndarray:
        """Once "forward and backward", or "forward"."""
        x = self._x.clone().requires_grad_()
        y = self._layer(self.torch.nn.functional.pad(x, (self._size - 1, 0)))
        if what == "forward and backward":
            self._layer.zero_grad()
            y.backward(self._upstream)
        elif what != "forward":
            raise ValueError(f"no such work: {what!r}")
        out: Any = y.detach().permute(2, 0, 1)
        return out.numpy()
