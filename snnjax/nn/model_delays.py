"""The delays of all layers of a model together."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from snnjax.delays.check import (
    check_sigma,
)
from snnjax.nn.delay_buffer import (
    Delays,
)
from snnjax.nn.module import Module
from snnjax.nn.spaced_conv import SpacedConv


class RoundedDelays(Module):
    """Base of modules whose delays are integers outside training, as on hardware.

    `forward` passes `round_delays=self.round_delays and not run.train` to its delayed layers.
    """

    round_delays: bool = True
    """Whether delays are rounded outside training; the evaluator `ContinuousDelays` clears it."""


def set_sigma(model: nnx.Module, value: ArrayLike) -> None:
    """Set the width of all taps of a model, for instance once an epoch; without compiling again.

    >>> from snnjax.nn import Delay
    >>> layer = Delay(3, max_delay=4, rngs=nnx.Rngs(0))
    >>> set_sigma(layer, 0.5)
    >>> float(layer.delays.sigma[...])
    0.5
    """
    check_sigma(value)
    for _, module in nnx.iter_modules(model):
        if isinstance(module, (Delays, SpacedConv)):
            module.sigma.set_value(jnp.full_like(module.sigma[...], value))


def learned_delays(model: nnx.Module) -> dict[str, Delays]:
    """The delays of a model that learn, by the path of their layer; buffers of one step hold none.

    >>> from snnjax.nn import Delay
    >>> rngs = nnx.Rngs(0)
    >>> layers = nnx.List([Delay(2, 4, rngs=rngs), Delay(2, 4, trainable_delays=False, rngs=rngs)])
    >>> [(name, delays.max_delay) for name, delays in learned_delays(layers).items()]
    [('0', 4)]
    """
    return {
        ".".join(map(str, path)).removesuffix(".delays"): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Delays) and module.trainable and module.max_delay
    }


def clamp_delays(model: nnx.Module) -> None:
    """Clip all delays and positions of a model to their buffers, for instance after an import.

    >>> from snnjax.nn import Delay
    >>> layer = Delay(1, max_delay=4, rngs=nnx.Rngs(0))
    >>> layer.delays.delay[...] = jnp.array([9.0])
    >>> clamp_delays(layer)
    >>> layer.delays.delay[...].tolist()
    [4.0]
    """
    for _, module in nnx.iter_modules(model):
        if isinstance(module, (Delays, SpacedConv)):
            module.clamp()
