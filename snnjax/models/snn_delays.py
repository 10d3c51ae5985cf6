"""SNN-delays: feed-forward spiking networks that learn the delay of every synapse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from snnjax.delays import sigma_schedule
from snnjax.delays.schedule import FLOOR
from snnjax.losses import softmax_sum
from snnjax.metrics import LayerActivity, linear_activity
from snnjax.models.e3dsnn import ClassifierOutput
from snnjax.neurons import detach, euler, zero
from snnjax.nn import LI, LIF, DelayedLinear, SequenceBatchNorm, clamp_delays, set_sigma
from snnjax.nn.delayed import Per
from snnjax.nn.recompute import Remat, recomputed
from snnjax.sharding import Cut, pair_rules
from snnjax.surrogates import atan


@dataclass(frozen=True)
class SNNDelaysConfig:
    """What decides an SNN-delays classifier; static.

    Attributes:
      inputs, hidden, classes: channels. layers: hidden layers.
      size: K, steps of the buffer of delays.
      tau: time constant of the membranes, in steps.
      dropout: share of the hidden channels that a sample loses, for all its steps.
      kernel_count: Kc, delays of a synapse.
      tail: silent steps that each layer appends; None takes (K - 1) // 2, as published.
      per: what has a delay of its own, see `DelayedLinear`.
      learn_delays: without, they stay as drawn. size=1 is the network without delays.
      sigma: width of the taps at first; None takes K // 2. `at_epoch` narrows it to 0.23, and
        keeps a smaller one.
      readout: from membranes [T, B, C] and lengths to scores [B, C].
    """

    inputs: int
    hidden: int
    layers: int
    classes: int
    size: int
    tau: float
    dropout: float
    kernel_count: int = 1
    tail: int | None = None
    per: Per = "synapse"
    learn_delays: bool = True
    sigma: float | None = None
    readout: Callable[..., Array] = softmax_sum

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "layers", "classes", "size", "kernel_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}.")


class SNNDelays(nnx.Module):
    """The SNN-delays classifier.

    layers x [delayed dense -> batch norm over T * B -> LIF -> dropout] -> delayed dense -> leaky
    integrators, whose membranes the readout scores. Neurons reset to 0, without a gradient through
    the reset; v decays by 1 - 1 / tau, and the input is not scaled.

    Train with `set_sigma(model, sigma_schedule(epoch, epochs, K // 2))` and `delay_optimiser`.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier, "Learning delays in spiking neural
    networks using dilated convolutions with learnable spacings", ICLR 2024 (arXiv 2306.17670).

    >>> net = snn_delays_shd(hidden=8, inputs=6, rngs=nnx.Rngs(0))
    >>> _, out = net(net.init_state(jnp.ones((30, 2, 6))), jnp.ones((30, 2, 6)))
    >>> out.logits.shape
    (2, 20)
    """

    def __init__(self, config: SNNDelaysConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = (config.inputs, *(config.hidden,) * config.layers, config.classes)
        self.tail = (config.size - 1) // 2 if config.tail is None else config.tail
        self.linears = nnx.List(
            [
                DelayedLinear(
                    a,
                    b,
                    config.size,
                    kernel_count=config.kernel_count,
                    per=config.per,
                    tail=self.tail,
                    sigma=config.sigma,
                    learn_delays=config.learn_delays,
                    cut=self._cut(index),
                    rngs=rngs,
                )
                for index, (a, b) in enumerate(pairwise(widths))
            ]
        )
        self.norms = nnx.List([SequenceBatchNorm(config.hidden) for _ in range(config.layers)])
        self.neurons = nnx.List([_neurons(config) for _ in range(config.layers)])
        self.remat: Remat = "none"
        self.integrators = LI(config.classes, tau=config.tau, trainable=(), decay=euler)

    def init_state(self, x: ArrayLike) -> tuple[tuple[Any, Any], ...]:
        """Silent pasts and resting membranes for `x` [T, B, C], from its shape alone."""
        batch = jnp.shape(x)[1:2]
        populations = [*self.neurons, self.integrators]
        return tuple(
            (linear.init_state(batch), population.init_state(batch))
            for linear, population in zip(self.linears, populations, strict=True)
        )

    def __call__(
        self,
        state: tuple[tuple[Any, Any], ...],
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
        discrete: bool = False,
        record: bool = False,
    ) -> tuple[tuple[tuple[Any, Any], ...], ClassifierOutput]:
        """Classify a batch of sequences.

        Args:
          state: from `init_state(x)`, or of an earlier call.
          x: spikes, counts or values [T, B, C].
          lengths: int [B], steps of each sample that are not padding; T where not given. Each
            layer's tail is added to them, so that a result does not depend on the padding.
          key: for dropout; needed with `train` where the share is above 0.
          train: normalise by this batch, move the running statistics, and drop channels.
          axis_name: mesh axis over which the statistics are summed.
          discrete: whole delays, as at evaluation; those that do not learn are always whole.
          record: count what each weighted layer receives.

        Returns:
          The last state, and a ClassifierOutput with the scores.
        """
        h, after, activity = jnp.asarray(x), [], []
        discrete = discrete or not self.config.learn_delays
        keys = self._keys(key, train)
        for index, (linear, norm, neurons) in enumerate(
            zip(self.linears, self.norms, self.neurons, strict=False)
        ):
            if record:
                activity.append(_activity(f"hidden{index}", h, linear, spiking=index > 0))
            lengths = None if lengths is None else jnp.asarray(lengths) + self.tail
            layer = partial(self._layer, discrete=discrete, train=train, axis_name=axis_name)
            own, h = recomputed(
                self.remat if train else "none",
                (linear, norm, neurons),
                layer,
                state[index],
                h,
                lengths,
                None if keys is None else keys[index],
            )
            after.append(own)
        if record:
            activity.append(_activity("head", h, self.linears[-1], spiking=True))
        past, h = self.linears[-1](state[-1][0], h, discrete=discrete)
        lengths = None if lengths is None else jnp.asarray(lengths) + self.tail
        cell, membrane = self.integrators(state[-1][1], h)
        logits = self.config.readout(membrane, lengths)
        overflow = jnp.zeros((), jnp.int32)
        return (*after, (past, cell)), ClassifierOutput(logits, overflow, tuple(activity))

    def _layer(
        self,
        modules: tuple[Any, Any, Any],
        state: tuple[Any, Any],
        x: Array,
        lengths: Array | None,
        key: Array | None,
        *,
        discrete: bool,
        train: bool,
        axis_name: str | None,
    ) -> tuple[tuple[Any, Any], Array]:
        """A hidden layer, whose outputs have these lengths."""
        linear, norm, neurons = modules
        past, h = linear(state[0], x, discrete=discrete)
        h = norm(h, lengths, train=train, axis_name=axis_name)
        cell, h = neurons(state[1], h)
        if key is not None:
            h = drop_channels(h, self.config.dropout, key=key)
        return (past, cell), h

    @property
    def tensor_rules(self) -> tuple[tuple[str, P], ...]:
        """How synapses are cut over a mesh axis "model", by pairs of layers.

        The first layer of a pair is cut by outputs and the second by inputs, so norm and neurons
        between them see the channels of their device alone, and one sum joins the outputs. Of an
        odd number of layers, the readout's among them, the last stays whole.
        """
        cut = r"(weight|delays/delay)$" if self.config.per == "synapse" else r"weight$"
        rules = []
        for first in range(0, self.config.layers, 2):
            rules += pair_rules(
                rf"^linears/{first}/{cut}",
                rf"^(norms|neurons)/{first}/",
                rf"^linears/{first + 1}/{cut}",
            )
        return (*rules, (".*", P()))

    def _cut(self, index: int) -> Cut | None:
        """How the rules cut a layer."""
        if index == self.config.layers and index % 2 == 0:
            return None
        return "inputs" if index % 2 else "outputs"

    def at_epoch(self, epoch: ArrayLike, epochs: int) -> None:
        """Set the width of the taps for an epoch of training, as published; traced or not."""
        start = self.config.size // 2 if self.config.sigma is None else self.config.sigma
        if self.config.learn_delays and self.config.size > 1 and start > FLOOR:
            set_sigma(self, sigma_schedule(epoch, epochs, start))

    def constrain(self) -> None:
        """Bring the delays back into their buffers after an update."""
        clamp_delays(self)

    def _keys(self, key: Array | None, train: bool) -> Array | None:
        """One key a hidden layer, where it drops."""
        if not train or not self.config.dropout:
            return None
        if key is None:
            raise ValueError(f"training with dropout={self.config.dropout} needs key=.")
        return jax.random.split(key, self.config.layers)


def _activity(name: str, x: Array, linear: DelayedLinear, *, spiking: bool) -> LayerActivity:
    """What a delayed layer receives: each entry meets every synapse once for each of its taps."""
    taps, outputs = linear.shape[2], linear.shape[1]
    return linear_activity(name, x, outputs * taps, spiking=spiking)


def drop_channels(x: Array, share: float, *, key: Array) -> Array:
    """Drop channels of each sample, the same for all steps; the others grow by 1 / (1 - share)."""
    keep = jax.random.bernoulli(key, 1 - share, x.shape[1:])
    return jnp.where(keep, x / (1 - share), 0)


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
    sizes = {"inputs": 140, "hidden": 256, "classes": 20, "size": 25, "tau": 1.005, "dropout": 0.4}
    return _build(sizes, layers, kernel_count, options, rngs)


def snn_delays_ssc(
    layers: int = 2, kernel_count: int = 1, *, rngs: nnx.Rngs, **options: Any
) -> SNNDelays:
    """For SSC in 140 channels and steps of 10 ms, 705,536 parameters and more by layers and delays.

    Published: 80.16 % (2 layers, 2 delays), 80.69 % (3 layers, 2 delays).
    """
    sizes = {"inputs": 140, "hidden": 512, "classes": 35, "size": 31, "tau": 1.5, "dropout": 0.25}
    return _build(sizes, layers, kernel_count, options, rngs)


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


def snn_delays(
    in_channels: int,
    num_classes: int,
    *,
    delays: Literal["none", "fixed", "learned"] = "learned",
    max_delay: int = 24,
    rngs: nnx.Rngs,
    **options: Any,
) -> SNNDelays:
    """A network of any size, for the command line.

    Args:
      in_channels, num_classes: channels of the frames, classes.
      delays: without any, with those first drawn, or with learned ones.
      max_delay: the longest, in steps.
      rngs: of the weights and delays. options: further fields of the config.

    >>> net = snn_delays(4, 3, delays="none", hidden=8, layers=1, tau=2.0, dropout=0.0,
    ...                  rngs=nnx.Rngs(0))
    >>> net.config.size, net.tail
    (1, 0)
    """
    if delays not in ("none", "fixed", "learned"):
        raise ValueError(f"`delays` must be 'none', 'fixed' or 'learned'; got {delays!r}.")
    config = SNNDelaysConfig(
        inputs=in_channels,
        classes=num_classes,
        size=1 if delays == "none" else max_delay + 1,
        learn_delays=delays == "learned",
        **options,
    )
    return SNNDelays(config, rngs=rngs)
