"""Parts of spiking convolutional networks: settings, units, input and output stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.encoders import direct
from snnjax.metrics import dense_activity
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.neurons import detach, euler, subtract, zero
from snnjax.nn import (
    LI,
    LIF,
    BatchNorm,
    Counts,
    Dropout,
    Module,
    Run,
    count_inputs,
    max_pool,
    pair,
)
from snnjax.surrogates import get_surrogate

Reset = Literal["subtract", "zero"]
Readout = Literal["mean", "integrators"]
RESETS = {"subtract": subtract, "zero": zero}


class ImageInfo(DataInfo, Protocol):
    """The facts about picture or frame data that configurations use."""

    @property
    def sample_shape(self) -> tuple[int, ...] | None: ...


@dataclass(frozen=True, kw_only=True)
class ConvNetConfig:
    """Settings for the neurons, input and output of a spiking convolutional network."""

    in_channels: int | None = None
    """Channels of a picture or frame; None takes those of the data."""
    num_classes: int | None = None
    """Classes; None takes those of the data."""
    steps: int = 4
    """T, time steps in which a picture is shown; frames of events have their own. The ANN twin
    receives a picture once."""
    tau: float = 2.0
    """Time constant of the neurons in steps, at least 1: v decays by 1 - 1 / tau a step."""
    threshold: float = 1.0
    """Membrane at which a neuron fires."""
    reset: Reset = "zero"
    """What a spike does to the membrane: `subtract` the threshold, or set it to `zero`."""
    detach: bool = True
    """Stop the gradient through the spikes of the reset."""
    surrogate: str = "atan"
    """Derivative of the spikes, by its name in `snnjax.surrogates.SURROGATES`."""
    readout: Readout = "mean"
    """Scores: the mean of the head over time, or of leaky `integrators` that it drives."""
    readout_tau: float = 2.0
    """Time constant of the integrators in steps, at least 1; ignored for `mean`."""
    dropout: float = 0.0
    """Share of the inputs of the head that a sample loses in training, the same at every step."""
    bn_decay: float = 0.9
    """Decay of the running statistics of the norms."""
    twin: bool = False
    """Build the ANN twin: the same parameters with ReLU in place of the neurons."""

    def __post_init__(self) -> None:
        for name in ("in_channels", "num_classes", "steps"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} must be an integer of at least 1; got {value}.")
        for name in ("tau", "readout_tau"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1 step; got {getattr(self, name)}.")
        if not self.threshold > 0:
            raise ValueError(f"threshold must be above 0; got {self.threshold}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}.")
        if not 0 <= self.bn_decay < 1:
            raise ValueError(f"bn_decay must be in [0, 1); got {self.bn_decay}.")
        one_of("reset", self.reset, get_args(Reset))
        one_of("readout", self.readout, get_args(Readout))
        get_surrogate(self.surrogate)  # refuses an unknown name now

    def for_data(self, info: DataInfo) -> Self:
        """This configuration with the channels and classes of the data filled in."""
        return filled(self, info)

    def neurons(self, channels: int) -> LIF | Callable[[Array], Array]:
        """A population of the neurons; ReLU in the twin."""
        if self.twin:
            return jax.nn.relu
        reset = RESETS[self.reset]
        return LIF(
            channels,
            tau=self.tau,
            threshold=self.threshold,
            trainable=(),
            decay=euler,
            spike=get_surrogate(self.surrogate),
            reset=detach(reset) if self.detach else reset,
        )

    def integrators(self, classes: int) -> LI:
        """Leaky integrators that give late steps more weight in the scores."""
        return LI(classes, tau=self.readout_tau, trainable=(), decay=euler, scale_input=True)

    def norm(self, channels: int) -> BatchNorm:
        """A batch norm over time, samples and places."""
        return BatchNorm(channels, decay=self.bn_decay)

    def sizes(self) -> tuple[int, int]:
        """The numbers of channels and classes; raises if they are not set."""
        return sizes_of(self)


class Current(Module):
    """Weighted layer and norm: BN(W x).

    Args:
      layer: a convolution or dense layer with `channels` outputs and no bias.
      channels: C. config: which norm.
    """

    def __init__(self, layer: nnx.Module, channels: int, config: ConvNetConfig):
        self.layer, self.norm = layer, config.norm(channels)

    def forward(self, run: Run, x: Array) -> Array:
        """From [T, B, ..., I] to [T, B, ..., C]."""
        return run(self.norm, run(self.layer, x))


class Unit(Module):
    """Weighted layer, norm, neurons: SN(BN(W x)), with an optional pool after the layer.

    Args:
      layer: a convolution or dense layer with `channels` outputs and no bias.
      channels: C. config: which neurons and norm.
    """

    rematerialised = True

    def __init__(self, layer: nnx.Module, channels: int, config: ConvNetConfig):
        self.layer, self.norm = layer, config.norm(channels)
        self.neurons = config.neurons(channels)

    def forward(self, run: Run, x: Array, *, pool: int = 1, steps: int = 1) -> Array:
        """From [T, B, ..., I] to spikes [T, B, ..., C]; an input with T = 1 is repeated."""
        x = run(self.layer, x)
        x = max_pool(x, pool) if pool > 1 else x
        return run(self.neurons, shown(run(self.norm, x), steps))


def pair_layers(first: nnx.Module, norm: Any, neurons: Any, second: nnx.Module) -> None:
    """Shard two weighted layers and what lies between them over a mesh axis "model"."""
    pair(first, [m for m in (norm, neurons) if isinstance(m, nnx.Module)], second)


class Head(nnx.Linear):
    """A linear layer on the mean over positions, or on all positions.

    The mean of scores of all places equals the score of the mean, which costs less. It is counted
    as the former where the places hold spikes: each adds a weight to every class.

    Args:
      in_features, num_classes: sizes of the layer. average: whether positions are averaged.
      spikes: whether the input holds spikes. rngs: random keys for the weights.
    """

    def __init__(
        self, in_features: int, num_classes: int, *, average: bool, spikes: bool, rngs: nnx.Rngs
    ):
        super().__init__(in_features, num_classes, rngs=rngs)
        self.average, self.spikes = average, spikes

    def __call__(self, x: Array) -> Array:
        """Scores [T, B, K] of [T, B, H, W, C], or of [T, B, N]."""
        return super().__call__(self.joined(x))

    def joined(self, x: Array) -> Array:
        """Positions flattened into the channel axis, or averaged: [T, B, N]."""
        if x.ndim == 3:
            return x
        return x.mean((2, 3)) if self.average else x.reshape(*x.shape[:2], -1)


@count_inputs.register
def _(layer: Head, name: str, x: Array, **_: Any) -> Counts:
    seen = x if layer.average and layer.spikes else layer.joined(x)
    return (dense_activity(name, seen, layer.out_features),)


class Scores(Module):
    """Dropout, head, and the mean over time of its scores or of the integrators that it drives.

    Args:
      in_features: channels where places are averaged, else the product of all axes.
      average: whether places are averaged. config: the rest. rngs: random keys for the weights.
    """

    def __init__(self, in_features: int, config: ConvNetConfig, *, average: bool, rngs: nnx.Rngs):
        classes = config.sizes()[1]
        self.dropout = Dropout(config.dropout)
        spikes = not config.twin
        self.head = Head(in_features, classes, average=average, spikes=spikes, rngs=rngs)
        mean = config.readout == "mean"
        self.integrators = None if mean else config.integrators(classes)

    def forward(self, run: Run, x: Array) -> Array:
        """Scores [B, K] of [T, B, ..., C]."""
        scores = run(self.head, run(self.dropout, x))
        if self.integrators is not None:
            scores = run(self.integrators, scores)
        return scores.mean(0)


def frames_of(x: ArrayLike, config: ConvNetConfig) -> tuple[Array, int]:
    """The input as [T, B, H, W, C], and how often the first layer repeats its output.

    A picture [B, H, W, C] becomes one frame, whose current is repeated.

    Raises:
      ValueError: the shape is neither of a picture nor of frames, or the channels do not fit.
    """
    x, wanted = jnp.asarray(x), config.in_channels
    if x.ndim not in (4, 5) or x.shape[-1] != wanted:
        raise ValueError(
            f"the network takes pictures [B, H, W, {wanted}] or frames [T, B, H, W, {wanted}]; got "
            f"{x.shape}. Channels are the last axis; build it with in_channels for others."
        )
    if x.ndim == 5:
        return x, 1
    return x[None], 1 if config.twin else config.steps


def shown(x: Array, steps: int) -> Array:
    """One frame [1, ...] shown in each of several steps, [T, ...]; other inputs as they are."""
    return direct(x[0], steps) if steps > 1 else x


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise unless a value is one of the choices."""
    if value not in known:
        raise ValueError(f"{name} must be {' or '.join(map(repr, known))}; got {value!r}.")
