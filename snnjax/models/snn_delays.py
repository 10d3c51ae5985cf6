"""SNN-delays: feed-forward spiking networks that learn the delay of every synapse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays import sigma_schedule
from snnjax.delays.schedule import FLOOR
from snnjax.losses import membrane_mean, softmax_sum, until_end
from snnjax.models.info import DataInfo, filled, sizes_of
from snnjax.neurons import detach, euler, zero
from snnjax.nn import (
    LI,
    LIF,
    DelayedLinear,
    Dropout,
    Module,
    RoundedDelays,
    Run,
    SequenceBatchNorm,
    pair,
    set_sigma,
)
from snnjax.nn.delay_buffer import Per
from snnjax.surrogates import atan

READOUTS = {"softmax_sum": softmax_sum, "mean": membrane_mean}
"""From membranes [T, B, C] and lengths to scores [B, C]."""


@dataclass(frozen=True)
class SNNDelaysConfig:
    """Everything that defines an SNN-delays classifier; times are in steps."""

    hidden: int = 128
    """Neurons of a hidden layer."""
    layers: int = 2
    """Hidden layers."""
    in_channels: int | None = None
    """Channels of the input; None takes those of the data."""
    num_classes: int | None = None
    """Classes; None takes those of the data."""
    tau: float = 5.0
    """Time constant of the neurons."""
    dropout: float = 0.2
    """Share of the hidden channels that a sample loses in training, the same at every step."""
    delays: Literal["none", "fixed", "learned"] = "learned"
    """Delays of the synapses: `none`, as drawn and `fixed`, or `learned`."""
    max_delay: int = 24
    """The longest delay; has no effect without delays."""
    kernel_count: int = 1
    """Delays of a synapse, each with a weight of its own."""
    per: Per = "synapse"
    """What has a delay of its own: each synapse, or all that leave an input (axonal) or reach an
    output (dendritic)."""
    sigma: float | None = None
    """Width of the taps at first, which shrinks to 0.23, or a smaller one that stays; None takes
    half the longest delay, as published."""
    late: int | None = None
    """Steps after the end of a sample in which each layer still counts late arrivals; None takes
    half the longest delay, as published. The data must provide the silent steps."""
    readout: Literal["softmax_sum", "mean"] = "softmax_sum"
    """Score of a class: its share of each step, summed, or the mean of its membrane."""

    def __post_init__(self) -> None:
        for name in ("in_channels", "hidden", "layers", "num_classes", "max_delay", "kernel_count"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")
        if self.late is not None and (not isinstance(self.late, int) or self.late < 0):
            raise ValueError(f"late must be an integer of at least 0; got {self.late!r}.")
        if not self.tau > 0:
            raise ValueError(f"tau must be above 0; got {self.tau}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}.")
        _one_of("delays", self.delays, ("none", "fixed", "learned"))
        _one_of("per", self.per, ("synapse", "input", "output"))
        _one_of("readout", self.readout, tuple(READOUTS))
        if self.delays == "none" and self.kernel_count > 1:
            raise ValueError(
                "kernel_count must be 1 without delays, since the weights of a synapse "
                f"would only add up; got {self.kernel_count}. Set delays."
            )
        if self.per != "synapse" and (self.delays == "none" or self.kernel_count > 1):
            raise ValueError(
                f"per={self.per!r} needs delays, one each: set delays, and kernel_count to 1; got "
                f"{self.delays!r} and {self.kernel_count}."
            )
        if self.sigma is not None and not 0 <= self.sigma < float("inf"):
            raise ValueError(f"sigma must be finite and at least 0; got {self.sigma}.")

    @property
    def longest_delay(self) -> int:
        """`max_delay`, or 0 without delays."""
        return 0 if self.delays == "none" else self.max_delay

    @property
    def late_steps(self) -> int:
        """`late` if it is set, else the published number."""
        return self.longest_delay // 2 if self.late is None else self.late

    @property
    def silent_steps(self) -> int:
        """Silent steps that must follow a sample, so that late arrivals of all layers come out."""
        return (self.layers + 1) * self.late_steps

    def build(self, info: DataInfo, *, rngs: nnx.Rngs) -> SNNDelays:
        """The network for this data."""
        return SNNDelays(filled(self, info), rngs=rngs)


class HiddenLayer(Module):
    """Delayed dense layer, batch norm over T * B, LIF, dropout."""

    rematerialised = True

    def __init__(self, in_features: int, config: SNNDelaysConfig, *, rngs: nnx.Rngs):
        self.linear = _delayed(in_features, config.hidden, config, rngs)
        self.norm = SequenceBatchNorm(config.hidden)
        self.neurons = _neurons(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, run: Run, x: Array, lengths: Array | None, round_delays: bool) -> Array:
        h = run(self.linear, x, round_delays=round_delays)
        spikes = run(self.neurons, run(self.norm, h, lengths))
        # Silent neurons still have a surrogate gradient, which must be 0 after a sample's end.
        return run(self.dropout, until_end(spikes, lengths))


class SNNDelays(RoundedDelays):
    """The SNN-delays classifier.

    layers x [delayed dense -> batch norm over T * B -> LIF -> dropout] -> delayed dense -> leaky
    integrators, whose membranes the readout scores. Neurons reset to 0, without a gradient through
    the reset; v decays by 1 - 1 / tau, and the input is not scaled. Delays are rounded except in
    training, as hardware has them, while `round_delays` is True.

    Train with `delay_optimiser`, and call `at_epoch` and `constrain` as the training loop does.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier, "Learning delays in spiking neural
    networks using dilated convolutions with learnable spacings", ICLR 2024 (arXiv 2306.17670).

    >>> net = snn_delays_shd(hidden=8, in_channels=6, rngs=nnx.Rngs(0))
    >>> net(None, jnp.ones((30, 2, 6)))[1].shape
    (2, 20)
    """

    def __init__(self, config: SNNDelaysConfig, *, rngs: nnx.Rngs):
        inputs, classes = sizes_of(config)
        self.config = config
        widths = (inputs, *(config.hidden,) * config.layers)
        self.hidden = nnx.List([HiddenLayer(a, config, rngs=rngs) for a in widths[:-1]])
        self.linear = _delayed(widths[-1], classes, config, rngs)
        self.integrators = LI(classes, tau=config.tau, trainable=(), decay=euler)
        self._pair()

    def _pair(self) -> None:
        """Shard layers over "model" in pairs; with an odd number the last stays replicated."""
        layers = [layer.linear for layer in self.hidden] + [self.linear]
        for first in range(0, len(layers) - 1, 2):
            own = self.hidden[first]
            pair(layers[first], [own.norm, own.neurons], layers[first + 1])

    def forward(self, run: Run, x: ArrayLike, *, lengths: ArrayLike | None = None) -> Array:
        """Classify a batch of sequences.

        Args:
          run: the traversal.
          x: spikes, counts or values [T, B, C].
          lengths: int [B], steps of each sample that are not padding; T where not given. Each layer
            adds `config.late_steps`, as far as T reaches.

        Returns:
          Scores [B, K].
        """
        h = jnp.asarray(x)
        rounded = self.config.delays == "fixed" or (self.round_delays and not run.train)
        for index, layer in enumerate(self.hidden, 1):
            h = run(layer, h, self._end(lengths, index, len(h)), rounded)
        membranes = run(self.integrators, run(self.linear, h, round_delays=rounded))
        end = self._end(lengths, len(self.hidden) + 1, len(h))
        return READOUTS[self.config.readout](membranes, end)

    def _end(self, lengths: ArrayLike | None, layers: int, steps: int) -> Array | None:
        """The number of valid steps of each sample after `layers` layers."""
        if lengths is None:
            return None
        return jnp.minimum(jnp.asarray(lengths) + layers * self.config.late_steps, steps)

    @property
    def silent_steps(self) -> int:
        """As in the configuration."""
        return self.config.silent_steps

    def at_epoch(self, epoch: ArrayLike, epochs: int) -> None:
        """Set the width of the taps for an epoch of training, as published; traced or not."""
        config = self.config
        start = (config.longest_delay + 1) // 2 if config.sigma is None else config.sigma
        if config.delays == "learned" and config.longest_delay and start > FLOOR:
            set_sigma(self, sigma_schedule(epoch, epochs, start))


def _delayed(
    in_features: int, out_features: int, config: SNNDelaysConfig, rngs: nnx.Rngs
) -> DelayedLinear:
    return DelayedLinear(
        in_features,
        out_features,
        config.longest_delay,
        kernel_count=config.kernel_count,
        per=config.per,
        sigma=config.sigma,
        trainable_delays=config.delays == "learned",
        rngs=rngs,
    )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(
            f"{name} must be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}; got {value!r}."
        )


def _neurons(config: SNNDelaysConfig) -> LIF:
    return LIF(
        config.hidden,
        tau=config.tau,
        trainable=(),
        decay=euler,
        spike=partial(atan, slope=5.0),
        reset=detach(zero),
    )


def snn_delays_shd(
    layers: int = 2, kernel_count: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> SNNDelays:
    """For SHD in 140 channels and steps of 10 ms, 214,016 parameters; `options` as in the config.

    Published: 95.07 % with 2 layers and 1 delay, chosen on the test set.
    """
    sizes = {"in_channels": 140, "num_classes": 20, "hidden": 256, "max_delay": 24, "tau": 1.005}
    return _build({**sizes, "dropout": 0.4}, layers, kernel_count, options, rngs)


def snn_delays_ssc(
    layers: int = 2, kernel_count: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> SNNDelays:
    """For SSC in 140 channels and steps of 10 ms, 705,536 parameters and more by layers and delays.

    Published: 80.16 % (2 layers, 2 delays), 80.69 % (3 layers, 2 delays).
    """
    sizes = {"in_channels": 140, "num_classes": 35, "hidden": 512, "max_delay": 30, "tau": 1.5}
    return _build({**sizes, "dropout": 0.25}, layers, kernel_count, options, rngs)


def snn_delays_gsc(
    layers: int = 2, kernel_count: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> SNNDelays:
    """For speech commands in 140 mel bands and 35 words; the network of `snn_delays_ssc`.

    Published: 95.00 % (2 layers, 2 delays), 95.35 % (3 layers, 2 delays).
    """
    return snn_delays_ssc(layers, kernel_count, rngs=rngs, **options)


def _build(
    sizes: dict[str, Any], layers: int, kernel_count: int, options: dict[str, Any], rngs: nnx.Rngs
) -> SNNDelays:
    given = {**sizes, "layers": layers, "kernel_count": kernel_count, **options}
    return SNNDelays(SNNDelaysConfig(**given), rngs=rngs)
