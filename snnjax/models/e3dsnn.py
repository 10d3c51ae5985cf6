"""E-3DSNN: spiking sparse convolutions for the recognition of 3D shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.sharding import PartitionSpec as P

from snnjax.metrics import LayerActivity, linear_activity, sparse_activity
from snnjax.nn import IntegerNeuron, Rectifier, SparseBatchNorm, SparseConv, truncated_normal
from snnjax.nn.recompute import Remat, recomputed
from snnjax.sharding import Cut, pair_rules
from snnjax.sparse import (
    Capacities,
    KernelMap,
    SparseTensor,
    global_mean_pool,
    outdegree,
    pack,
    strided_map,
    submanifold_map,
)


@dataclass(frozen=True)
class E3DSNNConfig:
    """What decides an E-3DSNN classifier; static.

    Attributes:
      stem: channels of the stem, e.
      channels: channels of the four stages, C_1..4.
      depth: blocks per stage, d.
      in_channels: point features: 3 for xyz, 6 with normals.
      num_classes: K.
      levels: D, the largest integer a neuron emits.
      steps: T; a static input is encoded once and repeated T times.
      beta: leak of the membrane between steps.
      detach: no gradient through the spikes in the reset.
      spike_head: a neuron before the head, so that the head receives spikes too.
      twin: the ANN twin, ReLU in place of the neurons.
      bn_decay: decay of the running statistics of the norms.
      bn_eps: added to the variance in every norm; weights of other implementations may need theirs.
    """

    stem: int
    channels: tuple[int, ...]
    depth: int
    in_channels: int = 6
    num_classes: int = 40
    levels: int = 4
    steps: int = 1
    beta: float = 0.25
    detach: bool = True
    spike_head: bool = False
    twin: bool = False
    bn_decay: float = 0.99
    bn_eps: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("stem", "depth", "in_channels", "num_classes", "levels", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.bn_eps < math.inf:
            raise ValueError(f"bn_eps must be positive and finite; got {self.bn_eps}.")
        if not self.channels or min(self.channels) < 1:
            raise ValueError(
                f"channels must be at least 1 in each stage, with one stage or more; got "
                f"{self.channels}."
            )


class ClassifierOutput(NamedTuple):
    """What a classifier returns.

    Attributes:
      logits: mean over time, [B, K].
      overflow: points and sites of the batch that found no row, int32 [].
      activity: what each weighted layer received; empty unless recorded.
    """

    logits: Array
    overflow: Array
    activity: tuple[LayerActivity, ...] = ()


@dataclass
class Pass:
    """One traversal of a network: its options, its populations, and what it records."""

    train: bool
    axis_name: str | None
    record: bool
    states: tuple
    remat: Remat = "none"
    after: list = field(default_factory=list)
    activity: list[LayerActivity] = field(default_factory=list)
    spikes: list[tuple[str, SparseTensor]] = field(default_factory=list)

    def fire(self, name: str, neuron: IntegerNeuron | Rectifier, x: SparseTensor) -> SparseTensor:
        """Advance the next population of the network."""
        state = self.states[len(self.after)] if self.states else None
        state, out = neuron(state, x)
        self.after.append(state)
        self.spikes.append((name, out))
        return out

    def convolve(
        self,
        name: str,
        conv: SparseConv,
        norm: SparseBatchNorm,
        x: SparseTensor,
        kmap: KernelMap,
        spiking: bool,
    ) -> SparseTensor:
        """Convolution and norm, recording what the convolution received."""
        y = norm(conv(x, kmap), train=self.train, axis_name=self.axis_name)
        if self.record:
            degree, out = outdegree(kmap, x.n), y.feats.shape[-1]
            self.activity.append(
                sparse_activity(
                    name, x.feats, x.valid, degree, out, spiking=spiking, sum_rows=x.sum_rows
                )
            )
        return y

    def layer(
        self,
        name: str,
        neuron: IntegerNeuron | Rectifier,
        conv: SparseConv,
        norm: SparseBatchNorm,
        x: SparseTensor,
        kmap: KernelMap,
    ) -> SparseTensor:
        """Neuron, convolution and norm: what `remat` keeps the input of."""

        def call(modules: Any, states: tuple, x: SparseTensor, kmap: KernelMap) -> tuple[Any, Any]:
            own = replace(self, remat="none", states=states, after=[], activity=[], spikes=[])
            neuron, conv, norm = modules
            return own.layer(name, neuron, conv, norm, x, kmap), own.after

        if self.remat == "none":
            s = self.fire(name, neuron, x)
            return self.convolve(name, conv, norm, s, kmap, neuron.spiking)
        state = self.states[len(self.after) :][:1]
        y, after = recomputed(self.remat, (neuron, conv, norm), call, state, x, kmap)
        self.after += after
        return y


class Branch(nnx.Module):
    """Neuron, submanifold convolution k3, norm: BN(SubM3(N x))."""

    def __init__(
        self, channels: int, neuron, *, cut: Cut | None = None, decay: float, rngs: nnx.Rngs
    ):
        self.neuron = neuron
        self.conv = SparseConv(channels, channels, 3, init=truncated_normal, cut=cut, rngs=rngs)
        self.norm = SparseBatchNorm(channels, decay=decay)

    def __call__(self, run: Pass, name: str, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        return run.layer(name, self.neuron, self.conv, self.norm, x, kmap)


class Block(nnx.Module):
    """Two membrane shortcuts: y = x + BN(SubM3(N x)), z = y + BN(SubM3(N BN(SubM3(N y)))).

    The stream is real-valued; every convolution receives spikes.
    """

    def __init__(self, channels: int, neuron, *, decay: float, rngs: nnx.Rngs):
        self.first = Branch(channels, neuron, decay=decay, rngs=rngs)
        self.second = Branch(channels, neuron, cut="outputs", decay=decay, rngs=rngs)
        self.third = Branch(channels, neuron, cut="inputs", decay=decay, rngs=rngs)

    def __call__(self, run: Pass, name: str, x: SparseTensor, kmap: KernelMap) -> SparseTensor:
        y = _add(x, self.first(run, f"{name}.first", x, kmap))
        inner = self.second(run, f"{name}.second", y, kmap)
        return _add(y, self.third(run, f"{name}.third", inner, kmap))


class Stem(nnx.Module):
    """Spike voxel coding: SubM k3, BN, N, SubM k3, BN, N, SubM k3, BN on one shared map."""

    def __init__(self, in_channels: int, channels: int, neuron, *, decay: float, rngs: nnx.Rngs):
        self.conv = SparseConv(
            in_channels, channels, 3, init=truncated_normal, cut="outputs", rngs=rngs
        )
        self.norm = SparseBatchNorm(channels, decay=decay)
        self.second = Branch(channels, neuron, cut="inputs", decay=decay, rngs=rngs)
        self.third = Branch(channels, neuron, decay=decay, rngs=rngs)

    def __call__(self, run: Pass, x: SparseTensor, kmap: KernelMap, steps: int) -> SparseTensor:
        x = run.convolve("stem.first", self.conv, self.norm, x, kmap, spiking=False)
        if steps > 1 and x.feats.ndim == 3:  # a static input is encoded once
            x = x.replace(feats=jnp.broadcast_to(x.feats, (steps, *x.feats.shape)))
        x = self.second(run, "stem.second", x, kmap)
        return self.third(run, "stem.third", x, kmap)


class Stage(nnx.Module):
    """Neuron, strided convolution k2 s2, norm, then `depth` blocks on one shared map."""

    def __init__(
        self, in_channels: int, channels: int, depth: int, neuron, *, decay: float, rngs: nnx.Rngs
    ):
        self.neuron = neuron
        self.down = SparseConv(in_channels, channels, 2, rngs=rngs)
        self.norm = SparseBatchNorm(channels, decay=decay)
        self.blocks = nnx.List(
            [Block(channels, neuron, decay=decay, rngs=rngs) for _ in range(depth)]
        )

    def __call__(
        self, run: Pass, name: str, x: SparseTensor, capacity: int | None, arithmetic: str | None
    ) -> SparseTensor:
        down = strided_map(x, 2, 2, capacity=capacity)
        x = run.layer(f"{name}.down", self.neuron, self.down, self.norm, x, down)
        kmap = submanifold_map(x, 3, arithmetic=arithmetic)
        for index, block in enumerate(self.blocks):
            x = block(run, f"{name}.block{index}", x, kmap)
        return x


class E3DSNN(nnx.Module):
    """The E-3DSNN classifier.

    stem -> four stages, each halving the grid -> mean over the sites -> linear head. The mean of
    the per-site logits of the published head equals the head of the mean, which is cheaper.

    Source: Qiu et al., "Efficient 3D Recognition with Event-driven Spike Sparse Convolution", AAAI
    2025 (arXiv 2412.07360).
    """

    def __init__(self, config: E3DSNNConfig, *, rngs: nnx.Rngs):
        self.config = config
        neuron = Rectifier() if config.twin else _neuron(config)
        decay = config.bn_decay
        self.stem = Stem(config.in_channels, config.stem, neuron, decay=decay, rngs=rngs)
        sizes = (config.stem, *config.channels)
        self.stages = nnx.List(
            [Stage(a, b, config.depth, neuron, decay=decay, rngs=rngs) for a, b in pairwise(sizes)]
        )
        for _, module in nnx.iter_modules(self):
            if isinstance(module, SparseBatchNorm):
                module.eps = config.bn_eps
        self.remat: Remat = "none"
        self.neuron = neuron
        self.head = nnx.Linear(
            sizes[-1],
            config.num_classes,
            kernel_init=nnx.initializers.truncated_normal(0.02),
            rngs=rngs,
        )

    @property
    def tensor_rules(self) -> tuple[tuple[str, P], ...]:
        """How kernels are cut over a mesh axis "model", by pairs of convolutions.

        The first of a pair is cut by output channels and the second by input channels, so norm and
        neurons between them see the channels of their device alone, and one sum joins the outputs.
        Convolutions that stand alone between two whole streams stay whole.
        """
        block = r"/blocks/\d+/"
        return (
            *pair_rules("^stem/conv/weight$", "^stem/norm/", "^stem/second/conv/weight$", kernel=1),
            *pair_rules(
                f"{block}second/conv/weight$",
                f"{block}second/norm/",
                f"{block}third/conv/weight$",
                kernel=1,
            ),
            (".*", P()),
        )

    @property
    def depth(self) -> int:
        """Levels below the input grid; the extent should be a multiple of 2**depth."""
        return len(self.stages)

    def init_state(self, x: SparseTensor) -> tuple:
        """The resting state: empty, because each population takes the shape of what it meets."""
        del x
        return ()

    def __call__(
        self,
        state: tuple,
        x: SparseTensor,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
        capacities: Capacities | None = None,
        record: bool = False,
    ) -> tuple[tuple, ClassifierOutput]:
        """Classify a batch of voxel clouds.

        Args:
          state: membranes of all populations from an earlier call on the same sites, or () at rest.
          x: voxels with features [B, N, C], or [T, B, N, C] for inputs that change over time.
          key: unused: the network draws nothing.
          train: normalise by the statistics of this batch, and update the running ones.
          axis_name: mesh axis over which the statistics are summed.
          capacities: rows of every level; None takes rows that cannot overflow.
          record: fill `activity` of the output.

        Returns:
          The populations' states (empty without a time axis) and a ClassifierOutput.
        """
        del key
        self._check_state(state, x)
        keep = self.remat if train and not record else "none"
        run = Pass(train, axis_name, record, state, keep)
        logits, overflow = self._forward(run, x, capacities)
        after = () if all(s is None for s in run.after) else tuple(run.after)
        return after, ClassifierOutput(logits, overflow, tuple(run.activity))

    def _check_state(self, state: tuple, x: SparseTensor) -> None:
        config = self.config
        populations = 2 + len(self.stages) * (1 + 3 * config.depth) + config.spike_head
        if state and len(state) != populations:
            raise ValueError(
                f"the state must hold the {populations} populations of this network, as an earlier "
                f"call returned it, or be () at rest; got {len(state)}."
            )
        if state and config.steps == 1 and x.feats.ndim == 3:
            raise ValueError(
                "features [B, N, C] are one step from rest, which a state cannot continue; got a "
                "state. Give the step a time axis, feats[None]."
            )

    def spike_levels(self, x: SparseTensor, *, capacities: Capacities | None = None) -> tuple:
        """The spikes of every population at inference, as pairs (name, SparseTensor)."""
        run = Pass(train=False, axis_name=None, record=False, states=())
        self._forward(run, x, capacities)
        return tuple(run.spikes)

    def _forward(
        self, run: Pass, x: SparseTensor, capacities: Capacities | None
    ) -> tuple[Array, Array]:
        config = self.config
        if x.feats.shape[-1] != config.in_channels:
            raise ValueError(
                f"the model takes {config.in_channels} point features; got "
                f"{x.feats.shape[-1]}. Build it with in_channels={x.feats.shape[-1]}."
            )
        rows, arithmetic = _plan(capacities, self.depth)
        if capacities is not None and capacities.samples > 1:
            x = pack(x, capacities.samples, rows=rows[0], depth=self.depth)
        x = self.stem(run, x, submanifold_map(x, 3, arithmetic=arithmetic[0]), config.steps)
        for index, stage in enumerate(self.stages, 1):
            x = stage(run, f"stage{index}", x, rows[index], arithmetic[index])
        if config.spike_head:
            x = run.fire("head", self.neuron, x)
        pooled = global_mean_pool(x)
        logits = self.head(pooled)
        if run.record:
            run.activity.append(self._head_activity(x, pooled))
        return (logits.mean(axis=0) if logits.ndim == 3 else logits), x.overflow.sum()

    def _head_activity(self, x: SparseTensor, pooled: Array) -> LayerActivity:
        """What the head reads: spikes at every site with `spike_head`, else one real vector."""
        classes = self.config.num_classes
        if self.config.spike_head and self.neuron.spiking:
            once = x.valid.astype(jnp.int32)
            return sparse_activity(
                "head", x.feats, x.valid, once, classes, spiking=True, sum_rows=x.sum_rows
            )
        pooled = pooled if pooled.ndim == 3 else pooled[None]
        return linear_activity("head", pooled, classes, spiking=False)


def _neuron(config: E3DSNNConfig) -> IntegerNeuron:
    return IntegerNeuron(config.levels, beta=config.beta, detach_reset=config.detach)


def _add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    return x.replace(feats=x.feats + y.feats)


def _plan(capacities: Capacities | None, depth: int) -> tuple[tuple, tuple]:
    """Rows and arithmetic of every level, None where not given."""
    empty = (None,) * (depth + 1)
    if capacities is None:
        return empty, empty
    rows, arithmetic = capacities.rows, capacities.arithmetic or empty
    if len(rows) != depth + 1 or len(arithmetic) != depth + 1:
        raise ValueError(
            f"capacities need {depth + 1} levels; got {len(rows)} rows and "
            f"{len(arithmetic)} arithmetics."
        )
    return rows, arithmetic


def e3dsnn_t(
    in_channels: int = 6, num_classes: int = 40, *, levels: int = 4, rngs: nnx.Rngs, **options
) -> E3DSNN:
    """E-3DSNN-T, 1.87 M parameters; `options` are further fields of E3DSNNConfig."""
    return _build(16, (16, 32, 64, 128), 1, in_channels, num_classes, levels, rngs, options)


def e3dsnn_s(
    in_channels: int = 6, num_classes: int = 40, *, levels: int = 4, rngs: nnx.Rngs, **options
) -> E3DSNN:
    """E-3DSNN-S, 3.27 M parameters; `options` are further fields of E3DSNNConfig."""
    return _build(24, (24, 48, 96, 160), 1, in_channels, num_classes, levels, rngs, options)


def e3dsnn_l(
    in_channels: int = 6, num_classes: int = 40, *, levels: int = 4, rngs: nnx.Rngs, **options
) -> E3DSNN:
    """E-3DSNN-L, 17.3 M parameters; `options` are further fields of E3DSNNConfig."""
    return _build(64, (64, 128, 128, 256), 2, in_channels, num_classes, levels, rngs, options)


def e3dsnn_h(
    in_channels: int = 6, num_classes: int = 40, *, levels: int = 4, rngs: nnx.Rngs, **options
) -> E3DSNN:
    """E-3DSNN-H, 46.6 M parameters; `options` are further fields of E3DSNNConfig."""
    return _build(64, (96, 192, 288, 384), 2, in_channels, num_classes, levels, rngs, options)


def _build(stem, channels, depth, in_channels, num_classes, levels, rngs, options) -> E3DSNN:
    config = E3DSNNConfig(
        stem,
        channels,
        depth,
        in_channels=in_channels,
        num_classes=num_classes,
        levels=levels,
        **options,
    )
    return E3DSNN(config, rngs=rngs)
