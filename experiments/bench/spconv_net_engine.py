"""spconv 2 on a CPU, worker engine: the networks of the row `lidar-net`, built from our weights."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from experiments.bench.process import forget_peak, memory, use_one_core


class Engine:
    """Holds one network and one cloud."""

    library = "spconv"
    thread_safe = False  # its scatter-add has a data race

    def __init__(self):
        use_one_core()
        import spconv.pytorch  # pyright: ignore[reportMissingImports]  in the peer's environment
        import torch  # pyright: ignore[reportMissingImports]  in the peer's environment

        torch.set_num_threads(1)
        self._torch, self._spconv = torch, spconv.pytorch
        self.version = f"{version('spconv')} (torch {torch.__version__})"

    def load(
        self,
        coords: np.ndarray,
        feats: np.ndarray,
        extent: list[int],
        plan: dict[str, Any],
        **weights: np.ndarray,
    ) -> None:
        """Take coords (b, z, y, x) [N, 4], feats [N, C], a plan (see `lidar_nets`) and weights."""
        torch = self._torch
        self._indices = torch.from_numpy(np.ascontiguousarray(coords, np.int32))
        self._feats, self._extent = torch.from_numpy(feats), extent
        self._net = _network(torch, self._spconv, plan, weights)
        self._rest = memory("VmRSS")
        forget_peak()
        self._maps = self._forward().indice_dict
        self._peak = memory("VmHWM")

    def run(self, what: str) -> np.ndarray | None:
        """Once "forward with maps"; or "result", "facts" or "sites".

        spconv builds strided maps again for every tensor, so that there is no forward without.
        """
        if what == "forward with maps":
            self._forward()
        elif what == "result":
            out = self._forward()
            order = np.lexsort(out.indices.numpy().T[::-1])
            return out.features.numpy()[order]
        elif what == "facts":
            return np.array([self._peak, self._rest], np.float64)
        elif what == "sites":
            return np.array([_counts(key, found) for key, found in self._maps.items()])
        else:
            raise ValueError(f"no such work: {what!r}")
        return None

    def _forward(self) -> Any:
        x = self._spconv.SparseConvTensor(self._feats, self._indices, self._extent, 1)
        with self._torch.inference_mode():
            return self._net(x)


def _counts(key: str, found: Any) -> tuple[int, int]:
    """Output sites and pairs of a map; of a submanifold map spconv counts half of the pairs."""
    pairs, rows = int(found.indice_pair_num.sum()), len(found.out_indices)
    return rows, 2 * pairs + rows if key.startswith("sub") else pairs


def _network(torch: Any, spconv: Any, plan: dict[str, Any], weights: dict[str, np.ndarray]) -> Any:
    """The network of a plan, a function of a SparseConvTensor; names of parts are ours."""
    nn, native = torch.nn, spconv.ConvAlgo.Native

    def tensor(name: str) -> Any:
        return nn.Parameter(torch.from_numpy(weights[name]), requires_grad=False)

    def neuron(feats: Any) -> Any:
        return feats.clamp(0, plan["levels"]).add_(0.5).floor_()

    def norm(name: str) -> Any:
        layer = nn.BatchNorm1d(len(weights[f"{name}.scale"]), eps=plan["eps"]).eval()
        layer.weight, layer.bias = tensor(f"{name}.scale"), tensor(f"{name}.shift")
        layer.running_mean.copy_(tensor(f"{name}.mean"))
        layer.running_var.copy_(tensor(f"{name}.var"))
        return layer

    def conv(name: str, kind: Any, kernel: Sequence[int], *geometry: Any, key: str) -> Any:
        weight = weights[f"{name}.weight"]
        _, channels, out = weight.shape
        options = {"bias": False, "indice_key": key, "algo": native}
        layer = kind(channels, out, kernel, *geometry, **options)
        layout = weight.reshape(*kernel, channels, out).transpose(4, 0, 1, 2, 3)
        layer.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(layout)), False)
        return layer

    def linear(name: str) -> Any:
        weight = weights[f"{name}.weight"]
        layer = nn.Linear(*weight.shape)
        layer.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight.T)), False)
        layer.bias = tensor(f"{name}.bias")
        return layer

    def apply(layer: Any, x: Any) -> Any:
        return x.replace_feature(layer(x.features))

    def chain(*layers: Any) -> Any:
        """Layers one after another: those of spconv take tensors, the others features."""

        def run(x: Any) -> Any:
            for layer in layers:
                spatial = isinstance(layer, spconv.SparseModule)
                x = layer(x) if spatial else apply(layer, x)
            return x

        return run

    def branch(name: str, kind: Any, kernel: Sequence[int], *geometry: Any, key: str) -> Any:
        own = conv(f"{name}.conv", kind, kernel, *geometry, key=key)
        return chain(neuron, own, norm(f"{name}.norm"))

    def submanifold(name: str, level: int) -> Any:
        return branch(name, spconv.SubMConv3d, (3, 3, 3), key=f"sub{level}")

    def block(name: str, level: int) -> Any:
        parts = [submanifold(f"{name}.{part}", level) for part in ("first", "second", "third")]

        def run(x: Any) -> Any:
            y = parts[0](x)
            y = y.replace_feature(y.features + x.features)
            z = parts[2](parts[1](y))
            return z.replace_feature(z.features + y.features)

        return run

    def up(name: str, level: int) -> Any:
        inverse = conv(
            f"{name}.conv", spconv.SparseInverseConv3d, plan["stages"][level][0], key=f"down{level}"
        )
        spread = chain(neuron, inverse, norm(f"{name}.norm"))
        mixes = [
            layer
            for part in ("first", "second")
            for layer in (neuron, linear(f"{name}.{part}.linear"), norm(f"{name}.{part}.norm"))
        ]

        def run(x: Any, skip: Any) -> Any:
            u = spread(x)
            mixed = u.replace_feature(torch.cat([u.features, skip.features], dim=1))
            mixed = chain(*mixes)(mixed)
            return mixed.replace_feature(mixed.features + u.features)

        return run

    first = conv("stem.conv", spconv.SubMConv3d, (3, 3, 3), key="sub0")
    begin = [chain(first, norm("stem.norm")), submanifold("stem.second", 0)]
    begin += [submanifold(name, 0) for name in ("stem.third", *plan["more"])]
    stages = []
    for index, geometry in enumerate(plan["stages"]):
        name = f"stages.{index}"
        down = branch(f"{name}.down", spconv.SparseConv3d, *geometry, key=f"down{index}")
        blocks = [block(f"{name}.blocks.{i}", index + 1) for i in range(plan["blocks"])]
        stages.append([down, *blocks])
    ups = [up(f"decoder.{i}", i) for i in range(plan["decoder"])]
    end = []
    if plan["out"]:
        out = conv("out", spconv.SparseConv3d, *plan["out"], key="out")
        end = [chain(out, norm("norm"), neuron)]
    if plan["decoder"]:
        end = [chain(linear("final"))]

    def network(x: Any) -> Any:
        for layer in begin:
            x = layer(x)
        skips = []
        for stage in stages:
            skips.append(x)
            for layer in stage:
                x = layer(x)
        for layer, skip in zip(ups[::-1], skips[::-1], strict=bool(ups)):
            x = layer(x, skip)
        for layer in end:
            x = layer(x)
        return x

    return network
