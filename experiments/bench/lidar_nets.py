"""The networks of the row `lidar-net`, with the kernel maps apart from the layers.

Each has `plan`, what another library needs to build the same graph from the same weights:
`stages` (kernel, stride and padding of each strided convolution), `blocks` of a stage, submanifold
layers `more` than the stem, `decoder` stages, the convolution `out`, `levels` of a neuron, `eps`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.models.e3dsnn import Branch, E3DSNNConfig, Stage, Stem, neuron, norm
from snnjax.models.e3dsnn_segmentation import E3DSNNSegmentation, E3DSNNSegmentationConfig
from snnjax.nn import IntegerNeuron, Module, Run, SiteLinear, SparseBatchNorm, SparseConv
from snnjax.nn.layer import Layer
from snnjax.sparse import (
    KernelMap,
    SparseTensor,
    strided_map,
    submanifold_map,
)

HALVES = ((2, 2, 2), (2, 2, 2), (0, 0, 0))
DILATES = ((3, 3, 3), (2, 2, 2), (1, 1, 1))
FLATTENS = ((3, 1, 1), (2, 1, 1), (0, 0, 0))


class Maps(NamedTuple):
    """Kernel maps of a network.

    Attributes:
      same: the submanifold map of every level. down: the strided maps between them.
      out: the last strided map, or None.
      sites: tensors without channels at every level, with the output after them.
    """

    same: list[KernelMap]
    down: list[KernelMap]
    out: KernelMap | None
    sites: list[SparseTensor]


def build_maps(x: SparseTensor, plan: dict[str, Any], rows: tuple[int, ...]) -> Maps:
    """All maps of a network on these sites; `rows` is the capacity of every level."""
    sites = [x.replace(feats=x.feats[..., :0])]
    downs = []
    for geometry, capacity in zip(plan["stages"], rows[1:], strict=False):
        downs.append(strided_map(sites[-1], *geometry, capacity=capacity))
        sites.append(_empty(downs[-1], sites[-1]))
    same = [submanifold_map(level) for level in sites]
    out = None
    if plan["out"]:
        out = strided_map(sites[-1], *plan["out"], capacity=rows[-1])
        sites.append(_empty(out, sites[-1]))
    return Maps(same, downs, out, sites)


def _empty(kmap: KernelMap, x: SparseTensor) -> SparseTensor:
    return kmap.output(x, jnp.zeros((len(kmap.coords), kmap.out_rows, 0), x.feats.dtype))


class SegmentationNet(Module):
    """The E-3DSNN for segmentation, given its maps."""

    def __init__(self, config: E3DSNNSegmentationConfig, *, rngs: nnx.Rngs):
        self.net = E3DSNNSegmentation(config, rngs=rngs)
        depth = len(config.channels)
        self.plan = _plan(config, [HALVES] * depth, decoder=depth)

    def forward(self, run: Run, x: SparseTensor, maps: Maps) -> Array:
        net = self.net
        x = run(net.stem, x, maps.same[0], 1)
        skips = []
        for stage, down, same in zip(net.stages, maps.down, maps.same[1:], strict=True):
            skips.append(x)
            x = _stage(run, stage, x, down, same)
        for up, down, skip in zip(net.decoder[::-1], maps.down[::-1], skips[::-1], strict=True):
            x = run(up, x, down, skip)
        return run(net.final, x).feats


class Backbone(Module):
    """The 3D backbone of the KITTI detector, given its maps.

    Stem, a further submanifold layer, three stages whose convolution k3 s2 p1 dilates, and a
    convolution (3, 1, 1) of the real-valued stream that leaves two planes.
    """

    def __init__(self, config: E3DSNNConfig, *, out: int, rngs: nnx.Rngs):
        if config.in_channels is None:
            raise ValueError("the backbone needs in_channels; set them in its configuration.")
        self.plan = _plan(config, [DILATES] * len(config.channels), more=["more"], out=FLATTENS)
        self.stem = Stem(config.in_channels, config.stem, config, rngs=rngs)
        self.more = Branch(config.stem, config.stem, 3, config, rngs=rngs)
        sizes, kernel = pairwise((config.stem, *config.channels)), DILATES[0]
        self.stages = nnx.List(
            [Stage(a, b, config, kernel_size=kernel, rngs=rngs) for a, b in sizes]
        )
        self.out = SparseConv(config.channels[-1], out, FLATTENS[0], rngs=rngs)
        self.norm = norm(out, config)
        self.neuron = neuron(config)

    def forward(self, run: Run, x: SparseTensor, maps: Maps) -> Array:
        x = run(self.more, run(self.stem, x, maps.same[0], 1), maps.same[0])
        for stage, down, same in zip(self.stages, maps.down, maps.same[1:], strict=True):
            x = _stage(run, stage, x, down, same)
        return run(self.neuron, run(self.norm, run(self.out, x, maps.out))).feats


def _stage(
    run: Run, stage: Stage, x: SparseTensor, down: KernelMap, same: KernelMap
) -> SparseTensor:
    """A stage with the maps that it would build itself."""
    x = run(stage.down, x, down)
    for block in stage.blocks:
        x = run(block, x, same)
    return x


def _plan(
    config: E3DSNNConfig, stages: list, *, decoder: int = 0, more: Any = (), out: Any = None
) -> dict[str, Any]:
    shared = {"blocks": config.depth, "levels": config.levels, "eps": config.bn_eps}
    return {"stages": stages, "decoder": decoder, "more": list(more), "out": out, **shared}


def build_net(kind: str, sizes: dict[str, Any]) -> SegmentationNet | Backbone:
    """The network "segmentation" or "backbone"; `sizes` are fields of its configuration."""
    rngs = nnx.Rngs(0)
    if kind == "segmentation":
        return SegmentationNet(E3DSNNSegmentationConfig(**sizes), rngs=rngs)
    return Backbone(E3DSNNConfig(**sizes), out=2 * sizes["channels"][-1], rngs=rngs)


def named_weights(net: Module) -> dict[str, Any]:
    """The variables of a network by path, without the prefix of the network in a network."""
    found = nnx.to_flat_state(nnx.state(net))
    return {".".join(map(str, path)).removeprefix("net."): leaf for path, leaf in found}


class Pass(Layer):
    """A layer that does nothing."""

    def __call__(self, x: SparseTensor) -> SparseTensor:
        return x


def without(net: Module, kinds: tuple[type, ...] = (IntegerNeuron, SparseBatchNorm)) -> Module:
    """Replace the layers of these kinds, in place, by layers that do nothing."""
    for _, module in list(nnx.iter_modules(net)):
        for name, part in list(vars(module).items()):
            if isinstance(part, kinds):
                setattr(module, name, Pass())
    return net


def linear_layers(net: Module) -> list[tuple[SiteLinear, int]]:
    """The linear layers of a network, each with its level, the finest 0."""
    found = []
    for path, module in nnx.iter_modules(net):
        if isinstance(module, SiteLinear):
            levels = [part for part in path if isinstance(part, int)]
            found.append((module, levels[0] if levels else 0))
    return found
