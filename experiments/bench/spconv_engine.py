"""spconv 2 on a CPU, worker engine: a 3x3x3 submanifold convolution, map and product apart."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

_KEY = "map"


class Engine:
    """Holds one problem; `run` does a part of it."""

    library = "spconv"
    thread_safe = False  # its scatter-add has a data race

    def __init__(self):
        import spconv.pytorch  # pyright: ignore[reportMissingImports]  in the peer's environment
        import torch  # pyright: ignore[reportMissingImports]  in the peer's environment

        self._torch, self._spconv = torch, spconv.pytorch
        self.version = f"{version('spconv')} (torch {torch.__version__})"

    def load(
        self, coords: np.ndarray, feats: np.ndarray, weight: np.ndarray, extent: list[int]
    ) -> None:
        """Take coords (b, z, y, x) [N, 4], feats [N, C], weight [27, C, O], and build the map."""
        torch, spconv = self._torch, self._spconv
        _, channels, out = weight.shape
        self._indices = torch.from_numpy(np.ascontiguousarray(coords, np.int32))
        self._batch = int(coords[:, 0].max()) + 1
        self._feats = torch.from_numpy(feats)
        self._extent = extent
        self._layer = spconv.SubMConv3d(
            channels, out, 3, bias=False, indice_key=_KEY, algo=spconv.ConvAlgo.Native
        )
        # [K, C, O], offsets z-major, to [O, kz, ky, kx, C].
        layout = weight.reshape(3, 3, 3, channels, out).transpose(4, 0, 1, 2, 3)
        with torch.no_grad():
            self._layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(layout)))
            self._map = self._layer(self._fresh()).indice_dict

    def run(self, what: str) -> np.ndarray | None:
        """Do the work once: "forward with map", "forward" or "map"."""
        with self._torch.no_grad():
            if what == "forward with map":
                return self._layer(self._fresh()).features.numpy()
            if what == "forward":
                x = self._fresh()
                x.indice_dict = self._map
                return self._layer(x).features.numpy()
        if what == "map":
            self._spconv.ops.get_indice_pairs(
                self._indices,
                self._batch,
                self._extent,
                self._spconv.ConvAlgo.Native,
                [3, 3, 3],
                [1, 1, 1],
                [1, 1, 1],
                [1, 1, 1],
                [0, 0, 0],
                subm=True,
            )
            return None
        raise ValueError(f"no such work: {what!r}")

    def _fresh(self):
        return self._spconv.SparseConvTensor(self._feats, self._indices, self._extent, self._batch)
