"""Update rules as optax chains."""

from __future__ import annotations

from typing import Any

import jax
import optax

from snnjax.train.experiment import OptimiserConfig


def decay_mask(params: Any) -> Any:
    """True for the leaves that weight decay shrinks: those with two axes or more.

    Norm scales and shifts, biases and neuron constants are vectors or scalars, kernels are not.
    """
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def build_optimiser(
    config: OptimiserConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Clip, precondition, decay and scale, in the order of the rule.

        clip:   g <- g * min(1, clip_norm / |g|)
        adamw:  u = adam(g) + weight_decay * w        (decoupled)
        sgd:    u = momentum(g + weight_decay * w)    (coupled, as in PyTorch)
        w <- w - rate(t) * u

    Args:
      config: rule and constants.
      schedule: rate(t).
    """
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm > 0 else []
    decay = (
        [optax.add_decayed_weights(config.weight_decay, mask=decay_mask)]
        if config.weight_decay > 0
        else []
    )
    if config.name == "adamw":
        rule = [optax.scale_by_adam(b1=config.momentum, nesterov=config.nesterov), *decay]
    else:
        trace = optax.trace(config.momentum, nesterov=config.nesterov)
        rule = [*decay, *([trace] if config.momentum > 0 else [])]
    return optax.chain(*clip, *rule, optax.scale_by_learning_rate(schedule))
